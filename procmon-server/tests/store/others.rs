//! Others who use the database at the same time: a dump, a long query. They may delay what is dropped, never what is stored.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;

use procmon_server::store::{OPEN_SLICES, SLICE_MS};

use crate::fixture::{Fixture, START_MS, append};
use crate::postgres::{Cluster, name_of};
use crate::segments::{compact, fill};

/// A transaction that has read everything, and stays open.
struct LongQuery(Child);

impl LongQuery {
    fn begin(cluster: &Cluster, database: &str) -> Self {
        let mut child = cluster
            .psql(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let statements =
            "begin; select count(*) from batch, segment, segment_samples; select 'open';\n";
        let mut input = child.stdin.as_ref().expect("piped");
        input.write_all(statements.as_bytes()).expect("it listens");
        let output = BufReader::new(child.stdout.as_mut().expect("piped"));
        let opened = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "open");
        assert!(opened, "psql ended");
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it ends").success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_delays_what_is_dropped_and_nothing_else() {
    let fixture = Fixture::postgres();
    let Fixture::Postgres(cluster, dsn) = &fixture else {
        unreachable!("it was just made")
    };
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 2).await;
    let before = fixture.parts().len();
    let query = LongQuery::begin(cluster, name_of(dsn));
    // New slices, segments, and what they replace.
    fill(&store, OPEN_SLICES + 2..OPEN_SLICES + 4).await;
    compact(&store, 1).await;
    compact(&store, 2).await;
    assert_eq!(store.contents().leaving, 2);
    let publishing = {
        let store = store.clone();
        tokio::spawn(async move { store.expire_before(START_MS + 1, 0).await })
    };
    let commits = store.stats().commits.load(Ordering::Relaxed);
    for seq in 100..150 {
        let received_ms = START_MS + i64::from(OPEN_SLICES + 4) * SLICE_MS;
        store
            .append(append(seq, received_ms))
            .await
            .expect("it stores");
    }
    assert!(store.stats().commits.load(Ordering::Relaxed) > commits);
    publishing.await.expect("no panic").expect("it expires");
    query.end();
    store.expire_before(0, 0).await.expect("it expires");
    assert_eq!(store.contents().leaving, 0);
    // Three more slices, two fewer; two segments, the samples of one of which expired.
    assert_eq!(
        fixture.parts().len(),
        before + 3 - 2 + 3,
        "{:?}",
        fixture.parts()
    );
}

/// Whoever looks into the database with psql sees one table of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_attached_to_their_tables() {
    let fixture = Fixture::postgres();
    let Fixture::Postgres(cluster, dsn) = &fixture else {
        unreachable!("it was just made")
    };
    let store = fixture.open().await;
    fill(&store, 0..OPEN_SLICES + 1).await;
    compact(&store, 1).await;
    let count = |table: &str| {
        let sql = format!("select count(*) from {table} where tenant_id = 1");
        cluster.sql(name_of(dsn), &sql)
    };
    assert_eq!(count("batch"), OPEN_SLICES.to_string());
    assert_eq!(count("segment"), "1");
    assert_eq!(count("segment_samples"), "1");
    let tenantless = cluster.sql(
        name_of(dsn),
        "select string_agg(relname, ' ') from pg_class where relkind in ('r', 'p') and \
         relnamespace = 'public'::regnamespace and not relispartition \
         and relname not in ('tenant', 'store_state', 'part', 'segment_slice', '_sqlx_migrations') \
         and not exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id')",
    );
    assert_eq!(tenantless, "", "tables without a tenant");
}
