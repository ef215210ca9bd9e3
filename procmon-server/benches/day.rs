//! A day of one host in minutes: `cargo xtask load --day`. A server in this process, whose clock is set by hand, takes what an agent
//! sends in 24 hours over real HTTP; then its history is asked for.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use procmon_common::config::parse_duration;
use procmon_common::wire::{self, Ack, Encoder};
use procmon_load::connection::Connection;
use procmon_load::host::{Host, Outgoing, Plan};
use procmon_load::quantiles::Quantiles;
use procmon_server::clock::Clock;
use serde_json::Value;
use support::{START_MS, Server};

const AGENT: &str = "day";
const HOUR_MS: i64 = 3_600_000;
/// Requests of each kind, each about another process.
const REQUESTS: u32 = 50;
const SERIES_BUDGETS: [(&str, i64, f64); 2] = [
    ("series over 1 h", HOUR_MS, 10.0),
    ("series over 24 h", 24 * HOUR_MS, 60.0),
];
/// For the store to become quiet when the day is over.
const SETTLE_LIMIT: Duration = Duration::from_mins(3);

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value = "5s", value_parser = interval)]
    interval: Duration,
    #[arg(long, default_value_t = 300)]
    processes: u32,
    #[arg(long, default_value_t = 24)]
    hours: i64,
    #[arg(long, default_value_t = 6.0)]
    lives_per_minute: f64,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration"))
}

/// What was sent.
#[derive(Default)]
struct Sent {
    batches: u64,
    samples: u64,
    rows: u64,
    lives: u64,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

async fn run(options: Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_in(folder.path(), Clock::manual(START_MS)).await;
    let started = Instant::now();
    let (sent, last_ms) = send(&server, &options).await;
    println!(
        "{} h of {} processes each {:?}: {} batches, {} samples, {} process rows, {} lives, sent in {:.1} s",
        options.hours,
        options.processes,
        options.interval,
        sent.batches,
        sent.samples,
        sent.rows,
        sent.lives,
        started.elapsed().as_secs_f64()
    );
    settle(&server).await;
    let bytes = disk_bytes(folder.path());
    println!(
        "on disk: {:.1} MiB, {:.2} bytes per process row, events included",
        bytes as f64 / f64::from(1 << 20),
        bytes as f64 / sent.rows as f64
    );
    let mib = |part: &str| disk_bytes(&folder.path().join(part)) as f64 / f64::from(1 << 20);
    println!(
        "segments {:.2} MiB, the log since {:.2} MiB",
        mib("segments"),
        mib("slices")
    );
    println!(
        "{:<32} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "milliseconds", "p50", "p95", "p99", "max", "CPU"
    );
    let mut connection = Connection::new(&server.address.to_string());
    for (name, range_ms, budget_ms) in SERIES_BUDGETS {
        let range_ms = range_ms.min(options.hours * HOUR_MS);
        let path = |pid: u32| {
            format!(
                "/api/v1/processes/{pid}/series?agent_id={AGENT}&metric=cpu_percent&stats=count&from={}&to={}",
                time(last_ms - range_ms),
                time(last_ms)
            )
        };
        let counted = measure(&mut connection, name, &path, Some(budget_ms)).await;
        let expected =
            u64::from(REQUESTS) * (range_ms as u64 / options.interval.as_millis() as u64);
        println!("{:<32} {counted} samples counted of {expected}", "");
    }
    let seven = |pid: u32| {
        format!(
            "/api/v1/processes/{pid}/series?agent_id={AGENT}&from={}&to={}&metric=cpu_percent,memory_rss,memory_percent,num_threads,\
             read_bytes_per_s,write_bytes_per_s,voluntary_switches&stats=min,max",
            time(last_ms - 24 * HOUR_MS),
            time(last_ms)
        )
    };
    measure(&mut connection, "7 metrics, 3 figures, 24 h", &seven, None).await;
    let history = |pid: u32| format!("/api/v1/processes/{pid}/history?agent_id={AGENT}&minutes=60");
    measure(&mut connection, "history over 1 h", &history, None).await;
    let at = |pid: u32| {
        let at_ms = last_ms
            - (options.hours - 1) * HOUR_MS / i64::from(REQUESTS) * i64::from(pid % REQUESTS);
        format!(
            "/api/v1/processes?agent_id={AGENT}&at={}&limit=1000",
            time(at_ms)
        )
    };
    measure(&mut connection, "the list as it was", &at, None).await;
    let failures = |_| format!("/api/v1/events?agent_id={AGENT}&type=exit&signal=9&limit=1000");
    measure(&mut connection, "exits by a signal, 24 h", &failures, None).await;
    let named = |_| format!("/api/v1/events?agent_id={AGENT}&name=no-such-name");
    measure(&mut connection, "a name nobody has, 24 h", &named, None).await;
    let ids = ids_of_the_day(&mut connection, last_ms).await;
    let life = |number: u32| {
        let id = &ids[number as usize % ids.len()];
        format!("/api/v1/processes/by-id/{id}?agent_id={AGENT}")
    };
    measure(&mut connection, "a whole life, ended", &life, None).await;
    server.stop().await;
}

fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).expect("a time");
    time.to_string()
}

