//! Files of segments: `FIRST-LAST-LEVEL.db` with heads and events, and `FIRST-LAST-LEVEL.samples.db` beside it. They are
//! written under another name without a journal, synced, and renamed, the one with the samples first: the file with the heads
//! is there or not, and that decides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use super::file::{File, SEGMENTS_VERSION, unlink};
use super::segment_queries;
use crate::store::StoreError;
use crate::store::catalog::{Segments, SliceEnd};
use crate::store::part::Part;
use crate::store::segment_file::SegmentName;
use crate::store::segment_row::SegmentRow;

const HEADS: &str = include_str!("../../../migrations/sqlite/segment/0003_event_digest.sql");
const SAMPLES: &str = include_str!("../../../migrations/sqlite/segment_samples/0001_initial.sql");

/// Version of the tables, in the file's `user_version`. A file that is written once is never migrated: each version that
/// was ever written stays readable.
const VERSION: i64 = SEGMENTS_VERSION;
/// Small pages: a row ends somewhere within one, and the rest of it is lost.
const PAGE_BYTES: u32 = 512;
const UNFINISHED: &str = "unfinished";

/// The two files of segments while they are written.
#[derive(Debug)]
pub(in crate::store) struct SegmentWriter {
    folder: PathBuf,
    name: SegmentName,
    durable: bool,
    heads: SqliteConnection,
    samples: SqliteConnection,
    _unfinished: Unfinished,
}

/// Whatever has not got its name in the end is removed: on a disk that is full, too.
#[derive(Debug)]
struct Unfinished([PathBuf; 2]);

impl Drop for Unfinished {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = unlink(path) {
                tracing::warn!(path = %path.display(), %error, "unfinished segments cannot be removed");
            }
        }
    }
}

impl SegmentWriter {
    pub(super) async fn begin(
        folder: &Path,
        name: SegmentName,
        durable: bool,
    ) -> Result<Self, StoreError> {
        let heads = unfinished(&heads_path(folder, name));
        let samples = unfinished(&samples_path(folder, name));
        let unfinished = Unfinished([heads.clone(), samples.clone()]);
        Ok(Self {
            heads: create(&heads, HEADS).await?,
            samples: create(&samples, SAMPLES).await?,
            _unfinished: unfinished,
            folder: folder.to_owned(),
            name,
            durable,
        })
    }

    pub(in crate::store) async fn put(
        &mut self,
        row: &SegmentRow,
        event_digest: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        segment_queries::insert(&mut self.heads, "segment", row, event_digest).await?;
        if !row.samples.is_empty() {
            segment_queries::insert_samples(&mut self.samples, "segment_samples", row).await?;
        }
        Ok(())
    }

    /// Gives the files their names; returns heads and samples.
    pub(in crate::store) async fn publish(
        mut self,
        ends: &[SliceEnd],
    ) -> Result<(File, File), StoreError> {
        for end in ends {
            sqlx::query(
                "insert into segment_slice (slice, last_batch, received_last_ms) values ($1, $2, $3)",
            )
            .bind(i64::from(end.slice))
            .bind(end.last_batch)
            .bind(end.received_last_ms)
            .execute(&mut self.heads)
            .await?;
        }
        for mut connection in [self.samples, self.heads] {
            sqlx::query("commit").execute(&mut connection).await?;
            connection.close().await?;
        }
        let heads = heads_path(&self.folder, self.name);
        let samples = samples_path(&self.folder, self.name);
        let (folder, durable) = (self.folder, self.durable);
        let paths = [samples.clone(), heads.clone()];
        let renamed = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            if durable {
                for path in &paths {
                    std::fs::File::open(unfinished(path))?.sync_all()?;
                }
            }
            for path in &paths {
                std::fs::rename(unfinished(path), path)?;
            }
            if durable {
                std::fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        });
        match renamed.await {
            Ok(Ok(())) => Ok((File::finished(heads), File::finished(samples))),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                Err(StoreError::Full)
            }
            Ok(Err(error)) => Err(StoreError::Failed(format!(
                "segments cannot be published: {error}"
            ))),
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}

