//! `GET /processes/{pid}/series`.

use procmon_common::columns::Column;
use serde_json::{Value, json};

use crate::support::sampled::SampledHost;
use crate::support::{FakeAgent, START_MS, Server, exited};

fn at(seconds: i64) -> String {
    let timestamp = jiff::Timestamp::from_second(START_MS / 1000 + seconds).expect("a time");
    timestamp.to_string()
}

/// Seconds since the start of each point, and its value of a metric.
fn points(body: &Value, metric: &str) -> Vec<(i64, f64)> {
    let points = body["points"].as_array().expect("a list").iter();
    points
        .map(|point| {
            let value = point[metric].as_f64().unwrap_or(f64::NAN);
            (seconds(&point["ts"]), value)
        })
        .collect()
}

fn seconds(ts: &Value) -> i64 {
    let ts: jiff::Timestamp = ts.as_str().expect("a time").parse().expect("RFC 3339");
    ts.as_second() - START_MS / 1000
}

fn gaps(body: &Value) -> Vec<(i64, i64, String)> {
    let gaps = body["gaps"].as_array().expect("a list").iter();
    gaps.map(|gap| {
        let reason = gap["reason"].as_str().expect("a reason").to_owned();
        (seconds(&gap["from"]), seconds(&gap["to"]), reason)
    })
    .collect()
}

async fn series(server: &Server, query: &str) -> Value {
    server.json(&format!("/api/v1/processes/{query}")).await
}

