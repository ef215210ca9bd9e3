//! The one task that writes the log: many uploads share one commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::slices::Slices;
use super::{Position, StoreError, TENANT, slice};
use crate::clock::Clock;

/// Batches, and bytes, that share a commit at most.
const GROUP_BATCHES: usize = 256;
const GROUP_BYTES: usize = 16 << 20;
/// Time that a slice covers.
const SLICE_MS: i64 = 3_600_000;

/// A batch to be stored.
#[derive(Clone, Debug)]
pub struct Append {
    pub agent_id: Arc<str>,
    pub epoch: u64,
    pub seq: u64,
    pub received_ms: i64,
    pub key: bool,
    pub more: bool,
    pub event_count: u32,
    pub event_kinds: u32,
    pub event_range_ms: Option<(i64, i64)>,
    pub body: Vec<u8>,
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
pub(super) enum Command {
    Append(Append, Reply<Position>),
    Probe(Reply<()>),
}

/// Totals since start, for the metrics.
#[derive(Debug, Default)]
pub struct WriterStats {
    pub commits: AtomicU64,
    pub commit_nanos: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub failures: AtomicU64,
    pub(super) stopped: AtomicBool,
}

/// Owner of the connection that writes.
#[derive(Debug)]
pub struct Writer {
    slices: Arc<Slices>,
    queue: mpsc::Receiver<Command>,
    newest: watch::Sender<Position>,
    stats: Arc<WriterStats>,
    clock: Clock,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u32,
    hour: i64,
    connection: SqliteConnection,
}

impl Writer {
    pub(super) fn new(
        slices: Arc<Slices>,
        queue: mpsc::Receiver<Command>,
        newest: watch::Sender<Position>,
        stats: Arc<WriterStats>,
        clock: Clock,
    ) -> Self {
        Self {
            slices,
            queue,
            newest,
            stats,
            clock,
            open: None,
        }
    }

    /// Stores what is appended until the shutdown, and then what is still in the queue.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        loop {
            let command = tokio::select! {
                command = self.queue.recv() => command,
                () = shutdown.cancelled() => {
                    self.queue.close();
                    self.queue.recv().await
                }
            };
            let Some(command) = command else { break };
            match command {
                Command::Append(append, reply) => self.write_group(append, reply).await,
                Command::Probe(reply) => {
                    let outcome = self.probe().await;
                    self.note(outcome.is_err());
                    let _ = reply.send(outcome);
                }
            }
        }
        self.stats.stopped.store(true, Ordering::Relaxed);
        if let Some(open) = self.open.take() {
            open.connection.close().await?;
        }
        Ok(())
    }

    async fn write_group(&mut self, append: Append, reply: Reply<Position>) {
        let mut bytes = append.body.len();
        let mut group = vec![append];
        let mut replies = vec![reply];
        let mut probes = Vec::new();
        while group.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Command::Append(append, reply)) => {
                    bytes += append.body.len();
                    group.push(append);
                    replies.push(reply);
                }
                Ok(Command::Probe(reply)) => probes.push(reply),
                Err(_) => break,
            }
        }
        let started = Instant::now();
        let outcome = self.commit(&group).await;
        self.note(outcome.is_err());
        let nanos = started.elapsed().as_nanos() as u64;
        self.stats.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.stats.commits.fetch_add(1, Ordering::Relaxed);
        let verdict = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        match outcome {
            Ok((slice, ids)) => {
                self.stats
                    .batches
                    .fetch_add(ids.len() as u64, Ordering::Relaxed);
                self.stats.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.publish(slice, &ids);
                for (reply, id) in replies.into_iter().zip(ids) {
                    // Nobody waits any more for what is now stored: a retry will find it.
                    let _ = reply.send(Ok(Position::before_batch(slice, id)));
                }
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
        for probe in probes {
            let _ = probe.send(verdict.clone());
        }
    }

    fn publish(&self, slice: u32, ids: &[i64]) {
        if let Some(last) = ids.iter().max() {
            let end = Position::after_batch(slice, *last);
            self.newest.send_if_modified(|newest| {
                let later = end > *newest;
                *newest = end.max(*newest);
                later
            });
        }
    }

    /// A connection that failed is not used again.
    fn note(&mut self, failed: bool) {
        if failed {
            self.stats.failures.fetch_add(1, Ordering::Relaxed);
            self.open = None;
        }
    }

    async fn commit(&mut self, group: &[Append]) -> Result<(u32, Vec<i64>), StoreError> {
        let received_ms = group.first().map_or(0, |append| append.received_ms);
        let open = self.open_for(received_ms).await?;
        let connection = &mut open.connection;
        // A failure in between closes the connection, and that rolls back.
        sqlx::query("begin immediate")
            .execute(&mut *connection)
            .await?;
        let mut ids = Vec::with_capacity(group.len());
        for append in group {
            ids.push(insert(connection, append).await?);
        }
        sqlx::query("commit").execute(&mut *connection).await?;
        Ok((open.number, ids))
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        let open = self.open_for(now_ms).await?;
        sqlx::query("update slice_state set probed_ms = ?1 where id = 1")
            .bind(now_ms)
            .execute(&mut open.connection)
            .await?;
        Ok(())
    }

    /// The slice of an hour: the one that is open, the last one there is, or a new one.
    async fn open_for(&mut self, received_ms: i64) -> Result<&mut Open, StoreError> {
        let hour = received_ms.div_euclid(SLICE_MS);
        if self.open.as_ref().is_some_and(|open| open.hour != hour) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.open_slice(hour).await?);
        }
        self.open.as_mut().ok_or(StoreError::Closed)
    }

    async fn open_slice(&self, hour: i64) -> Result<Open, StoreError> {
        let failed = |error: anyhow::Error| match error.downcast::<sqlx::Error>() {
            Ok(error) => StoreError::from(error),
            Err(error) => StoreError::Failed(format!("{error:#}")),
        };
        let reusable = match self.slices.last() {
            Some(last) => match last.last_received_ms().await? {
                Some(received_ms) if received_ms.div_euclid(SLICE_MS) != hour => None,
                _ => Some(last),
            },
            None => None,
        };
        let slice = match reusable {
            Some(slice) => slice,
            None => self.slices.create_next().await.map_err(failed)?,
        };
        Ok(Open {
            number: slice.number,
            hour,
            connection: slice::connect(&slice.path, self.slices.durable).await?,
        })
    }
}

/// The row's id; a batch that is already there keeps its own.
async fn insert(connection: &mut SqliteConnection, append: &Append) -> Result<i64, StoreError> {
    let range = append.event_range_ms;
    let row = sqlx::query(
        "insert into batch (tenant_id, agent_id, epoch, seq, received_ms, span, event_count, event_kinds, \
         first_event_ms, last_event_ms, body) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         on conflict (tenant_id, agent_id, epoch, seq) do update set seq = excluded.seq returning id",
    )
    .bind(TENANT)
    .bind(&*append.agent_id)
    .bind(append.epoch as i64)
    .bind(append.seq as i64)
    .bind(append.received_ms)
    .bind(i64::from(append.key) + 2 * i64::from(append.more))
    .bind(append.event_count)
    .bind(append.event_kinds)
    .bind(range.map(|range| range.0))
    .bind(range.map(|range| range.1))
    .bind(&append.body)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}
