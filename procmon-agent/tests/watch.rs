//! The watch and its spool, without the kernel's help: batches as the server would get them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use procmon_agent::batch::Speaker;
use procmon_agent::config::{AgentConfig, Flags, Host};
use procmon_agent::redact::Redactor;
use procmon_agent::source::Source;
use procmon_agent::spool::{self, SpoolOptions, SpoolReader};
use procmon_agent::vitals::Vitals;
use procmon_agent::watch::{Watch, WatchOptions};
use procmon_common::wire;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

fn configured() -> tokio::sync::watch::Receiver<Arc<AgentConfig>> {
    let flags = Flags {
        spool_dir: Some("unused".into()),
        interval: Some("1s".into()),
        ..Flags::default()
    };
    let config = AgentConfig::resolve(&flags, Vec::new(), &Host::this()).expect("valid");
    tokio::sync::watch::channel(Arc::new(config)).1
}

struct Running {
    reader: SpoolReader,
    resync: Arc<AtomicBool>,
    shutdown: CancellationToken,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let (writer, reader) = spool::open(folder, SpoolOptions::new(16 << 20)).expect("a spool");
        let resync = Arc::new(AtomicBool::new(false));
        let options = WatchOptions {
            speaker: Speaker::of_this_host("w".into(), HashMap::default(), Duration::from_secs(1))
                .expect("a host"),
            spool_max_bytes: 16 << 20,
            resync: Arc::clone(&resync),
            vitals: Arc::new(Vitals::new(false)),
            config: configured(),
            redactor: Redactor::default(),
            predecessor: None,
        };
        let watch = Watch::new(Source::Sample, writer, options).expect("reads /proc");
        let shutdown = CancellationToken::new();
        let stopping = shutdown.clone();
        let thread = std::thread::spawn(move || watch.run(&stopping));
        Self {
            reader,
            resync,
            shutdown,
            thread,
        }
    }

    /// The next batch, which the server takes.
    fn next(&mut self) -> wire::Batch {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(batch) = self.reader.try_next() {
                self.reader.ack(batch.epoch, batch.seq);
                return wire::decode(&batch.payload, wire::MAX_DECODED_BYTES).expect("a batch");
            }
            assert!(Instant::now() < deadline, "no batch");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) {
        self.shutdown.cancel();
        self.thread.join().expect("no panic").expect("no error");
    }
}

#[test]
fn a_resync_brings_one_key_batch_that_names_everything() {
    let folder = tempfile::tempdir().expect("folder");
    let mut running = Running::start(folder.path());
    let first = running.next();
    assert!(first.key && first.seq == 1 && !first.processes.is_empty());
    assert!(first.health.is_some_and(|health| !health.continued));
    let second = running.next();
    assert!(!second.key);
    running.resync.store(true, Ordering::Relaxed);
    let again = loop {
        let batch = running.next();
        if batch.key {
            break batch;
        }
    };
    assert!(!running.resync.load(Ordering::Relaxed));
    assert!(again.processes.len() > 1 && again.health.is_some());
    assert!(!running.next().key, "one is enough");
    running.stop();
}
