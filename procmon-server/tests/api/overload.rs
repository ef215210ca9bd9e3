//! More questions at a time than the server works on: they take turns, and what agents send is stored beside them.

use procmon_common::columns::Column;
use tokio::task::JoinSet;

use crate::support::sampled::SampledHost;
use crate::support::{FakeAgent, Server, exited};

const CLIENTS: u32 = 200;
const SAMPLES: u64 = 60;

async fn refusals(server: &Server, queue: &str) -> u64 {
    let text = server.get("/metrics").await.text().await.expect("a body");
    let name = format!("procmon_queue_refusals_total{{queue=\"{queue}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("counted").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_who_ask_for_a_day_do_not_keep_agents_out() {
    let server = Server::start().await;
    let mut host = SampledHost::new("busy");
    let handle = host.start(7);
    for sample in 0..SAMPLES {
        host.set(handle, Column::CpuCentipercent, sample * 10);
        host.sample(&server).await;
        host.wait(&server, 1_000);
    }
    let to = server.clock.now_ms() / 1000;
    let path = format!(
        "/api/v1/processes/7/series?agent_id=busy&from={}&to={to}",
        to - 86_400
    );
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let request = server.http.get(server.url(&path));
        clients.spawn(async move {
            let answer = request.send().await.expect("an answer");
            let waits = answer.headers().contains_key("retry-after");
            (answer.status().as_u16(), waits)
        });
    }
    let mut agent = FakeAgent::new("innocent");
    server.send(&agent.key(10, 3)).await;
    for pid in 50..100 {
        server.send(&agent.life(pid, exited(0))).await;
    }
    let mut put_off = 0;
    while let Some(answer) = clients.join_next().await {
        match answer.expect("no panic") {
            (200, _) => {}
            (503, true) => put_off += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refusals(&server, "history").await, put_off);
    let events = server
        .json("/api/v1/events?agent_id=innocent&type=exit")
        .await;
    assert_eq!(events["events"].as_array().map(Vec::len), Some(50));
    server.stop().await;
}
