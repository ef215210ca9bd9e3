//! What questions about the present cost with a million live processes: `cargo xtask bench query`. The real binary is filled with
//! made-up hosts; latencies are those of a client on the same machine, one request at a time, and the CPU time is the server's.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use clap::Parser;
use procmon_common::wire::{self, Encoder};
use procmon_load::connection::Connection;
use procmon_load::host::{Host, Plan};
use procmon_load::quantiles::Quantiles;
use support::binary::ServerProcess;

/// The host whose tree is asked for.
const TREE_PROCESSES: u32 = 5000;
const LIST_BUDGET_MS: f64 = 50.0;
const TREE_BUDGET_MS: f64 = 20.0;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 1000)]
    hosts: u32,
    /// On each of them.
    #[arg(long, default_value_t = 1000)]
    processes: u32,
    /// Requests of each kind.
    #[arg(long, default_value_t = 100)]
    requests: u32,
    /// Only questions whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

struct Query {
    name: &'static str,
    path: &'static str,
    budget_ms: f64,
}

const fn list(name: &'static str, path: &'static str) -> Query {
    Query {
        name,
        path,
        budget_ms: LIST_BUDGET_MS,
    }
}

const QUERIES: &[Query] = &[
    list("top CPU", "/processes"),
    list(
        "name, sorted by memory",
        "/processes?name=java&sort=-memory_rss",
    ),
    list(
        "CPU above, user, sorted",
        "/processes?cpu_gt=0.5&user=app&sort=-memory_rss",
    ),
    list(
        "part of command lines",
        "/processes?cmdline=--port%20417&sort=name",
    ),
    list("a port", "/processes?port=8417"),
    list("a container", "/processes?container=00&sort=agent_id"),
    list(
        "q",
        "/processes?q=memory_rss%20%3E%20900000000%20%26%26%20name%20%3D%3D%20%22java%22&sort=-memory_rss",
    ),
    list("grouped by name", "/processes?group_by=name"),
    list("1 000 by name", "/processes?sort=name&limit=1000"),
    list("one host", "/processes?agent_id=bench-7"),
    Query {
        name: "tree of 5 000",
        path: "/processes/tree?agent_id=bench-tree",
        budget_ms: TREE_BUDGET_MS,
    },
];

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let server = ServerProcess::start(folder.path(), 0);
        let mut connection = Connection::new(&server.address);
        let mut encoder = Encoder::new().expect("an encoder");
        let empty = server.rss_bytes();
        let mut total = 0;
        for number in 0..options.hosts {
            let id = format!("bench-{number}");
            total += fill(&mut connection, &mut encoder, number, id, options.processes).await;
        }
        let tree = "bench-tree".to_owned();
        total += fill(
            &mut connection,
            &mut encoder,
            u32::MAX,
            tree,
            TREE_PROCESSES,
        )
        .await;
        let grown = server.rss_bytes() - empty;
        println!(
            "{total} live processes on {} hosts: {} MiB of memory, {} bytes for each",
            options.hosts + 1,
            server.rss_bytes() >> 20,
            grown / u64::from(total)
        );
        println!(
            "{:<26} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
            "milliseconds", "p50", "p95", "p99", "max", "CPU", "KiB"
        );
        for query in QUERIES
            .iter()
            .filter(|query| query.name.contains(&options.only))
        {
            measure(&server, &mut connection, query, options.requests).await;
        }
        server.terminate();
    });
}

/// A key batch with a sample of all processes; it stays true for an hour.
async fn fill(
    connection: &mut Connection,
    encoder: &mut Encoder,
    agent: u32,
    agent_id: String,
    processes: u32,
) -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ns = now.expect("a clock").as_nanos() as i64;
    let path = format!("/api/v1/agents/{agent_id}/batches");
    let mut host = Host::new(Plan {
        agent,
        agent_id,
        processes,
        interval_ms: 3_600_000,
        lives_per_minute: 0.0,
        first_sample_ns: now_ns,
    });
    for outgoing in host.batches(now_ns) {
        let body = encoder.encode(&outgoing.batch).expect("compresses");
        let headers = format!(
            "Content-Type: {}\r\nContent-Encoding: {}\r\n",
            wire::CONTENT_TYPE,
            wire::CONTENT_ENCODING
        );
        let answer = connection.post(&path, &headers, &body).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    processes
}

async fn measure(
    server: &ServerProcess,
    connection: &mut Connection,
    query: &Query,
    requests: u32,
) {
    let path = format!("/api/v1{}", query.path);
    let mut latency = Quantiles::default();
    let mut bytes = 0;
    let before = server.cpu_us();
    for number in 0..=requests {
        let started = Instant::now();
        let answer = connection.get(&path).await.expect("an answer");
        let elapsed = started.elapsed();
        if answer.status != 200 {
            println!(
                "{:<26} {}",
                query.name,
                String::from_utf8_lossy(&answer.body)
            );
            return;
        }
        bytes = answer.body.len();
        // The first finds everything cold.
        if number > 0 {
            latency.add(elapsed);
        }
    }
    let cpu = Duration::from_micros((server.cpu_us() - before) as u64) / (requests + 1);
    let over = latency.at_ms(0.99) > query.budget_ms;
    println!(
        "{:<26} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>9.1}{}",
        query.name,
        latency.at_ms(0.5),
        latency.at_ms(0.95),
        latency.at_ms(0.99),
        latency.max_ms(),
        cpu.as_secs_f64() * 1e3,
        bytes as f64 / 1024.0,
        if over {
            format!("  OVER BUDGET ({} ms)", query.budget_ms)
        } else {
            String::new()
        }
    );
}
