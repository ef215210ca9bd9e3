//! Questions for events of a whole fleet that few hosts have: `cargo bench -p procmon-server --bench events`. Events alone, as many
//! hosts tell them over hours, are stored and compacted; then each kind of question is asked until there is nothing more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;
use procmon_common::ids::{BootId, ProcessId};
use procmon_server::batch::{Batch, Event, EventKind, Exit, Image, Life};
use procmon_server::clock::Clock;
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::segment::ExitBounds;
use procmon_server::store::{Append, EventQuery, Limits, OPEN_SLICES, Place, Store, format};
use sqlx::Connection;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const START_MS: i64 = 1_769_860_800_000;
const MINUTE_MS: i64 = 60_000;
/// Programs that exist, and how many of them a host runs.
const PROGRAMS: u32 = 300;
const PROGRAMS_OF_A_HOST: u32 = 40;
/// One in so many hosts has what is rare, once.
const RARE: u32 = 70;
const REPEATED: u32 = 20;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 200)]
    agents: u32,
    #[arg(long, default_value_t = 6)]
    hours: u32,
    #[arg(long, default_value_t = 6)]
    lives_per_minute: u32,
    /// Segments as versions before 3 wrote them: their rows do not say what is in their bodies.
    #[arg(long)]
    without_digests: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

async fn run(options: Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).await;
    let started = Instant::now();
    fill(&store, &options).await;
    println!(
        "{} hosts, {} h, {} lives a minute each: stored in {:.0} s",
        options.agents,
        options.hours,
        options.lives_per_minute,
        started.elapsed().as_secs_f64()
    );
    let (started, before) = (Instant::now(), cpu());
    let stats = Arc::new(CompactionStats::default());
    while store.contents().slices > OPEN_SLICES as usize {
        compact_once(&store, &stats).await;
    }
    println!(
        "compacted in {:.1} s, {:.1} s of CPU",
        started.elapsed().as_secs_f64(),
        cpu().saturating_sub(before).as_secs_f64()
    );
    store.close().await;
    drop(store);
    print_sizes(folder.path()).await;
    if options.without_digests {
        forget_digests(folder.path()).await;
    }
    let store = open(folder.path()).await;
    println!(
        "{:<28} {:>8} {:>10} {:>10} {:>10} {:>10}",
        "", "batches", "opened", "first ms", "ms", "CPU ms"
    );
    for (name, query) in questions() {
        measure(&store, name, &query).await;
    }
    store.close().await;
}

async fn open(folder: &Path) -> Store {
    let place = Place::Directory(folder.to_owned());
    let opened = Store::open_within(place, Clock::System, Limits::default()).await;
    let (store, writer) = opened.expect("it opens");
    tokio::spawn(writer.run(CancellationToken::new()));
    store
}

fn questions() -> Vec<(&'static str, EventQuery)> {
    let exits = |exits| EventQuery {
        exits,
        ..EventQuery::default()
    };
    let named = |name: &str| EventQuery {
        name_part: Some(name.to_owned()),
        ..EventQuery::default()
    };
    let bounds = ExitBounds::default();
    let signal = |signal| ExitBounds {
        signal: Some(signal),
        ..bounds
    };
    let code = |code| ExitBounds {
        code: Some(code),
        ..bounds
    };
    vec![
        ("a signal of few", exits(signal(11))),
        ("a code of few", exits(code(134))),
        ("a code of none", exits(code(77))),
        ("a name of few", named("rarely")),
        ("a name of none", named("no-such-name")),
        ("a name of every seventh", named("program-17")),
    ]
}

/// Every minute a batch of each host.
async fn fill(store: &Store, options: &Options) {
    let minutes = options.hours * 60 + OPEN_SLICES * 10;
    for minute in 0..minutes {
        let mut appends = JoinSet::new();
        for agent in 0..options.agents {
            let events = if minute < options.hours * 60 {
                lives(agent, minute, options)
            } else {
                Vec::new()
            };
            let append = append(agent, minute, events);
            let store = store.clone();
            appends.spawn(async move { store.append(append).await.expect("it stores") });
        }
        appends.join_all().await;
    }
}

fn append(agent: u32, minute: u32, events: Vec<Event>) -> Append {
    let batch = Batch {
        key: minute == 0,
        events,
        ..Batch::default()
    };
    Append::new(
        format!("host-{agent}").into(),
        (1, u64::from(minute) + 1),
        START_MS + i64::from(minute) * MINUTE_MS,
        &batch,
        format::encode(&batch),
    )
}

