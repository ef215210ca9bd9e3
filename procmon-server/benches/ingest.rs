//! What an upload costs the server: `cargo bench -p procmon-server --bench ingest`. The real binary takes batches that were
//! built beforehand; its CPU time is read from `/proc`, so that the sender's is not in it.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;
use support::binary::ServerProcess;
use support::{FakeAgent, exited, row};

const LIVES: u32 = 50_000;
const LIVES_PER_BATCH: u32 = 200;
const SAMPLES: usize = 500;
/// Agents that send at the same time.
const AGENTS: [usize; 2] = [1, 32];
const PROCESSES: u32 = 300;
const BUSY: u32 = 30;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        storm().await;
        for agents in AGENTS {
            steady(agents).await;
        }
    });
}

/// Many short lives: per life a description, an exec and an exit.
async fn storm() {
    let mut agent = FakeAgent::new("storm");
    let mut bodies = vec![encode(&agent.key(1, 100))];
    let mut first = 1000;
    while first < 1000 + LIVES {
        let mut batch = agent.batch();
        for pid in first..first + LIVES_PER_BATCH {
            let life = agent.life(pid, exited(0));
            agent.seq -= 1;
            batch.processes.extend(life.processes);
            batch.events.extend(life.events);
            agent.now_ns += 40_000;
        }
        bodies.push(encode(&batch));
        first += LIVES_PER_BATCH;
    }
    let agent_id = "storm".to_owned();
    let cost = measure(vec![Sender { agent_id, bodies }]).await;
    let events = f64::from(LIVES * 2);
    println!(
        "storm: {LIVES} lives in {:.2} s: {:.2} us of CPU per event, {:.2} per life; {:.1} bytes stored per life",
        cost.seconds,
        cost.cpu_us / events,
        cost.cpu_us / f64::from(LIVES),
        cost.stored_bytes / f64::from(LIVES)
    );
}

/// Quiet hosts: a few busy processes in each sample.
async fn steady(agents: usize) {
    let senders: Vec<_> = (0..agents)
        .map(|number| samples(&format!("host-{number}")))
        .collect();
    let size = senders[0].bodies[1..].iter().map(Vec::len).sum::<usize>() / SAMPLES;
    let cost = measure(senders).await;
    let requests = (agents * SAMPLES) as f64;
    println!(
        "steady, {agents} agents at a time, {PROCESSES} processes, {BUSY} busy: {size} bytes per batch, {:.3} ms of CPU and \
         {:.0} bytes stored per request, {:.0} requests/s; the server has {:.0} MiB",
        cost.cpu_us / 1000.0 / requests,
        cost.stored_bytes / requests,
        requests / cost.seconds,
        cost.resident_bytes / f64::from(1 << 20)
    );
}

/// The batches of one agent, in order.
struct Sender {
    agent_id: String,
    bodies: Vec<Vec<u8>>,
}

fn samples(agent_id: &str) -> Sender {
    let mut agent = FakeAgent::new(agent_id);
    let mut bodies = vec![encode(&agent.key(1, PROCESSES))];
    let mut rows: Vec<Row> = (1..=BUSY).map(row).collect();
    for sample in 0..SAMPLES as u64 {
        agent.now_ns += 1_000_000_000;
        let mut encoder = FrameEncoder::default();
        for (handle, row) in (1..).zip(&mut rows) {
            let mut now = *row;
            let cpu = (sample * 37 + u64::from(handle)) % 10_000;
            now.set(Column::CpuCentipercent, Some(cpu));
            now.set(Column::CpuTimeMs, Some(sample * 10));
            now.set(Column::VoluntarySwitches, Some(sample * 3));
            encoder.push(handle, row, &now);
            *row = now;
        }
        let mut batch = agent.batch();
        batch.frame = Some(wire::Frame {
            ts_unix_ns: agent.now_ns,
            columns: encoder.finish(),
            ..wire::Frame::default()
        });
        bodies.push(encode(&batch));
    }
    Sender {
        agent_id: agent_id.to_owned(),
        bodies,
    }
}

/// As an agent does it for a server that has its dictionary.
fn encode(batch: &wire::Batch) -> Vec<u8> {
    let mut encoder = wire::Encoder::new().expect("starts");
    encoder.encode(batch).expect("compresses")
}

struct Cost {
    seconds: f64,
    cpu_us: f64,
    stored_bytes: f64,
    resident_bytes: f64,
}

async fn measure(senders: Vec<Sender>) -> Cost {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(folder.path(), 0);
    let started = Instant::now();
    let before = server.cpu_us();
    let mut tasks = tokio::task::JoinSet::new();
    for sender in senders {
        tasks.spawn(send(server.address.clone(), sender));
    }
    tasks.join_all().await;
    let cost = Cost {
        seconds: started.elapsed().as_secs_f64(),
        cpu_us: server.cpu_us() - before,
        stored_bytes: metric(&server.address, "procmon_store_written_bytes_total").await,
        resident_bytes: metric(&server.address, "procmon_server_resident_memory_bytes").await,
    };
    server.terminate();
    cost
}

async fn send(address: String, sender: Sender) {
    let http = support::http_client();
    let url = format!("http://{address}/api/v1/agents/{}/batches", sender.agent_id);
    for body in sender.bodies {
        let request = http
            .post(&url)
            .header("content-type", wire::CONTENT_TYPE)
            .header("content-encoding", wire::CONTENT_ENCODING)
            .body(body);
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{}", response.status());
    }
}

async fn metric(address: &str, name: &str) -> f64 {
    let response = support::http_client()
        .get(format!("http://{address}/metrics"))
        .send()
        .await;
    let text = response.expect("an answer").text().await.expect("a body");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).expect("a number")
}