/// Plays the day; returns the time of the last batch.
async fn send(server: &Server, options: &Options) -> (Sent, i64) {
    let mut host = Host::new(Plan {
        agent: 1,
        agent_id: AGENT.to_owned(),
        processes: options.processes,
        interval_ms: options.interval.as_millis() as u32,
        lives_per_minute: options.lives_per_minute,
        first_sample_ns: START_MS * 1_000_000,
    });
    let mut connection = Connection::new(&server.address.to_string());
    let mut encoder = Encoder::new().expect("an encoder");
    let end_ns = (START_MS + options.hours * HOUR_MS) * 1_000_000;
    let (mut sent, mut now_ns) = (Sent::default(), START_MS * 1_000_000);
    loop {
        now_ns = host.next_batch_ns().max(now_ns);
        if now_ns > end_ns {
            return (sent, server.clock.now_ms());
        }
        let ahead_ms = now_ns.div_euclid(1_000_000) - server.clock.now_ms();
        server.clock.advance_ms(ahead_ms.max(0));
        for outgoing in host.batches(now_ns) {
            sent.batches += 1;
            sent.lives += outgoing.execs.len() as u64;
            if outgoing.is_sample {
                sent.samples += 1;
                sent.rows += host.process_count() as u64;
            }
            if post(&mut connection, &mut encoder, &outgoing).await.resync {
                host.resync();
            }
        }
    }
}

async fn post(connection: &mut Connection, encoder: &mut Encoder, outgoing: &Outgoing) -> Ack {
    let body = encoder.encode(&outgoing.batch).expect("compresses");
    let headers = format!(
        "Content-Type: {}\r\nContent-Encoding: {}\r\n",
        wire::CONTENT_TYPE,
        wire::CONTENT_ENCODING
    );
    let path = format!("/api/v1/agents/{AGENT}/batches");
    let answer = connection
        .post(&path, &headers, &body)
        .await
        .expect("an answer");
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    serde_json::from_slice(&answer.body).expect("an acknowledgement")
}

/// Waits until compaction has nothing more to do: no slice waits, and for longer than it takes it to look again nothing was
/// written. What is left is what a server has at any time: the newest slices as a log, and the slices of the last hour.
async fn settle(server: &Server) {
    const QUIET_FOR: Duration = Duration::from_secs(11);
    let started = Instant::now();
    let (mut before, mut since) = (String::new(), Instant::now());
    while since.elapsed() < QUIET_FOR {
        assert!(
            started.elapsed() < SETTLE_LIMIT,
            "compaction is not done after {SETTLE_LIMIT:?}:\n{before}"
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = stored(server).await;
        if now != before || !now.contains("procmon_store_slices_waiting 0") {
            (before, since) = (now, Instant::now());
        }
    }
    println!("compacted: {}", before.replace('\n', ", "));
}

/// Slices and segments there are.
async fn stored(server: &Server) -> String {
    let metrics = server.get("/metrics").await.text().await.expect("a body");
    let counts = metrics.lines().filter(|line| {
        line.starts_with("procmon_store_slices") || line.starts_with("procmon_store_segments{")
    });
    counts.collect::<Vec<_>>().join("\n")
}

/// CPU time of this process so far, user and system, in milliseconds: the server's, and the little that asking takes.
fn cpu_ms() -> f64 {
    const MS_PER_TICK: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    // utime and stime are fields 14 and 15; the first after the name is 3.
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|field| field.parse::<f64>().expect("a number") * MS_PER_TICK)
        .sum()
}

/// Processes that ended at times all over the day.
async fn ids_of_the_day(connection: &mut Connection, last_ms: i64) -> Vec<String> {
    let mut ids = Vec::new();
    for hour in 0..24 {
        let until = time(last_ms - hour * HOUR_MS);
        let path = format!("/api/v1/events?agent_id={AGENT}&type=exit&limit=2&until={until}");
        let answer = connection.get(&path).await.expect("an answer");
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let events = body["events"].as_array().expect("a list");
        ids.extend(
            events
                .iter()
                .filter_map(|event| Some(event["process_id"].as_str()?.to_owned())),
        );
    }
    assert!(!ids.is_empty(), "nothing ended");
    ids
}

/// Returns the sum of what `stats=count` told.
async fn measure(
    connection: &mut Connection,
    name: &str,
    path: &dyn Fn(u32) -> String,
    budget_ms: Option<f64>,
) -> u64 {
    let mut latency = Quantiles::default();
    let (mut counted, mut cpu_before) = (0, 0.0);
    for pid in 0..=REQUESTS {
        let path = path(pid.max(1));
        let started = Instant::now();
        let answer = connection.get(&path).await.expect("an answer");
        if answer.status != 200 {
            println!(
                "{name:<32} {} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
            return 0;
        }
        // The first finds everything cold.
        if pid > 0 {
            latency.add(started.elapsed());
            counted += count(&answer.body);
        } else {
            cpu_before = cpu_ms();
        }
    }
    let cpu_each = (cpu_ms() - cpu_before) / f64::from(REQUESTS);
    let over = budget_ms.filter(|budget_ms| latency.at_ms(0.99) > *budget_ms);
    println!(
        "{name:<32} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {cpu_each:>8.2}{}",
        latency.at_ms(0.5),
        latency.at_ms(0.95),
        latency.at_ms(0.99),
        latency.max_ms(),
        over.map_or(String::new(), |budget_ms| format!(
            "  OVER BUDGET ({budget_ms} ms)"
        ))
    );
    counted
}

fn count(body: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(body).expect("JSON");
    let points = answer["points"].as_array().into_iter().flatten();
    points
        .filter_map(|point| point["cpu_percent_count"].as_u64())
        .sum()
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        // A file may have gone since.
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}
