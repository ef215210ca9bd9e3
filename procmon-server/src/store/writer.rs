//! The one task that writes the log: many uploads share one commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::bail;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::append::Append;
use super::catalog::Shelf;
use super::engine::Engine;
use super::pace::Pace;
use super::part::Part;
use super::stats::StoreStats;
use super::{Position, StoreError, postgres, sqlite};
use crate::clock::Clock;

/// Batches, and bytes, that share a commit at most.
const GROUP_BATCHES: usize = 256;
const GROUP_BYTES: usize = 16 << 20;
/// Time that a slice covers at most.
pub const SLICE_MS: i64 = 600_000;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

#[derive(Debug)]
pub(super) enum Command {
    Append(Append, Reply<Position>),
    Probe(Reply<()>),
    Checkpoint(Reply<()>),
}

/// Owner of the connection that writes.
#[derive(Debug)]
pub struct Writer {
    engine: Arc<Engine>,
    shelf: Arc<Shelf>,
    slice_ms: i64,
    queue: mpsc::Receiver<Command>,
    newest: watch::Sender<Position>,
    stats: Arc<StoreStats>,
    clock: Clock,
    open: Option<Open>,
    /// Batches whose commit failed, by agent: they may be stored all the same, in that slice. An agent sends one batch at a
    /// time, and that one again; so this is as long as the list of agents at most.
    unsure: HashMap<Arc<str>, (u64, u64, u32)>,
    pace: Pace,
    /// The last commit failed.
    failing: bool,
    /// Another server has the database.
    taken: bool,
}

#[derive(Debug)]
struct Open {
    number: u32,
    /// Which stretch of received time.
    stretch: i64,
    connection: Connection,
}

/// The connection that writes the log.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(sqlite::SliceWriter),
    Postgres(postgres::SliceWriter),
}

