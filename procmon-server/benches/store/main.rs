//! What a log takes once it is compacted: started by `cargo xtask bench store`, which says what is in the log.

#[path = "../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "it is made for tests, which use more of it")]
mod postgres;

mod captured;
mod filter;
mod peer;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column};
use procmon_server::clock::Clock;
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::history::{HostSamples, LifeFilter, SampleQuery};
use procmon_server::store::{ARGV_BYTES, Limits, Place, Store};
use tokio_util::sync::CancellationToken;

use captured::Captured;
use report::{Measured, process_cpu_s};

/// What the server itself has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// CPU time is that of a store with about so many rows or ends of lives, of as many agents as it takes, each of which told the
/// same: what a file costs is that of all agents.
const ROWS: usize = 1_000_000;
const LIVES: usize = 50_000;
const MOST_AGENTS: usize = 64;

struct Arguments {
    mix: String,
    namespace: u32,
    log: PathBuf,
    agents: Vec<String>,
    peers: bool,
    argv_bytes: usize,
}

/// What `cargo xtask bench store` gives; `cargo bench` adds an argument of its own. None when started by anybody else.
fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        mix: String::new(),
        namespace: 0,
        log: PathBuf::new(),
        agents: Vec::new(),
        peers: true,
        argv_bytes: ARGV_BYTES,
    };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        match name.as_str() {
            "--mix" => found.mix = all.next()?,
            "--namespace" => found.namespace = all.next()?.parse().ok()?,
            "--log" => found.log = all.next()?.into(),
            "--agent" => found.agents.push(all.next()?),
            "--no-peers" => found.peers = false,
            "--argv-bytes" => found.argv_bytes = all.next()?.parse().ok()?,
            _ => {}
        }
    }
    (!found.agents.is_empty()).then_some(found)
}

fn main() {
    let Some(arguments) = arguments() else {
        println!("store: run it by `cargo xtask bench store`, which captures what it measures");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for agent_id in &arguments.agents {
            measure(&arguments, agent_id).await;
        }
    });
}

async fn open(folder: &Path, argv_bytes: usize) -> Store {
    let place = Place::Directory(folder.to_owned());
    let limits = Limits {
        argv_bytes: Some(argv_bytes),
        ..Limits::default()
    };
    let opened = Store::open_within(place, Clock::System, limits).await;
    let (store, writer) = opened.expect("a store");
    tokio::spawn(writer.run(CancellationToken::new()));
    store
}

async fn measure(arguments: &Arguments, agent_id: &str) {
    let captured = Captured::read(&arguments.log, agent_id, arguments.namespace).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), arguments.argv_bytes).await;
    captured.write(&store, &[agent_id.to_owned()]).await;
    captured::close_slices(&store).await;
    let log_bytes = captured::bytes_of_log(folder.path());
    let before = samples(&store, agent_id).await;
    compact_once(&store, &Arc::new(CompactionStats::default())).await;
    let (sample_bytes, event_bytes) = captured::bytes_of(&store, folder.path(), agent_id).await;
    let after = samples(&store, agent_id).await;
    assert!(before == after, "compaction changed what the samples say");
    let (rows, changed_rows) = count_rows(&before);
    let copies = ROWS.div_ceil(rows.max(1));
    let copies = copies.min(LIVES.div_ceil(captured.lives.max(1)));
    let copies = copies.clamp(1, MOST_AGENTS);
    let compaction = compact(&captured, copies, arguments.argv_bytes).await;
    let of_events = compact(&captured.without_samples(), copies, arguments.argv_bytes).await;
    Measured {
        mix: &arguments.mix,
        agent_id,
        batches: captured.rows.len(),
        samples: before.sample_ms.len(),
        rows,
        changed_rows,
        lives: captured.lives,
        log_bytes,
        sample_bytes,
        event_bytes,
        cpu_s: compaction.cpu_s / copies as f64,
        events_cpu_s: of_events.cpu_s / copies as f64,
        slowest_append_ms: (compaction.slowest_append_ms, compaction.slowest_alone_ms),
        copies,
        read_one_ms: read_one_ms(&store, agent_id, &after).await,
    }
    .print();
    if arguments.peers && rows > 0 {
        peer::measure(&before);
    }
}

