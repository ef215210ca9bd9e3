//! The way to the database: its address, what is checked before anything is stored, and the lock that makes this server
//! the only one.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Row};

use crate::store::StoreError;

/// The oldest release that gets fixes; the statements need nothing newer.
const OLDEST_VERSION: i32 = 14;
/// A server that is just being replaced may hold the lock a moment longer, and a database may be starting.
const PATIENCE: Duration = Duration::from_secs(10);
/// "procmon" in the upper half; the schema's number is added, so that two schemas are two stores.
const LOCK: i64 = 0x7072_6f63 << 32;

/// Reads a DSN; the error does not repeat it, because it has a password.
pub(super) fn options(dsn: &str) -> anyhow::Result<PgConnectOptions> {
    const FORM: &str = "postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=prefer";
    if !dsn.starts_with("postgres://") && !dsn.starts_with("postgresql://") {
        bail!("db_dsn must begin with postgres:// as in {FORM}");
    }
    let options = PgConnectOptions::from_str(dsn)
        .map_err(|error| anyhow::anyhow!("db_dsn cannot be read ({error}); write it as {FORM}"))?;
    let name = format!("procmon-server {}", std::process::id());
    Ok(options
        .application_name(&name)
        // The lock of a server whose machine is gone must not stay.
        .options([
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ])
        .disable_statement_logging())
}

/// The first connection: says what is wrong, and what to do about it.
pub(super) async fn first(options: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        const STARTING: &str = "57P03";
        let code = code(&error);
        if code.as_deref() == Some(STARTING) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        let what = format!(
            "cannot use the database {} on {}:{} as {}",
            options.get_database().unwrap_or("(of the user's name)"),
            options.get_host(),
            options.get_port(),
            options.get_username()
        );
        return Err(
            anyhow::Error::new(error).context(format!("{what}: {}", advice(code.as_deref())))
        );
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn advice(code: Option<&str>) -> &'static str {
    match code {
        Some("28P01" | "28000") => "check user and password in db_dsn, and pg_hba.conf",
        Some("3D000") => {
            "create the database first (createdb -O USER DATABASE), or correct its name in db_dsn"
        }
        Some("53300") => "it has no connection left for this server: raise max_connections",
        Some(_) => "it refuses the connection",
        None => "is it running, and are host, port and sslmode in db_dsn right?",
    }
}

/// Refuses what cannot work, before anything is made.
pub(super) async fn check(connection: &mut PgConnection) -> anyhow::Result<()> {
    let row = sqlx::query(
        "select current_setting('server_version_num')::int, current_setting('server_version'), \
         coalesce(has_schema_privilege(current_schema(), 'create'), false), current_schema(), \
         current_user::text, current_database()::text, pg_is_in_recovery()",
    )
    .fetch_one(&mut *connection)
    .await
    .context("the database does not answer as PostgreSQL does")?;
    let version: i32 = row.try_get(0)?;
    if version / 10_000 < OLDEST_VERSION {
        let version: String = row.try_get(1)?;
        bail!("the database is PostgreSQL {version}: procmon needs {OLDEST_VERSION} or newer");
    }
    if row.try_get(6)? {
        bail!(
            "the database is a standby that cannot be written: give the primary's address in db_dsn"
        );
    }
    let (user, database): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    let schema: Option<String> = row.try_get(3)?;
    let Some(schema) = schema else {
        bail!(
            "the search_path of {user} in {database} names no schema that exists: create one (create schema procmon)"
        );
    };
    if !row.try_get::<bool, _>(2)? {
        bail!(
            "{user} may not create tables in schema {schema} of database {database}: make it the owner of the database \
             (alter database {database} owner to {user}), or grant create on schema {schema} to {user}"
        );
    }
    Ok(())
}

/// Takes the database for this connection: it is free again when the connection ends. `None` when another server has it.
async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query(
        "select pg_try_advisory_lock($1 + oid::bigint) from pg_namespace where nspname = current_schema()",
    )
    .bind(LOCK)
    .fetch_one(&mut *connection)
    .await?
    .try_get(0)?;
    if locked {
        // What is acknowledged is on the disk, whatever the database's default is.
        sqlx::query(
            "select set_config('synchronous_commit', 'on', false) \
             where current_setting('synchronous_commit') = 'off'",
        )
        .execute(connection)
        .await?;
    }
    Ok(locked)
}

/// Takes the lock at the start, and begins a new run.
pub(super) async fn lock(connection: &mut PgConnection) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !try_lock(connection)
        .await
        .context("cannot take the lock of the database")?
    {
        if Instant::now() > deadline {
            bail!(
                "the database is in use by another procmon-server{}: stop that one, or choose another database with db_dsn",
                holder(connection).await.unwrap_or_default()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Who has the lock, where this user may see it.
async fn holder(connection: &mut PgConnection) -> Option<String> {
    let row = sqlx::query(
        "select activity.application_name, coalesce(host(activity.client_addr), 'this machine') \
         from pg_locks held join pg_stat_activity activity on activity.pid = held.pid \
         join pg_namespace on nspname = current_schema() \
         where held.locktype = 'advisory' and held.granted and held.classid::bigint = $1 >> 32 \
         and held.objid = pg_namespace.oid limit 1",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await
    .ok()??;
    let (name, address): (String, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    Some(format!(" ({name}, connected from {address})"))
}

/// A new connection after one that failed. It has the lock again only when the old one is really gone; so what that one was
/// doing is done or undone by then.
pub(super) async fn again(
    options: &PgConnectOptions,
    run: i64,
) -> Result<PgConnection, StoreError> {
    let mut connection = options.connect().await?;
    if !try_lock(&mut connection).await? {
        return Err(StoreError::Unavailable(
            "the lock of the connection before is not free yet".to_owned(),
        ));
    }
    let row = sqlx::query("select run from store_state where id = 1")
        .fetch_one(&mut connection)
        .await?;
    if row.try_get::<i64, _>(0)? != run {
        return Err(StoreError::Taken);
    }
    Ok(connection)
}
