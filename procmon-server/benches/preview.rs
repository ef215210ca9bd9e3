//! What a preview costs: `cargo bench -p procmon-server --bench preview`, or `cargo xtask bench preview`. A server in this process,
//! whose clock is set by hand, takes a day of fifty hosts over HTTP; then rules are tried on that day as somebody does who drags a
//! threshold. The budget is 2 s for each try.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::join_all;
use procmon_common::config::parse_duration;
use procmon_common::wire::{self, Ack, Encoder};
use procmon_load::connection::Connection;
use procmon_load::host::{Host, Outgoing, Plan};
use procmon_server::clock::Clock;
use serde_json::{Value, json};
use support::{START_MS, Server};

const HOUR_MS: i64 = 3_600_000;
const BUDGET_MS: f64 = 2_000.0;
/// Of each kind but the first.
const TRIES: usize = 3;
/// For the store to become quiet when the day is over.
const SETTLE_LIMIT: Duration = Duration::from_mins(10);

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 50)]
    hosts: u32,
    /// On each of them.
    #[arg(long, default_value_t = 100)]
    processes: u32,
    #[arg(long, default_value = "10s", value_parser = interval)]
    interval: Duration,
    #[arg(long, default_value_t = 24)]
    hours: i64,
    #[arg(long, default_value_t = 0.5)]
    lives_per_minute: f64,
    /// Keep what is stored here, and do not make it again when it is there.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is not a duration"))
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(options));
}

async fn run(options: Options) {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).expect("a folder");
    let last_ms = made(folder, &options).await;
    let server = Server::start_in(folder, Clock::manual(last_ms)).await;
    wait_until_ready(&server).await;
    println!(
        "{:<36} {:>8} {:>8} {:>8}  fired",
        "milliseconds", "p50", "most", "CPU"
    );
    for (name, rules) in rules() {
        measure(&server, name, &rules).await;
    }
    server.stop().await;
}

/// Each with what is tried, one after the other.
fn rules() -> Vec<(&'static str, Vec<Value>)> {
    let java = json!({ "process_name": "java" });
    let beyond = |threshold: f64| json!({ "metric": "cpu_percent", "operator": ">", "threshold": threshold, "for": "1m" });
    let by = |function: &str, by: &[&str], threshold: f64| {
        let aggregate = json!({ "function": function, "by": by });
        with(beyond(threshold), &json!({ "aggregate": aggregate }))
    };
    let thrice = |rule: Value| vec![rule; TRIES];
    vec![
        (
            "a threshold, dragged",
            [90.0, 70.0, 50.0, 30.0, 10.0].map(beyond).to_vec(),
        ),
        (
            "a threshold of one program, dragged",
            [90.0, 70.0, 50.0, 30.0, 10.0]
                .map(|at| with(beyond(at), &java))
                .to_vec(),
        ),
        (
            "below",
            thrice(json!({ "metric": "num_threads", "operator": "<", "threshold": 1 })),
        ),
        (
            "q on what changes",
            thrice(with(
                beyond(5.0),
                &json!({ "q": "memory_rss > 500000000 && status == 'R'" }),
            )),
        ),
        ("zombie", thrice(json!({ "kind": "zombie" }))),
        (
            "rate",
            thrice(
                json!({ "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": 1e5 }),
            ),
        ),
        (
            "sum by name and host",
            thrice(by("sum", &["name", "agent_id"], 150.0)),
        ),
        ("sum by name", thrice(by("sum", &["name"], 2000.0))),
        (
            "count over all",
            thrice(json!({
                "operator": "<", "threshold": 10, "process_name": "java", "aggregate": { "function": "count" }
            })),
        ),
        (
            "absence",
            thrice(json!({ "kind": "absence", "process_name": "java" })),
        ),
        (
            "change",
            thrice(json!({ "kind": "change", "field": "status" })),
        ),
        ("host_down", thrice(json!({ "kind": "host_down" }))),
        (
            "event",
            thrice(json!({ "kind": "event", "types": ["exec"], "process_name": "*sh" })),
        ),
        (
            "event with ancestors",
            thrice(json!({ "kind": "event", "types": ["exec"], "q": "'nginx' in ancestors" })),
        ),
        ("crash loop", thrice(json!({ "kind": "crash_loop" }))),
    ]
}

fn with(mut rule: Value, more: &Value) -> Value {
    if let (Some(rule), Some(more)) = (rule.as_object_mut(), more.as_object()) {
        rule.extend(more.clone());
    }
    rule
}

