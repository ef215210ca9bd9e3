//! What a log takes once it is compacted: started by `cargo xtask bench store`, which says what is in the log.

#[path = "../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "it is made for tests, which use more of it")]
mod postgres;

mod filter;
mod peer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use procmon_common::columns::COLUMNS;
use procmon_server::batch::EventKind;
use procmon_server::clock::Clock;
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::history::{HostSamples, LifeFilter, SampleQuery};
use procmon_server::store::{Append, Limits, Place, SLICE_MS, Store, format};
use tokio_util::sync::CancellationToken;

use filter::Filter;

const HOUR_MS: i64 = 3_600_000;
/// A full hour of some day.
const BEGIN_MS: i64 = 1_769_860_800_000;

struct Arguments {
    mix: String,
    namespace: u32,
    log: PathBuf,
    agents: Vec<String>,
    peers: bool,
}

/// What `cargo xtask bench store` gives; `cargo bench` adds an argument of its own. None when started by anybody else.
fn arguments() -> Option<Arguments> {
    let mut found = Arguments {
        mix: String::new(),
        namespace: 0,
        log: PathBuf::new(),
        agents: Vec::new(),
        peers: true,
    };
    let mut all = std::env::args().skip(1);
    while let Some(name) = all.next() {
        match name.as_str() {
            "--mix" => found.mix = all.next()?,
            "--namespace" => found.namespace = all.next()?.parse().ok()?,
            "--log" => found.log = all.next()?.into(),
            "--agent" => found.agents.push(all.next()?),
            "--no-peers" => found.peers = false,
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

async fn open(folder: &Path) -> Store {
    let place = Place::Directory(folder.to_owned());
    let opened = Store::open_within(place, Clock::System, Limits::default()).await;
    let (store, writer) = opened.expect("a store");
    tokio::spawn(writer.run(CancellationToken::new()));
    store
}

async fn measure(arguments: &Arguments, agent_id: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let captured = copy(arguments, agent_id, &store).await;
    // Whatever comes an hour later closes what was captured.
    for slice in 0..5 {
        let filler = filler(BEGIN_MS + HOUR_MS + slice * SLICE_MS, slice as u64);
        store.append(filler).await.expect("it stores");
    }
    let samples = samples(&store, agent_id).await;
    let log_bytes = bytes_in(&folder.path().join("slices"), "");
    let stats = Arc::new(CompactionStats::default());
    let (cpu, started) = (cpu_s(), Instant::now());
    compact_once(&store, &stats).await;
    let (cpu, took) = (cpu_s() - cpu, started.elapsed());
    let files = folder.path().join("segments");
    let sample_bytes = bytes_in(&files, ".samples.db");
    let event_bytes = bytes_in(&files, ".db") - sample_bytes;
    let (rows, changed) = rows(&samples);
    let millions = rows as f64 / 1e6;
    println!(
        "{} {agent_id}: {} batches, {} samples, {rows} process-rows ({:.1} % changed), {} lives",
        arguments.mix,
        captured.batches,
        samples.sample_ms.len(),
        changed as f64 * 100.0 / rows.max(1) as f64,
        captured.lives,
    );
    println!(
        "  samples {sample_bytes} bytes: {:.3} per row; events and heads {event_bytes} bytes: {:.1} per life; log before {log_bytes}",
        sample_bytes as f64 / rows.max(1) as f64,
        event_bytes as f64 / captured.lives.max(1) as f64,
    );
    println!(
        "  compaction {cpu:.3} CPU s in {took:.2?}: {:.3} per million rows, {:.2} per million lives",
        cpu / millions,
        cpu / (captured.lives.max(1) as f64 / 1e6),
    );
    let query = query(agent_id, LifeFilter::All);
    let cpu = cpu_s();
    let after = store.samples(&query).await.expect("it reads");
    println!("  reading all columns of all: {:.3} CPU s", cpu_s() - cpu);
    assert_eq!(rows_of(&after), rows, "nothing is lost");
    read_one(&store, agent_id, &after).await;
    if arguments.peers && rows > 0 {
        peer::measure(&samples);
    }
}

/// Readings, of which one is too short to be measured.
const TIMES: u32 = 24;

/// One column of one process, as a chart asks for it.
async fn read_one(store: &Store, agent_id: &str, samples: &HostSamples) {
    let Some(id) = samples.lives.first().and_then(|life| life.life.id) else {
        return;
    };
    let mut query = query(agent_id, LifeFilter::Id(id));
    query.columns = vec![procmon_common::columns::Column::CpuCentipercent];
    query.ports = false;
    query.short_lived = false;
    let cpu = cpu_s();
    for _ in 0..TIMES {
        store.samples(&query).await.expect("it reads");
    }
    let ms = (cpu_s() - cpu) * 1000.0;
    println!("  reading one column of one process, {TIMES} times: {ms:.2} CPU ms");
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
    }
}

async fn samples(store: &Store, agent_id: &str) -> HostSamples {
    let query = query(agent_id, LifeFilter::All);
    store.samples(&query).await.expect("it reads")
}

struct Captured {
    batches: usize,
    lives: usize,
}

/// What the log says of the bench's own processes, into a store of its own.
async fn copy(arguments: &Arguments, agent_id: &str, into: &Store) -> Captured {
    let from = open(&arguments.log).await;
    let view = from.view();
    let mut filter = Filter::new(arguments.namespace);
    let mut captured = Captured {
        batches: 0,
        lives: 0,
    };
    let mut begin_ms = None;
    for slice in view.slices() {
        let mut after = i64::MIN;
        loop {
            let rows = view.slice_batches(slice, agent_id, after, 256).await;
            let rows = rows.expect("it reads");
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in rows {
                let batch = format::decode(&row.body).expect("a stored batch");
                let batch = filter.apply(batch);
                let began = *begin_ms.get_or_insert(row.received_ms);
                let exits = batch.events.iter();
                let exits = exits.filter(|event| matches!(event.kind, EventKind::Exit(_)));
                captured.lives += exits.count();
                captured.batches += 1;
                let append = Append {
                    agent_id: agent_id.into(),
                    epoch: row.epoch,
                    seq: row.seq,
                    received_ms: BEGIN_MS + row.received_ms - began,
                    key: batch.key,
                    more: row.more,
                    event_count: batch.events.len() as u32,
                    event_kinds: batch.event_kinds().0,
                    event_range_ms: batch.event_range_ms(),
                    body: format::encode(&batch),
                };
                into.append(append).await.expect("it stores");
            }
        }
    }
    from.close().await;
    captured
}

fn filler(received_ms: i64, seq: u64) -> Append {
    Append {
        agent_id: "filler".into(),
        epoch: 1,
        seq,
        received_ms,
        key: false,
        more: false,
        event_count: 0,
        event_kinds: 0,
        event_range_ms: None,
        body: format::encode(&procmon_server::batch::Batch::default()),
    }
}

fn rows_of(samples: &HostSamples) -> usize {
    let lives = samples.lives.iter();
    lives.map(|life| life.last - life.first + 1).sum()
}

/// Process-rows, and how many of them differ from the one before.
fn rows(samples: &HostSamples) -> (usize, usize) {
    let mut changed = 0;
    for life in &samples.lives {
        let of_life = life.columns.iter().flatten();
        let indices: std::collections::BTreeSet<u32> = of_life.map(|(index, _)| *index).collect();
        changed += indices.len();
    }
    (rows_of(samples), changed)
}

/// Sizes of the files in a folder whose names end like that.
fn bytes_in(folder: &Path, suffix: &str) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let entries = entries.map(|entry| entry.expect("an entry"));
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(suffix));
    named
        .map(|entry| entry.metadata().expect("its size").len())
        .sum()
}

/// CPU time of this process.
fn cpu_s() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists and the pointer is to a timespec of this frame.
    #[expect(unsafe_code, reason = "the standard library has no CPU clock")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