/// What compaction takes, and what ingest waits for meanwhile.
struct Compaction {
    cpu_s: f64,
    /// The slowest of the batches that were stored while it ran, and of as many after it.
    slowest_append_ms: f64,
    slowest_alone_ms: f64,
}

/// Reading the log, compacting and writing, when so many agents have told the same.
async fn compact(captured: &Captured, copies: usize, argv_bytes: usize) -> Compaction {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), argv_bytes).await;
    let agent_ids: Vec<_> = (0..copies).map(|copy| format!("copy-{copy}")).collect();
    captured.write(&store, &agent_ids).await;
    captured::close_slices(&store).await;
    let cpu_s = process_cpu_s();
    let compacting = tokio::spawn({
        let store = store.clone();
        async move { compact_once(&store, &Arc::new(CompactionStats::default())).await }
    });
    let during_ms = captured::append_while(&store, 1_000, |_| !compacting.is_finished()).await;
    compacting.await.expect("it ends");
    let cpu_s = process_cpu_s() - cpu_s;
    // As many, so that what they take can be taken off.
    let appends = process_cpu_s();
    let alone_ms = captured::append_while(&store, 1_000_000, |count| count < during_ms.len()).await;
    let cpu_s = cpu_s - (process_cpu_s() - appends);
    let slowest = |all_ms: &[f64]| all_ms.iter().copied().fold(0.0, f64::max);
    Compaction {
        cpu_s,
        slowest_append_ms: slowest(&during_ms),
        slowest_alone_ms: slowest(&alone_ms),
    }
}

/// Readings, of which one is too short to be measured.
const TIMES: u32 = 24;

/// CPU time of one column of one process, as a chart asks for it.
async fn read_one_ms(store: &Store, agent_id: &str, samples: &HostSamples) -> f64 {
    let Some(id) = samples.lives.first().and_then(|life| life.life.id) else {
        return f64::NAN;
    };
    let mut query = query(agent_id, LifeFilter::Id(id));
    query.columns = vec![Column::CpuCentipercent];
    query.ports = false;
    query.short_lived = false;
    let cpu_s = process_cpu_s();
    for _ in 0..TIMES {
        store.samples(&query).await.expect("it reads");
    }
    (process_cpu_s() - cpu_s) * 1000.0 / f64::from(TIMES)
}

fn query(agent_id: &str, lives: LifeFilter) -> SampleQuery {
    SampleQuery {
        agent_id: agent_id.into(),
        from_ms: i64::MIN,
        to_ms: i64::MAX,
        clock_offset_ms: 0,
        lives,
        columns: COLUMNS.to_vec(),
        ports: true,
        short_lived: true,
        reaching: Vec::new(),
    }
}

async fn samples(store: &Store, agent_id: &str) -> HostSamples {
    let query = query(agent_id, LifeFilter::All);
    let mut found = store.samples(&query).await.expect("it reads");
    // Those that were first in the same sample have no order among them, and pids may have begun anew within a tick.
    found
        .lives
        .sort_by_key(|life| (life.first, life.life.id.map(|id| id.pid)));
    found
}

/// Process-rows, and how many of them differ from the one before.
fn count_rows(samples: &HostSamples) -> (usize, usize) {
    let (mut rows, mut changed) = (0, 0);
    for life in &samples.lives {
        rows += life.last - life.first + 1;
        let of_life = life.columns.iter().flatten();
        let indices: std::collections::BTreeSet<u32> = of_life.map(|(index, _)| *index).collect();
        changed += indices.len();
    }
    (rows, changed)
}