async fn measure(server: &Server, name: &str, rules: &[Value]) {
    let mut connection = Connection::new(&server.address.to_string());
    let (mut times, mut fired) = (Vec::new(), Vec::new());
    let cpu_before = cpu_ms();
    for rule in rules {
        let body = with(json!({ "name": name }), rule).to_string();
        let headers = "Content-Type: application/json\r\n";
        let started = Instant::now();
        let answer = connection
            .post("/api/v1/alert-rules/preview", headers, body.as_bytes())
            .await
            .expect("an answer");
        times.push(started.elapsed().as_secs_f64() * 1e3);
        let text = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{name}: {text}");
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let past = &answer["backtest"];
        assert!(
            past.is_object(),
            "{name}: {}",
            answer["backtest_unavailable"]
        );
        let cut = if past["cut_off"].is_null() {
            ""
        } else {
            " (cut off)"
        };
        fired.push(format!("{}{cut}", past["fired"]));
    }
    let cpu_each = (cpu_ms() - cpu_before) / rules.len() as f64;
    times.sort_unstable_by(f64::total_cmp);
    let most = times.last().copied().unwrap_or_default();
    fired.dedup();
    println!(
        "{name:<36} {:>8.0} {most:>8.0} {cpu_each:>8.0}  {}{}",
        times[times.len() / 2],
        fired.join(", "),
        if most > BUDGET_MS {
            "  OVER BUDGET (2 s)"
        } else {
            ""
        }
    );
}

/// The day, made or found; when it ended.
async fn made(folder: &Path, options: &Options) -> i64 {
    let note = folder.join("made");
    if let Ok(last_ms) = std::fs::read_to_string(&note) {
        return last_ms.trim().parse().expect("a time");
    }
    let server = Server::start_in(folder, Clock::manual(START_MS)).await;
    wait_until_ready(&server).await;
    let started = Instant::now();
    let (batches, rows) = send(&server, options).await;
    let last_ms = server.clock.now_ms();
    println!(
        "{} h of {} hosts, {} processes each {:?}: {batches} batches, {rows} process rows, sent in {:.0} s",
        options.hours,
        options.hosts,
        options.processes,
        options.interval,
        started.elapsed().as_secs_f64()
    );
    settle(&server).await;
    server.stop().await;
    std::fs::write(&note, last_ms.to_string()).expect("it is written");
    last_ms
}

/// Plays the day; all hosts at a time send to their own connections.
async fn send(server: &Server, options: &Options) -> (u64, u64) {
    let mut hosts: Vec<(Host, Connection)> = (0..options.hosts)
        .map(|number| {
            let host = Host::new(Plan {
                agent: number,
                agent_id: format!("host-{number:02}"),
                processes: options.processes,
                interval_ms: options.interval.as_millis() as u32,
                lives_per_minute: options.lives_per_minute,
                first_sample_ns: START_MS * 1_000_000,
            });
            (host, Connection::new(&server.address.to_string()))
        })
        .collect();
    let end_ns = (START_MS + options.hours * HOUR_MS) * 1_000_000;
    let (mut batches, mut rows) = (0, 0);
    let mut now_ns = START_MS * 1_000_000;
    loop {
        // What several hosts have to say within a second is sent together.
        let next_ns = hosts.iter().map(|(host, _)| host.next_batch_ns()).min();
        now_ns = next_ns.unwrap_or(end_ns).max(now_ns) + 1_000_000_000;
        if now_ns > end_ns {
            return (batches, rows);
        }
        let ahead_ms = now_ns.div_euclid(1_000_000) - server.clock.now_ms();
        server.clock.advance_ms(ahead_ms.max(0));
        let sending = hosts.iter_mut().map(|(host, connection)| async move {
            let mut sent = (0, 0);
            for outgoing in host.batches(now_ns) {
                sent.0 += 1;
                if outgoing.is_sample {
                    sent.1 += host.process_count() as u64;
                }
                if post(connection, host.agent_id(), &outgoing).await.resync {
                    host.resync();
                }
            }
            sent
        });
        for (more_batches, more_rows) in join_all(sending).await {
            batches += more_batches;
            rows += more_rows;
        }
    }
}

async fn post(connection: &mut Connection, agent_id: &str, outgoing: &Outgoing) -> Ack {
    let mut encoder = Encoder::new().expect("an encoder");
    let body = encoder.encode(&outgoing.batch).expect("compresses");
    let headers = format!(
        "Content-Type: {}\r\nContent-Encoding: {}\r\n",
        wire::CONTENT_TYPE,
        wire::CONTENT_ENCODING
    );
    let path = format!("/api/v1/agents/{agent_id}/batches");
    let answer = connection
        .post(&path, &headers, &body)
        .await
        .expect("an answer");
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{text}");
    serde_json::from_slice(&answer.body).expect("an acknowledgement")
}

async fn wait_until_ready(server: &Server) {
    let url = server.url("/readyz");
    for _ in 0..600 {
        let answer = server.http.get(&url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server is not ready");
}

/// Waits until compaction has nothing more to do.
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
        let metrics = server.get("/metrics").await.text().await.expect("a body");
        let counts = metrics.lines().filter(|line| {
            line.starts_with("procmon_store_slices") || line.starts_with("procmon_store_segments{")
        });
        let now = counts.collect::<Vec<_>>().join(", ");
        if now != before || !now.contains("procmon_store_slices_waiting 0") {
            (before, since) = (now, Instant::now());
        }
    }
    println!("compacted: {before}");
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
