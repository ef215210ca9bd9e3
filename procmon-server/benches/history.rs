//! What questions about the past cost: `cargo bench -p procmon-server --bench history`. A server in this process takes a day of
//! one host at one sample per second, by a clock of its own, and an hour of a host with 5 000 processes; then it is asked over
//! HTTP. Times are of whole requests.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;
use support::{FakeAgent, START_MS, Server, process, row};

const PROCESSES: u32 = 300;
const BUSY: u32 = 27;
const DAY_S: i64 = 86_400;
const MANY: u32 = 5_000;
const REQUESTS: usize = 20;
/// For what was received to be compacted.
const COMPACTION_PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let server = Server::start().await;
    let mut day = Host::new("day", PROCESSES, BUSY, 600);
    let mut many = Host::new("many", MANY, MANY / 20, 120);
    let started = Instant::now();
    for second in 0..DAY_S {
        server.send(&day.sample()).await;
        // An hour of the big one, at its interval of five seconds.
        if second >= DAY_S - 3_600 && second % 5 == 0 {
            many.agent.now_ns = day.agent.now_ns;
            server.send(&many.sample()).await;
        }
        server.clock.advance_ms(1_000);
    }
    println!("a day of batches in {:?}", started.elapsed());
    until_compacted(&server).await;
    let now_s = START_MS / 1_000 + DAY_S;
    let ago = |seconds: i64| now_s - seconds;
    for (name, path) in [
        (
            "series, 1 h, 1 metric",
            "processes/50/series?agent_id=day&metric=cpu_percent".to_owned(),
        ),
        (
            "series, 1 h, the seed's metrics",
            "processes/50/series?agent_id=day".to_owned(),
        ),
        (
            "series, 24 h, 1 metric",
            format!(
                "processes/50/series?agent_id=day&metric=cpu_percent&from={}",
                ago(DAY_S)
            ),
        ),
        (
            "series, 24 h, the seed's metrics",
            format!("processes/50/series?agent_id=day&from={}", ago(DAY_S)),
        ),
        (
            "history, 10 minutes",
            "processes/50/history?agent_id=day&minutes=10".to_owned(),
        ),
        (
            "table, 5 minutes ago",
            format!("processes?agent_id=day&at={}", ago(300)),
        ),
        (
            "table, 12 h ago",
            format!("processes?agent_id=day&at={}", ago(43_200)),
        ),
        (
            "tree now, 5 000 processes",
            "processes/tree?agent_id=many".to_owned(),
        ),
        (
            "tree 5 minutes ago, 5 000 processes",
            format!("processes/tree?agent_id=many&at={}", ago(300)),
        ),
        (
            "tree 45 minutes ago, 5 000 processes",
            format!("processes/tree?agent_id=many&at={}", ago(2_700)),
        ),
        (
            "groups, 1 h, 300 processes",
            "processes/groups/series?agent_id=day".to_owned(),
        ),
        (
            "groups, 24 h, 300 processes",
            format!("processes/groups/series?agent_id=day&from={}", ago(DAY_S)),
        ),
        (
            "diff, 1 h",
            format!("agents/day/diff?from={}&to={}", ago(3_600), ago(60)),
        ),
    ] {
        ask(&server, name, &path).await;
    }
    server.stop().await;
}

async fn until_compacted(server: &Server) {
    let started = Instant::now();
    let mut before = 0;
    while started.elapsed() < COMPACTION_PATIENCE {
        let metrics = server.get("/metrics").await.text().await.expect("a body");
        let compaction: Vec<&str> = metrics
            .lines()
            .filter(|line| line.starts_with("procmon_compaction") && !line.contains("seconds"))
            .collect();
        let now = compaction.join(" ").len()
            + compaction.join("").bytes().map(usize::from).sum::<usize>();
        if now == before {
            println!(
                "compaction was quiet after {:?}: {compaction:?}",
                started.elapsed()
            );
            return;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    println!("compaction went on for longer than was waited");
}

async fn ask(server: &Server, name: &str, path: &str) {
    let url = format!("/api/v1/{path}");
    let mut times = Vec::with_capacity(REQUESTS);
    let mut bytes = 0;
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let response = server.get(&url).await;
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        bytes = response.bytes().await.expect("a body").len();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!(
        "{name}: median {:.1} ms, slowest {:.1} ms, {bytes} bytes",
        times[REQUESTS / 2].as_secs_f64() * 1e3,
        times[REQUESTS - 1].as_secs_f64() * 1e3
    );
}

struct Host {
    agent: FakeAgent,
    rows: Vec<Row>,
    busy: u32,
    taken: u64,
    /// In samples: ten minutes.
    key_every: u64,
}

impl Host {
    fn new(id: &str, processes: u32, busy: u32, key_every: u64) -> Self {
        Self {
            agent: FakeAgent::new(id),
            rows: (1..=processes).map(row).collect(),
            busy,
            taken: 0,
            key_every,
        }
    }

    /// The next second's batch; now and then a key batch, as the server would ask for.
    fn sample(&mut self) -> wire::Batch {
        let key = self.taken.is_multiple_of(self.key_every);
        let mut batch = self.agent.batch();
        batch.interval_ms = 1_000;
        let mut encoder = FrameEncoder::default();
        for (handle, row) in (1..).zip(&mut self.rows) {
            let before = if key { Row::default() } else { *row };
            if handle <= self.busy * 2 && handle.is_multiple_of(2) {
                let step = self.taken.wrapping_mul(u64::from(handle)) % 97;
                row.set(Column::CpuCentipercent, Some(step * 10));
                row.set(Column::CpuTimeMs, Some(self.taken * 5 + step));
                row.set(Column::RssKib, Some(10_000 + step * 4));
                row.set(Column::VoluntarySwitches, Some(self.taken * 20 + step));
                row.set(Column::WriteBytes, Some(self.taken * 4_096));
            }
            encoder.push(handle, &before, row);
        }
        if key {
            batch.key = true;
            batch.processes = (1..=self.rows.len() as u32)
                .map(|pid| process(pid, START_MS * 1_000_000))
                .collect();
        }
        batch.frame = Some(wire::Frame {
            ts_unix_ns: self.agent.now_ns,
            columns: encoder.finish(),
            ..wire::Frame::default()
        });
        batch.host = Some(wire::HostTotals {
            cpus: 4,
            memory_total_bytes: 32 << 30,
            ..wire::HostTotals::default()
        });
        self.taken += 1;
        self.agent.now_ns += 1_000_000_000;
        batch
    }
}