/// Ends of lives; starts would tell no more.
fn lives(agent: u32, minute: u32, options: &Options) -> Vec<Event> {
    let each = options.lives_per_minute;
    let mut events: Vec<_> = (0..each)
        .map(|life| {
            let number = (minute * each + life).wrapping_mul(2_654_435_761) >> 8;
            let program = agent * 7 + number % PROGRAMS_OF_A_HOST;
            let name = format!("program-{}", program % PROGRAMS);
            let code = [0, 0, 0, 0, 1, 1, 2, 255][number as usize % 8];
            ended(minute, minute * each + life, &name, (Some(code), None))
        })
        .collect();
    let middle = options.hours * 30;
    if agent % RARE == 3 && minute == middle {
        events.push(ended(minute, 1 << 20, "rarely-seen", (None, Some(11))));
        events.push(ended(minute, 1 << 21, "rarely-seen", (Some(134), None)));
    }
    events
}

fn ended(
    minute: u32,
    number: u32,
    name: &str,
    (code, signal): (Option<u32>, Option<u32>),
) -> Event {
    let ts_ns = (START_MS + i64::from(minute) * MINUTE_MS) * 1_000_000;
    let pid = 1_000 + number % 30_000;
    let args = format!("/usr/bin/{name}\0--run\0{number}\0");
    Event {
        ts_ns,
        life: Some(Arc::new(Life {
            id: Some(ProcessId::booted(pid, u64::from(number), BootId::default())),
            started_ns: Some(ts_ns - 40_000_000),
            image: Some(Arc::new(Image {
                seq: 0,
                name: name.as_bytes().into(),
                exe: format!("/usr/bin/{name}").as_bytes().into(),
                args: args.as_bytes().into(),
                args_bytes: args.len() as u64,
                args_cut: false,
            })),
            ..Life::default()
        })),
        sampled: false,
        kind: EventKind::Exit(Box::new(Exit {
            code,
            signal,
            cpu_time_ns: Some(u64::from(number) * 1_000),
            ..Exit::default()
        })),
    }
}

/// All there is, from the newest to the oldest, again and again.
async fn measure(store: &Store, name: &str, query: &EventQuery) {
    let first = Instant::now();
    ask(store, query).await;
    let first = first.elapsed();
    store
        .stats()
        .event_segments_opened
        .swap(0, Ordering::Relaxed);
    let (started, before) = (Instant::now(), cpu());
    let mut batches = 0;
    for _ in 0..REPEATED {
        batches = ask(store, query).await;
    }
    let each = |whole: Duration| whole.as_secs_f64() * 1e3 / f64::from(REPEATED);
    let opened = store
        .stats()
        .event_segments_opened
        .swap(0, Ordering::Relaxed);
    println!(
        "{name:<28} {batches:>8} {:>10} {:>10.1} {:>10.1} {:>10.1}",
        opened / u64::from(REPEATED),
        first.as_secs_f64() * 1e3,
        each(started.elapsed()),
        each(cpu().saturating_sub(before)),
    );
}

async fn ask(store: &Store, query: &EventQuery) -> usize {
    let (mut found, mut before) = (0, *store.newest().borrow());
    loop {
        let page = store.events_before(query, before, 64).await;
        let (page, next) = page.expect("it reads");
        found += page.len();
        let Some(next) = next else { return found };
        before = next;
    }
}

async fn forget_digests(folder: &Path) {
    for path in heads(folder) {
        let mut connection = sqlx::SqliteConnection::connect(&path)
            .await
            .expect("a file");
        let forget = sqlx::query("update segment set event_digest = null");
        forget
            .execute(&mut connection)
            .await
            .expect("it is changed");
        connection.close().await.expect("it closes");
    }
    println!("(without digests)");
}

/// What the digests take.
async fn print_sizes(folder: &Path) {
    let (mut digests, mut bodies, mut rows) = (0, 0, 0);
    for path in heads(folder) {
        let mut connection = sqlx::SqliteConnection::connect(&path)
            .await
            .expect("a file");
        let sizes = sqlx::query_as::<_, (i64, i64, i64)>(
            "select coalesce(sum(length(event_digest)), 0), coalesce(sum(events_bytes), 0), count(*) from segment",
        );
        let (digest, body, count) = sizes.fetch_one(&mut connection).await.expect("it reads");
        (digests, bodies, rows) = (digests + digest, bodies + body, rows + count);
        connection.close().await.expect("it closes");
    }
    let each = |bytes: i64| bytes / rows.max(1);
    println!(
        "{rows} segments: {} bytes of digest and {} of events each",
        each(digests),
        each(bodies)
    );
}

fn heads(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("segments")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let paths = paths.map(|path| path.to_str().expect("a name").to_owned());
    paths
        .filter(|path| !path.ends_with(".samples.db"))
        .collect()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
