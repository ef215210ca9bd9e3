//! The seed's requests, letter by letter but for the times.

use serde_json::{Value, json};

use crate::support::{START_MS, Server};

const UPLOAD: &str = r#"{"agent_id":"agent1","interval_s":5,"samples":[{"pid":1234,"ppid":1,"name":"demo",
     "cmdline":"/usr/bin/demo","username":"root","status":"R","cpu_percent":12.5,"memory_rss":2048000,
     "memory_percent":0.4,"num_threads":5}]}"#;

async fn upload(server: &Server, body: &str) {
    let request = server
        .http
        .post(server.url("/api/v1/agents/agent1/processes"));
    let request = request
        .header("content-type", "application/json")
        .body(body.to_owned());
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 202);
    let accepted: Value = answer.json().await.expect("JSON");
    assert_eq!(accepted, json!({ "accepted": 1 }));
}

/// A server that has taken the seed's upload `times` times, five seconds apart.
async fn server_with(times: u32) -> Server {
    let server = Server::start().await;
    for time in 0..times {
        if time > 0 {
            server.clock.advance_ms(5000);
        }
        upload(&server, UPLOAD).await;
    }
    server
}

/// An average is a number with a point, even when it is whole.
fn assert_demo(process: &Value) {
    for (field, expected) in [
        ("cpu_percent", 12.5),
        ("memory_rss", 2_048_000.0),
        ("memory_percent", 0.4),
        ("num_threads", 5.0),
    ] {
        assert_eq!(
            process[field].as_f64(),
            Some(expected),
            "{field} of {process}"
        );
    }
}

#[tokio::test]
async fn an_upload_is_listed_with_its_own_keys() {
    let server = server_with(1).await;
    let list = server.json("/api/v1/processes?agent_id=agent1").await;
    let process = &list["processes"][0];
    assert_demo(process);
    for (field, expected) in [
        ("agent_id", json!("agent1")),
        ("pid", json!(1234)),
        ("ppid", json!(1)),
        ("name", json!("demo")),
        ("cmdline", json!("/usr/bin/demo")),
        ("username", json!("root")),
        ("status", json!("R")),
    ] {
        assert_eq!(process[field], expected, "{field}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_seeds_filters_select() {
    let server = Server::start().await;
    let with_port = UPLOAD.replace(
        r#""num_threads":5"#,
        r#""num_threads":5,"open_fds":9,"net_conns":1,"ports":[8080],"read_bytes":4096,"write_bytes":512"#,
    );
    upload(&server, &with_port).await;
    for (filter, count) in [
        ("cpu_gt=50", 0),
        ("cpu_gt=5", 1),
        ("name=demo", 1),
        ("name=other", 0),
        ("pid=1234", 1),
        ("pid=1", 0),
        ("status=R", 1),
        ("status=Z", 0),
        ("mem_gt=0.3", 1),
        ("mem_gt=0.5", 0),
        ("port=8080", 1),
        ("port=80", 0),
    ] {
        let path = format!("/api/v1/processes?agent_id=agent1&{filter}");
        let list = server.json(&path).await;
        let found = list["processes"].as_array().expect("a list").len();
        assert_eq!((found, &list["total"]), (count, &json!(count)), "{filter}");
    }
    let list = server.json("/api/v1/processes?port=8080").await;
    for (field, expected) in [
        ("open_fds", json!(9)),
        ("net_conns", json!(1)),
        ("ports", json!([8080])),
        ("read_bytes", json!(4096)),
        ("write_bytes", json!(512)),
    ] {
        assert_eq!(list["processes"][0][field], expected, "{field}");
    }
    server.stop().await;
}

#[tokio::test]
async fn history_is_what_was_sent() {
    let server = server_with(4).await;
    let history = server
        .json("/api/v1/processes/1234/history?agent_id=agent1&minutes=10")
        .await;
    let points = history["points"].as_array().expect("points");
    assert_eq!(points.len(), 4);
    let times: Vec<_> = points.iter().map(|point| point["ts"].clone()).collect();
    let expected =
        ["00", "05", "10", "15"].map(|second| json!(format!("2026-01-31T12:00:{second}Z")));
    assert_eq!(times, expected);
    for point in points {
        assert_demo(point);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_series_has_averages_and_leaves_empty_steps_out() {
    let server = server_with(4).await;
    server.clock.advance_ms(40_000);
    upload(&server, &UPLOAD.replace("12.5", "20.5")).await;
    let time = |after_ms: i64| {
        let ms = START_MS + after_ms;
        jiff::Timestamp::from_millisecond(ms)
            .expect("a time")
            .to_string()
    };
    let (from, to) = (time(0), time(60_000));
    let path =
        format!("/api/v1/processes/1234/series?agent_id=agent1&step=15s&from={from}&to={to}");
    let series = server.json(&path).await;
    let points = series["points"].as_array().expect("points");
    let shown: Vec<_> = points
        .iter()
        .map(|point| (point["ts"].clone(), point["cpu_percent"].clone()))
        .collect();
    let expected = [
        ("2026-01-31T12:00:00Z", 12.5),
        ("2026-01-31T12:00:15Z", 12.5),
        ("2026-01-31T12:00:45Z", 20.5),
    ];
    assert_eq!(shown, expected.map(|(ts, value)| (json!(ts), json!(value))));
    assert_demo(&points[0]);
    assert!(
        !series["gaps"].as_array().expect("gaps").is_empty(),
        "what is left out is a gap: {series}"
    );
    server.stop().await;
}

#[tokio::test]
async fn the_tree_leaves_zombies_out() {
    let server = Server::start().await;
    let family = r#"{"agent_id":"agent1","interval_s":5,"samples":[
        {"pid":1,"ppid":0,"name":"init","cmdline":"/sbin/init","username":"root","status":"S","cpu_percent":0,
         "memory_rss":1000,"memory_percent":0.1,"num_threads":1},
        {"pid":1234,"ppid":1,"name":"demo","cmdline":"/usr/bin/demo","username":"root","status":"R","cpu_percent":12.5,
         "memory_rss":2048000,"memory_percent":0.4,"num_threads":5},
        {"pid":1235,"ppid":1234,"name":"gone","cmdline":"","username":"root","status":"Z","cpu_percent":0,
         "memory_rss":0,"memory_percent":0,"num_threads":1}]}"#;
    let body: Value = serde_json::from_str(family).expect("JSON");
    assert_eq!(server.upload("agent1", &body).await.status(), 202);
    let tree = server
        .json("/api/v1/processes/tree?agent_id=agent1&include_zombies=0")
        .await;
    let init = &tree["roots"][0];
    assert_eq!(
        (&init["pid"], &init["children"][0]["pid"]),
        (&json!(1), &json!(1234))
    );
    assert_eq!(init["children"][0]["children"], json!([]));
    let tree = server.json("/api/v1/processes/tree?agent_id=agent1").await;
    let demo = &tree["roots"][0]["children"][0];
    assert_eq!(demo["children"][0]["status"], "Z");
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_for_prometheus() {
    let server = server_with(1).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("a body");
    assert!(
        text.lines()
            .any(|line| line.starts_with("procmon_processes")),
        "{text}"
    );
    server.stop().await;
}
