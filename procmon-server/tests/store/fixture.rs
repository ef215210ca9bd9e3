//! A store of either engine, batches that it takes, and what can be read back.

use std::sync::Arc;

use procmon_common::config::Secret;
use procmon_server::batch::{Batch, Event, EventKind};
use procmon_server::clock::Clock;
use procmon_server::store::{Append, EventQuery, Limits, Place, Store, format};
use tokio_util::sync::CancellationToken;

use crate::postgres::Cluster;

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const START_MS: i64 = 1_769_860_800_000;

/// Where a store is, for as long as the test runs.
pub(crate) enum Fixture {
    Sqlite(tempfile::TempDir),
    Postgres(Arc<Cluster>, String),
}

impl Fixture {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn postgres() -> Self {
        let cluster = Cluster::shared();
        let dsn = cluster.database();
        Self::Postgres(cluster, dsn)
    }

    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Sqlite(folder) => Place::Directory(folder.path().to_owned()),
            Self::Postgres(_, dsn) => Place::Database(Secret::new(dsn.clone())),
        }
    }

    pub(crate) async fn open(&self) -> Store {
        self.open_within(Clock::System, Limits::default()).await
    }

    pub(crate) async fn open_within(&self, clock: Clock, limits: Limits) -> Store {
        let opened = Store::open_within(self.place(), clock, limits).await;
        let (store, writer) = opened.expect("it opens");
        tokio::spawn(writer.run(CancellationToken::new()));
        store
    }

    /// What there is on the disk, or in the database: files or tables of the log and of segments.
    pub(crate) fn parts(&self) -> Vec<String> {
        let mut parts: Vec<String> = match self {
            Self::Sqlite(folder) => ["slices", "segments"]
                .iter()
                .flat_map(|name| std::fs::read_dir(folder.path().join(name)).expect("a folder"))
                .map(|entry| entry.expect("an entry").file_name())
                .map(|name| name.into_string().expect("a name"))
                .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
                .collect(),
            Self::Postgres(cluster, dsn) => cluster
                .sql(
                    crate::postgres::name_of(dsn),
                    "select tablename from pg_tables where tablename ~ '_[0-9]+$'",
                )
                .lines()
                .map(str::to_owned)
                .collect(),
        };
        parts.sort();
        parts
    }
}

/// A batch with one event at the time it is received.
pub(crate) fn append(seq: u64, received_ms: i64) -> Append {
    append_of("a", seq, received_ms)
}

pub(crate) fn append_of(agent_id: &str, seq: u64, received_ms: i64) -> Append {
    let batch = Batch {
        key: seq == 1,
        events: vec![Event {
            ts_ns: received_ms * 1_000_000,
            life: None,
            sampled: false,
            kind: EventKind::Fork,
        }],
        ..Batch::default()
    };
    append_batch(agent_id, seq, received_ms, &batch)
}

/// Of the first run of an agent.
pub(crate) fn append_batch(agent_id: &str, seq: u64, received_ms: i64, batch: &Batch) -> Append {
    let body = format::encode(batch);
    Append::new(agent_id.into(), (1, seq), received_ms, batch, body)
}

/// Times of all events, newest first, in milliseconds.
pub(crate) async fn times(store: &Store) -> Vec<i64> {
    times_of(store, &EventQuery::default()).await
}

pub(crate) async fn times_of(store: &Store, query: &EventQuery) -> Vec<i64> {
    let mut found = Vec::new();
    let mut before = *store.newest().borrow();
    loop {
        let page = store.events_before(query, before, 2).await;
        let (batches, next) = page.expect("it reads");
        let events = batches.iter().flat_map(|stored| &stored.events);
        found.extend(events.map(|event| event.ts_ns / 1_000_000));
        match next {
            Some(next) => before = next,
            None => return found,
        }
    }
}