async fn create(path: &Path, schema: &'static str) -> Result<SqliteConnection, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Failed(format!("cannot remove {}: {error}", path.display()))
    };
    unlink(path).map_err(failed)?;
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging()
        .connect()
        .await?;
    let schema = without_comments(schema);
    sqlx::raw_sql(sqlx::AssertSqlSafe(schema))
        .execute(&mut connection)
        .await?;
    let version = format!("pragma user_version = {VERSION}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(version))
        .execute(&mut connection)
        .await?;
    sqlx::query("begin").execute(&mut connection).await?;
    Ok(connection)
}

/// SQLite keeps the text of a table in each file, comments and all: a page that each file can do without.
fn without_comments(schema: &str) -> String {
    let lines = schema.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.starts_with("--")).collect();
    lines.join(" ")
}

/// Opens what is there, and removes what a crash left half done.
pub(super) async fn open(folder: &Path) -> anyhow::Result<BTreeMap<u32, Arc<Segments>>> {
    let mut names = Vec::new();
    let mut others = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        match file_name.and_then(name_of) {
            Some(name) => names.push(name),
            None => others.push(path),
        }
    }
    // Of overlapping ones the higher level is the result of the lower ones.
    let contains = |outer: &SegmentName, inner: &SegmentName| {
        outer.level > inner.level
            && outer.first_slice <= inner.first_slice
            && outer.last_slice >= inner.last_slice
    };
    let (replaced, kept): (Vec<SegmentName>, Vec<SegmentName>) = names
        .iter()
        .partition(|inner| names.iter().any(|outer| contains(outer, inner)));
    for name in replaced {
        others.push(heads_path(folder, name));
    }
    let samples: Vec<_> = kept
        .iter()
        .map(|name| samples_path(folder, *name))
        .collect();
    for path in others {
        if !samples.contains(&path) {
            unlink(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    let mut segments = BTreeMap::new();
    for name in kept {
        let file = open_one(folder, name).await?;
        segments.insert(name.first_slice, Arc::new(file));
    }
    Ok(segments)
}

async fn open_one(folder: &Path, name: SegmentName) -> anyhow::Result<Segments> {
    let path = heads_path(folder, name);
    let samples = samples_path(folder, name);
    let mut file = File::finished(path.clone());
    let context = || format!("cannot open {}", path.display());
    let version: i64 = sqlx::query("pragma user_version")
        .fetch_one(&file.readers)
        .await
        .and_then(|row| row.try_get(0))
        .with_context(context)?;
    if !(1..=VERSION).contains(&version) {
        bail!(
            "{} has version {version} of the tables of segments, and this server knows up to {VERSION}: it was written \
             by a newer server",
            path.display()
        );
    }
    file.segments_version = version;
    let rows =
        sqlx::query("select slice, last_batch, received_last_ms from segment_slice order by slice")
            .fetch_all(&file.readers)
            .await
            .with_context(context)?;
    let read = |row: &sqlx::sqlite::SqliteRow| {
        Ok(SliceEnd {
            slice: row.try_get(0)?,
            last_batch: row.try_get(1)?,
            received_last_ms: row.try_get(2)?,
        })
    };
    let ends: Result<Vec<_>, sqlx::Error> = rows.iter().map(read).collect();
    Ok(Segments {
        level: name.level,
        first_slice: name.first_slice,
        last_slice: name.last_slice,
        ends: ends.with_context(context)?,
        events: Arc::new(Part::Sqlite(file)),
        samples: samples
            .exists()
            .then(|| Arc::new(Part::Sqlite(File::finished(samples)))),
        extent: Arc::default(),
        event_digest: Arc::default(),
    })
}

fn heads_path(folder: &Path, name: SegmentName) -> PathBuf {
    folder.join(format!("{}.db", stem(name)))
}

fn samples_path(folder: &Path, name: SegmentName) -> PathBuf {
    folder.join(format!("{}.samples.db", stem(name)))
}

fn stem(name: SegmentName) -> String {
    format!(
        "{:010}-{:010}-{}",
        name.first_slice, name.last_slice, name.level
    )
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension(UNFINISHED)
}

fn name_of(file_name: &str) -> Option<SegmentName> {
    let mut parts = file_name.strip_suffix(".db")?.split('-');
    let name = SegmentName {
        first_slice: parts.next()?.parse().ok()?,
        last_slice: parts.next()?.parse().ok()?,
        level: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(name)
}
