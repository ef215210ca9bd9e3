//! The agent's shipping half over a spool of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmon_agent::ship::{self, ShipState, ShipTarget, ShipTiming};
use procmon_agent::spool::{self, SpoolOptions, SpoolReader, SpoolWriter, SpooledBatch};
use procmon_common::config::Secret;
use procmon_common::wire;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const AGENT: &str = "web-1";
pub(crate) const EPOCH: u64 = 1_700_000_000_000_000_000;
/// Far longer than any of these tests needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn timing() -> ShipTiming {
    ShipTiming {
        request: Duration::from_secs(2),
        first_retry: Duration::from_millis(5),
        longest_retry: Duration::from_millis(40),
        held_retry: Duration::from_millis(60),
        ..ShipTiming::default()
    }
}

pub(crate) fn append(writer: &mut SpoolWriter, agent_id: &str, epoch: u64, seq: u64) {
    let key = writer.needs_key();
    let content = wire::Batch {
        agent_id: agent_id.to_owned(),
        epoch,
        seq,
        key,
        ..wire::Batch::default()
    };
    let batch = SpooledBatch {
        epoch,
        seq,
        key,
        built_unix_ns: seq as i64,
        // As the agent does it.
        payload: wire::Encoder::new()
            .and_then(|mut encoder| encoder.encode(&content))
            .expect("compresses")
            .into(),
    };
    writer.append(batch).expect("a key batch where due");
}

/// An agent's shipping half over a spool of its own.
pub(crate) struct Agent {
    pub(crate) writer: SpoolWriter,
    pub(crate) state: Arc<ShipState>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) fn open(folder: &Path) -> (SpoolWriter, SpoolReader) {
    spool::open(folder, SpoolOptions::new(16 << 20)).expect("opens")
}

impl Agent {
    pub(crate) fn start(folder: &Path, server_url: String) -> Self {
        let (writer, reader) = open(folder);
        Self::with((writer, reader), server_url, None)
    }

    pub(crate) fn with(
        (writer, reader): (SpoolWriter, SpoolReader),
        server_url: String,
        token: Option<Secret>,
    ) -> Self {
        let state = Arc::new(ShipState::default());
        let shutdown = CancellationToken::new();
        let target = ShipTarget {
            timing: timing(),
            ..ShipTarget::new(server_url, AGENT.to_owned(), token)
        };
        let (_, target) = tokio::sync::watch::channel(target);
        let running = ship::run(reader, target, Arc::clone(&state), shutdown.clone());
        Self {
            writer,
            state,
            shutdown,
            task: tokio::spawn(running),
        }
    }

    pub(crate) fn append(&mut self, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            append(&mut self.writer, AGENT, EPOCH, seq);
        }
    }

    /// Waits until every batch is answered for.
    pub(crate) async fn settled(&self) {
        until(|| self.writer.pending() == 0).await;
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended
            .expect("in time")
            .expect("no panic")
            .expect("no error");
    }
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