#[tokio::test]
async fn a_step_has_the_average_and_what_else_is_asked_for() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handle = host.start(7);
    for (cpu, written) in [(100, 0), (200, 1000), (600, 3000), (300, 3000)] {
        host.set(handle, Column::CpuCentipercent, cpu);
        host.set(handle, Column::WriteBytes, written);
        host.sample(&server).await;
        host.wait(&server, 5_000);
    }
    let path = format!(
        "7/series?agent_id=a&from={}&to={}&step=10s&metric=cpu_percent&metric=write_bytes_per_s&stats=min,max,last,count",
        at(0),
        at(20)
    );
    let body = series(&server, &path).await;
    assert_eq!(points(&body, "cpu_percent"), [(0, 1.5), (10, 4.5)]);
    // Nothing is known of the first five seconds.
    assert_eq!(
        points(&body, "write_bytes_per_s"),
        [(0, 200.0), (10, 200.0)]
    );
    let second = &body["points"][1];
    for (name, value) in [
        ("cpu_percent_min", json!(3.0)),
        ("cpu_percent_max", json!(6.0)),
        ("cpu_percent_last", json!(3.0)),
        ("cpu_percent_count", json!(2)),
        ("write_bytes_per_s_max", json!(400.0)),
        ("write_bytes_per_s_min", json!(0.0)),
    ] {
        assert_eq!(second[name], value, "{name} of {second}");
    }
    assert_eq!(body["gaps"], json!([]));
    assert_eq!(body["step"], "10s");
    assert_eq!(body["lives"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

#[tokio::test]
async fn the_seeds_request_has_the_seeds_metrics() {
    let server = Server::start().await;
    let upload = json!({"agent_id": "agent1", "interval_s": 5, "samples": [{"pid": 1234, "ppid": 1, "name": "demo",
        "cmdline": "/usr/bin/demo", "username": "root", "status": "R", "cpu_percent": 12.5, "memory_rss": 2_048_000,
        "memory_percent": 0.4, "num_threads": 5}]});
    for _ in 0..3 {
        assert_eq!(server.upload("agent1", &upload).await.status(), 202);
        server.clock.advance_ms(5_000);
    }
    let path = format!(
        "1234/series?agent_id=agent1&step=15s&from={}&to={}",
        at(0),
        at(15)
    );
    let body = series(&server, &path).await;
    let point = &body["points"][0];
    for (name, value) in [
        ("cpu_percent", 12.5),
        ("memory_rss", 2_048_000.0),
        ("memory_percent", 0.4),
        ("num_threads", 5.0),
    ] {
        assert_eq!(point[name], json!(value), "{point}");
    }
    assert_eq!(point["open_fds"], Value::Null, "unknown is not zero");
    assert_eq!(body["points"].as_array().map(Vec::len), Some(1));
    let body = series(&server, "1234/history?agent_id=agent1&minutes=10").await;
    assert_eq!(body["points"].as_array().map(Vec::len), Some(3));
    assert_eq!(body["points"][0]["status"], "R");
    server.stop().await;
}

#[tokio::test]
async fn every_gap_has_its_reason() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.start(1);
    host.samples(&server, 12).await;
    // At 60 s it begins, and at 120 s batches begin to be lost.
    let handle = host.start(7);
    host.samples(&server, 12).await;
    let lost_from_ns = host.agent.now_ns;
    host.wait(&server, 60_000);
    host.skip_batch();
    host.lose("batch", lost_from_ns);
    host.sample(&server).await;
    host.samples(&server, 12).await;
    // At 240 s the agent stops, and at 300 s it is there again.
    host.wait(&server, 60_000);
    host.restart();
    host.sample(&server).await;
    host.samples(&server, 12).await;
    host.exit(handle, exited(0));
    host.samples(&server, 12).await;
    let path = format!("7/series?agent_id=a&from={}&to={}&step=20s", at(0), at(420));
    let body = series(&server, &path).await;
    let expected = [
        (0, 60, "not_started"),
        (140, 180, "dropped"),
        (260, 300, "agent_down"),
        (380, 420, "exited"),
    ];
    let expected = expected.map(|(from, to, reason)| (from, to, reason.to_owned()));
    assert_eq!(gaps(&body), expected);
    let times: Vec<_> = points(&body, "num_threads")
        .iter()
        .map(|point| point.0)
        .collect();
    assert_eq!(
        times,
        [60, 80, 100, 120, 180, 200, 220, 240, 300, 320, 340, 360]
    );
    let never = series(&server, &path.replace("7/", "8/")).await;
    assert_eq!(never["points"], json!([]));
    let reasons: Vec<_> = gaps(&never).into_iter().map(|gap| gap.2).collect();
    assert_eq!(
        reasons,
        ["no_data", "dropped", "no_data", "agent_down", "no_data"]
    );
    server.stop().await;
}

#[tokio::test]
async fn two_lives_of_one_pid_are_two() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let first = host.start(7);
    host.set(first, Column::RssKib, 100);
    host.sample(&server).await;
    host.samples(&server, 3).await;
    host.wait(&server, 2_000);
    host.exit(first, exited(0));
    host.wait(&server, 1_000);
    let second = host.start(7);
    host.set(second, Column::RssKib, 900);
    host.wait(&server, 2_000);
    host.sample(&server).await;
    host.samples(&server, 3).await;
    let path = format!(
        "7/series?agent_id=a&from={}&to={}&step=40s&metric=memory_rss",
        at(0),
        at(40)
    );
    let body = series(&server, &path).await;
    let kib = |value: f64| value * 1024.0;
    assert_eq!(
        points(&body, "memory_rss"),
        [(0, kib(100.0)), (0, kib(900.0))]
    );
    let ids: Vec<_> = (0..2)
        .map(|index| body["points"][index]["process_id"].clone())
        .collect();
    assert_ne!(ids[0], ids[1]);
    let one = path.replace(
        "7/series",
        &format!("{}/series", ids[1].as_str().expect("an id")),
    );
    let body = series(&server, &one.replace("step=40s", "step=5s")).await;
    let times: Vec<_> = points(&body, "memory_rss")
        .iter()
        .map(|point| point.0)
        .collect();
    assert_eq!(times, [20, 25, 30, 35]);
    assert_eq!(gaps(&body)[0], (0, 20, "not_started".to_owned()));
    assert_eq!(body["lives"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

#[tokio::test]
async fn restarts_of_agent_and_server_do_not_break_a_series() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start_in(
        folder.path(),
        procmon_server::clock::Clock::manual(START_MS),
    )
    .await;
    let mut host = SampledHost::new("a");
    let handle = host.start(7);
    host.set(handle, Column::ReadBytes, 500);
    host.sample(&server).await;
    for round in 0..3 {
        host.samples(&server, 4).await;
        if round == 1 {
            host.restart();
        }
        let clock = server.clock.clone();
        server.stop().await;
        server = Server::start_in(folder.path(), clock).await;
        host.set(handle, Column::ReadBytes, 500 * (round + 2));
    }
    host.samples(&server, 3).await;
    let path = format!(
        "7/series?agent_id=a&from={}&to={}&step=5s&metric=read_bytes,read_bytes_per_s",
        at(0),
        at(80)
    );
    let body = series(&server, &path).await;
    let read = points(&body, "read_bytes");
    assert_eq!(read.len(), 16);
    assert_eq!((read[0].1, read[15].1), (500.0, 2000.0));
    let rates = points(&body, "read_bytes_per_s");
    let fast: Vec<_> = rates.iter().filter(|rate| rate.1 > 0.0).collect();
    assert_eq!(fast, [&(25, 100.0), &(45, 100.0), &(65, 100.0)]);
    assert_eq!(body["gaps"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_off_is_put_right_and_one_that_is_set_does_not_reorder() {
    let server = Server::start().await;
    let mut ahead = SampledHost::new("ahead");
    ahead.agent.now_ns += 3_600_000_000_000;
    let handle = ahead.start(7);
    ahead.sample(&server).await;
    for value in 1..=3 {
        ahead.set(handle, Column::Threads, value);
        ahead.samples(&server, 1).await;
    }
    let path = format!(
        "7/series?agent_id=ahead&from={}&to={}&step=5s&metric=num_threads",
        at(0),
        at(20)
    );
    let body = series(&server, &path).await;
    assert_eq!(
        points(&body, "num_threads"),
        [(0, 1.0), (5, 1.0), (10, 2.0), (15, 3.0)]
    );
    // The host's clock is set right. It takes the server so many batches to believe it.
    ahead.agent.now_ns -= 3_600_000_000_000;
    for value in 4..=20 {
        ahead.set(handle, Column::Threads, value);
        ahead.set(handle, Column::ReadBytes, value * 100);
        ahead.samples(&server, 1).await;
    }
    let history = series(&server, "7/history?agent_id=ahead&minutes=5").await;
    let threads: Vec<_> = history["points"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|point| point["num_threads"].as_u64())
        .collect();
    assert_eq!(threads, (4..=20).collect::<Vec<_>>());
    let rates: Vec<_> = history["points"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|point| point["read_bytes_per_s"].clone())
        .collect();
    assert_eq!(rates[1..], vec![json!(20.0); 16]);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_valid_is_named() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("a").key(10, 1)).await;
    for (path, status, said) in [
        ("10/series?step=0s", 400, "step=0s"),
        ("10/series?step=often", 400, "step=often"),
        ("10/series?metric=colour", 400, "metric=colour"),
        ("10/series?stats=mode", 400, "stats=mode"),
        ("10/series?from=yesterday", 400, "from=yesterday"),
        (
            "10/series?from=2026-01-31T12:00:00Z&to=2026-01-31T11:00:00Z",
            400,
            "not before",
        ),
        (
            "10/series?from=2020-01-31T12:00:00Z&step=1s",
            400,
            "at most 11000",
        ),
        ("10/series?colour=1", 400, "colour"),
        ("10/series?from=1&from=2", 400, "given twice"),
        ("x/series", 400, "pid=x"),
        ("10/series?agent_id=b", 404, "no agent b"),
        ("10/history?minutes=0", 400, "minutes=0"),
        ("10/history?minutes=x", 400, "minutes"),
        ("1-2/history", 400, "pid=1-2"),
    ] {
        let problem = server.problem(&format!("/api/v1/processes/{path}")).await;
        assert_eq!(problem["status"], status, "{path}: {problem}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(said), "{path}: {detail}");
    }
    server.stop().await;
}
