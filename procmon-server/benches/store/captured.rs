//! What an agent told of the mix's own processes, and how it is stored.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use procmon_server::batch::{Batch, EventKind};
use procmon_server::store::{Append, LogBatch, SLICE_MS, Store, format};

use crate::filter::Filter;

const HOUR_MS: i64 = 3_600_000;
/// As the server does.
const CHECKPOINT_EVERY_MS: i64 = 2_000;
/// A full hour of some day.
const BEGIN_MS: i64 = 1_769_860_800_000;

pub(crate) struct Captured {
    pub(crate) rows: Vec<(LogBatch, Batch)>,
    /// Processes whose end was told.
    pub(crate) lives: usize,
}

impl Captured {
    pub(crate) async fn read(log: &Path, agent_id: &str, namespace: u32) -> Self {
        let from = crate::open(log, usize::MAX).await;
        let view = from.view();
        let mut filter = Filter::new(namespace);
        let mut found = Self {
            rows: Vec::new(),
            lives: 0,
        };
        // Batches that told only of others are left out, and the rest is numbered as if they had not been.
        let mut left_out = 0;
        for slice in view.slices() {
            let mut after = i64::MIN;
            loop {
                let page = view.slice_batches(slice, agent_id, after, 256).await;
                let page = page.expect("it reads");
                let Some(last) = page.last() else { break };
                after = last.id;
                for mut row in page {
                    let batch = format::decode(&row.body).expect("a stored batch");
                    let batch = filter.apply(batch);
                    if says_nothing(&batch) {
                        left_out += 1;
                        continue;
                    }
                    row.seq -= left_out;
                    found.add(row, batch);
                }
            }
        }
        from.close().await;
        found
    }

    fn add(&mut self, row: LogBatch, batch: Batch) {
        let exits = batch.events.iter();
        let exits = exits.filter(|event| matches!(event.kind, EventKind::Exit(_)));
        self.lives += exits.count();
        self.rows.push((row, batch));
    }

    /// The events alone.
    pub(crate) fn without_samples(&self) -> Self {
        let mut events = Self {
            rows: Vec::new(),
            lives: self.lives,
        };
        for (row, batch) in &self.rows {
            if !batch.events.is_empty() {
                let batch = Batch {
                    events: batch.events.clone(),
                    ..Batch::default()
                };
                events.rows.push((row.clone(), batch));
            }
        }
        events
    }

    /// Stores it for each agent, in the order of arrival.
    pub(crate) async fn write(&self, store: &Store, agent_ids: &[String]) {
        let began_ms = self.rows.first().map_or(0, |(row, _)| row.received_ms);
        let mut checkpoint_ms = began_ms;
        for (row, batch) in &self.rows {
            if row.received_ms >= checkpoint_ms {
                store.checkpoint().await.expect("it is written");
                checkpoint_ms = row.received_ms + CHECKPOINT_EVERY_MS;
            }
            let received_ms = BEGIN_MS + row.received_ms - began_ms;
            let appends = agent_ids
                .iter()
                .map(|agent_id| store.append(append(agent_id, row, received_ms, batch)));
            for outcome in join_all(appends).await {
                outcome.expect("it stores");
            }
        }
    }
}

fn says_nothing(batch: &Batch) -> bool {
    let lists = batch.lives.is_empty() && batch.ended.is_empty() && batch.events.is_empty();
    lists && batch.frame.is_none() && !batch.key && !batch.continues
}

fn append(agent_id: &str, row: &LogBatch, received_ms: i64, batch: &Batch) -> Append {
    Append {
        more: row.more,
        ..Append::new(
            agent_id.into(),
            (row.epoch, row.seq),
            received_ms,
            batch,
            format::encode(batch),
        )
    }
}

/// A batch of another agent, received so long after the end of the hour.
async fn filler(store: &Store, seq: u64, after_ms: i64) {
    let row = LogBatch {
        id: 0,
        epoch: 1,
        seq,
        received_ms: 0,
        key: false,
        more: false,
        body: Vec::new(),
    };
    let received_ms = BEGIN_MS + HOUR_MS + after_ms;
    let filler = append("filler", &row, received_ms, &Batch::default());
    store.append(filler).await.expect("it stores");
}

const SLICES: i64 = 5;

/// Whatever comes an hour later closes what was captured.
pub(crate) async fn close_slices(store: &Store) {
    for slice in 0..SLICES {
        filler(store, slice as u64, slice * SLICE_MS).await;
    }
}

const BETWEEN_APPENDS: Duration = Duration::from_millis(20);

/// Stores small batches for as long as it is told to; returns how many milliseconds each took.
pub(crate) async fn append_while(
    store: &Store,
    first_seq: u64,
    mut goes_on: impl FnMut(usize) -> bool,
) -> Vec<f64> {
    let mut all_ms = Vec::new();
    while goes_on(all_ms.len()) {
        let started = Instant::now();
        let seq = first_seq + all_ms.len() as u64;
        filler(store, seq, (SLICES - 1) * SLICE_MS).await;
        all_ms.push(started.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(BETWEEN_APPENDS).await;
    }
    all_ms
}

pub(crate) fn bytes_of_log(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder.join("slices")).expect("a folder");
    let entries = entries.map(|entry| entry.expect("an entry").metadata().expect("its size"));
    entries.map(|metadata| metadata.len()).sum()
}

/// Sizes of the files with an agent's segments: samples, and events with heads.
pub(crate) async fn bytes_of(store: &Store, folder: &Path, agent_id: &str) -> (u64, u64) {
    let heads = store.segments(agent_id, i64::MIN, i64::MAX).await;
    let (mut samples, mut events) = (0, 0);
    for head in heads.expect("it reads") {
        let stem = format!(
            "{:010}-{:010}-{}",
            head.first_slice, head.last_slice, head.level
        );
        let bytes = |name: &str| {
            let path = folder.join("segments").join(format!("{stem}{name}"));
            std::fs::metadata(path).map_or(0, |metadata| metadata.len())
        };
        samples += bytes(".samples.db");
        events += bytes(".db");
    }
    (samples, events)
}