impl Writer {
    pub(super) fn new(
        (engine, shelf): (Arc<Engine>, Arc<Shelf>),
        slice_ms: i64,
        queue: mpsc::Receiver<Command>,
        newest: watch::Sender<Position>,
        stats: Arc<StoreStats>,
        clock: Clock,
    ) -> Self {
        Self {
            engine,
            shelf,
            slice_ms,
            queue,
            newest,
            stats,
            clock,
            open: None,
            unsure: HashMap::new(),
            pace: Pace::default(),
            failing: false,
            taken: false,
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
                Command::Append(append, reply) => {
                    if let Some(earliest) = self.pace.earliest(&append.agent_id)
                        && self.queue.len() < GROUP_BATCHES
                        && !shutdown.is_cancelled()
                    {
                        tokio::time::sleep_until(earliest).await;
                    }
                    self.write_group(append, reply).await;
                }
                Command::Probe(reply) => {
                    let outcome = self.probe().await;
                    self.note(outcome.as_ref().err());
                    let _ = reply.send(outcome);
                }
                Command::Checkpoint(reply) => self.checkpoint(reply).await,
            }
            if self.taken {
                bail!(
                    "another procmon-server took the database while this one could not reach it; only one may use it, and \
                     this one stops"
                );
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
        let mut checkpoint = None;
        while group.len() < GROUP_BATCHES && bytes < GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Command::Append(append, reply)) => {
                    bytes += append.body.len();
                    group.push(append);
                    replies.push(reply);
                }
                Ok(Command::Probe(reply)) => probes.push(reply),
                Ok(Command::Checkpoint(reply)) => {
                    checkpoint = Some(reply);
                    break;
                }
                Err(_) => break,
            }
        }
        if let Some(last) = group.last() {
            self.pace.note(&last.agent_id, group.len());
        }
        let started = Instant::now();
        let outcome = self.commit(&group).await;
        self.note(outcome.as_ref().err());
        let nanos = started.elapsed().as_nanos() as u64;
        self.stats.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.stats.commits.fetch_add(1, Ordering::Relaxed);
        let verdict = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        match outcome {
            Ok(places) => {
                self.stats
                    .batches
                    .fetch_add(places.len() as u64, Ordering::Relaxed);
                self.stats.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.publish(&places);
                for (reply, (slice, id)) in replies.into_iter().zip(places) {
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
        if let Some(reply) = checkpoint {
            self.checkpoint(reply).await;
        }
    }

    fn publish(&self, places: &[(u32, i64)]) {
        if let Some((slice, last)) = places.iter().max() {
            let end = Position::after_batch(*slice, *last);
            self.newest.send_if_modified(|newest| {
                let later = end > *newest;
                *newest = end.max(*newest);
                later
            });
        }
    }

    /// Counts how a commit ended. A connection that failed is not used again.
    fn note(&mut self, error: Option<&StoreError>) {
        let failing = self.failing;
        self.failing = error.is_some();
        let Some(error) = error else {
            if failing {
                tracing::info!("batches are stored again");
            }
            return;
        };
        // Once, however many agents try in vain.
        if !failing {
            tracing::error!(%error, "batches cannot be stored; agents are told to send them again");
        }
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        self.open = None;
        self.taken |= matches!(error, StoreError::Taken);
    }

    /// Moves what is left of the write-ahead log to its place while nothing is added to it: only then can it begin anew.
    async fn checkpoint(&mut self, reply: Reply<()>) {
        let outcome = match &mut self.open {
            Some(open) => open.connection.checkpoint().await,
            None => Ok(()),
        };
        let _ = reply.send(outcome);
    }

    /// Stores a group; returns the slice and the row of each.
    async fn commit(&mut self, group: &[Append]) -> Result<Vec<(u32, i64)>, StoreError> {
        if let Some(first) = group.first() {
            // First of all, because it says at once when there is no database.
            self.open_for(first.received_ms).await?;
        }
        let stored = self.stored_before(group).await?;
        let new: Vec<&Append> = (group.iter().zip(&stored))
            .filter_map(|(append, place)| place.is_none().then_some(append))
            .collect();
        let mut written = Vec::new().into_iter();
        let mut slice = 0;
        if let Some(first) = new.first() {
            let open = self.open_for(first.received_ms).await?;
            slice = open.number;
            match open.connection.insert(&new).await {
                Ok(ids) => written = ids.into_iter(),
                Err(error) => {
                    for append in new {
                        let key = (append.epoch, append.seq, slice);
                        self.unsure.insert(Arc::clone(&append.agent_id), key);
                    }
                    return Err(error);
                }
            }
        }
        let places = stored.into_iter().map(|place| match place {
            Some(place) => Some(place),
            None => Some((slice, written.next()?)),
        });
        let places: Option<Vec<_>> = places.collect();
        places.ok_or_else(|| StoreError::Failed("rows are missing after a commit".to_owned()))
    }

    /// Where batches are whose commit failed before but had taken effect.
    async fn stored_before(
        &mut self,
        group: &[Append],
    ) -> Result<Vec<Option<(u32, i64)>>, StoreError> {
        let mut places = vec![None; group.len()];
        if self.unsure.is_empty() {
            return Ok(places);
        }
        let view = self.shelf.view();
        for (append, place) in group.iter().zip(&mut places) {
            let Some((epoch, seq, slice)) = self.unsure.get(&append.agent_id).copied() else {
                continue;
            };
            if (epoch, seq) == (append.epoch, append.seq)
                && let Some(part) = view.slices.get(&slice)
            {
                let key = (&*append.agent_id, epoch, seq);
                *place = part.row_of(key).await?.map(|id| (slice, id));
            }
            self.unsure.remove(&append.agent_id);
        }
        Ok(places)
    }

    async fn probe(&mut self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        let open = self.open_for(now_ms).await?;
        open.connection.probe(now_ms).await
    }

    /// The slice of a time: the one that is open, the last one there is, or a new one.
    async fn open_for(&mut self, received_ms: i64) -> Result<&mut Open, StoreError> {
        let stretch = received_ms.div_euclid(self.slice_ms);
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.stretch != stretch)
        {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.open_slice(stretch).await?);
        }
        self.open.as_mut().ok_or(StoreError::Closed)
    }

    async fn open_slice(&self, stretch: i64) -> Result<Open, StoreError> {
        self.engine.reach().await?;
        let number = match self.reusable(stretch).await? {
            Some(number) => number,
            None => self.create_next().await?,
        };
        Ok(Open {
            number,
            stretch,
            connection: self.engine.connect(number).await?,
        })
    }

    /// The last slice, when it is empty or of the same stretch.
    async fn reusable(&self, stretch: i64) -> Result<Option<u32>, StoreError> {
        let view = self.shelf.view();
        let Some((number, part)) = view.last_slice() else {
            return Ok(None);
        };
        let same = match part.newest().await? {
            Some((_, received_ms)) => received_ms.div_euclid(self.slice_ms) == stretch,
            None => true,
        };
        Ok(same.then_some(number))
    }

    async fn create_next(&self) -> Result<u32, StoreError> {
        let number = self.shelf.view().next_number();
        let part: Part = self.engine.create_slice(number).await?;
        self.shelf
            .change(|catalog| catalog.slices.insert(number, Arc::new(part)));
        Ok(number)
    }
}

impl Connection {
    /// Stores batches in one transaction; returns their rows. A failure in between closes the connection, and that rolls
    /// back; a failure of the commit itself leaves it open whether they are stored.
    async fn insert(&mut self, group: &[&Append]) -> Result<Vec<i64>, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.insert(group).await,
            Self::Postgres(writer) => writer.insert(group).await,
        }
    }

    async fn probe(&mut self, now_ms: i64) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writer) => writer.probe(now_ms).await,
            Self::Postgres(writer) => writer.probe(now_ms).await,
        }
    }

    async fn checkpoint(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writer) => writer.checkpoint().await,
            Self::Postgres(_) => Ok(()),
        }
    }

    async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writer) => writer.close().await,
            Self::Postgres(_) => Ok(()),
        }
    }
}
