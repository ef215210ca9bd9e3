//! `POST /agents/{agent_id}/processes`: the seed's JSON.

use std::io::Write;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{FakeAgent, Server, problem};

fn seed() -> Value {
    json!({"agent_id": "agent1", "interval_s": 5, "samples": [{"pid": 1234, "ppid": 1, "name": "demo",
        "cmdline": "/usr/bin/demo", "username": "root", "status": "R", "cpu_percent": 12.5, "memory_rss": 2_048_000,
        "memory_percent": 0.4, "num_threads": 5}]})
}

#[tokio::test]
async fn the_seeds_request_is_taken_as_it_is() {
    let server = Server::start().await;
    let answer = server.upload("agent1", &seed()).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({ "accepted": 1 })
    );
    insta::assert_json_snapshot!(
        server
            .json("/api/v1/processes?agent_id=agent1&cpu_gt=5")
            .await
    );
    assert_eq!(server.json("/api/v1/events").await["events"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_changes_between_two_uploads_becomes_events() {
    let server = Server::start().await;
    let sample =
        |pid: u32, name: &str| json!({ "pid": pid, "ppid": 1, "name": name, "cmdline": name });
    let upload = async |samples: Value| {
        server.clock.advance_ms(5000);
        let answer = server.upload("a", &json!({ "samples": samples })).await;
        assert_eq!(answer.status(), 202);
    };
    upload(json!([sample(1, "init"), sample(2, "old")])).await;
    let id = server.json("/api/v1/processes?pid=1").await["processes"][0]["process_id"].clone();
    upload(json!([sample(1, "init"), sample(3, "new")])).await;
    upload(json!([sample(1, "init"), sample(3, "newer")])).await;
    let events = server.json("/api/v1/events").await;
    let seen: Vec<_> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| {
            (
                event["type"].clone(),
                event["pid"].clone(),
                event["name"].clone(),
                event["observed"].clone(),
            )
        })
        .collect();
    let expected = [("exec", 3, "newer"), ("exec", 3, "new"), ("exit", 2, "old")];
    assert_eq!(
        seen,
        expected.map(|(kind, pid, name)| (json!(kind), json!(pid), json!(name), json!("sample")))
    );
    assert_eq!(
        server.json("/api/v1/processes?pid=1").await["processes"][0]["process_id"],
        id
    );
    server.stop().await;
}

#[tokio::test]
async fn a_start_time_makes_the_identity() {
    let server = Server::start().await;
    let at = |start: Value| json!({ "samples": [{ "pid": 7, "name": "x", "start_time": start }] });
    server.upload("a", &at(json!("2026-01-31T11:00:00Z"))).await;
    let list = server.json("/api/v1/processes").await;
    assert_eq!(list["processes"][0]["process_id"], "7-1769857200000-upload");
    server.upload("a", &at(json!(1_769_857_201))).await;
    let events = server.json("/api/v1/events").await["events"].clone();
    assert_eq!(
        (&events[1]["type"], &events[0]["type"]),
        (&json!("exit"), &json!("exec"))
    );
    server.stop().await;
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_disturbs_nobody() {
    let server = Server::start().await;
    server.upload("agent1", &seed()).await;
    let before = server.json("/api/v1/processes").await;
    let post = async |body: &str| {
        let request = server
            .http
            .post(server.url("/api/v1/agents/agent1/processes"));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        problem(request.send().await.expect("an answer")).await
    };
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"samples":[{"name":"x"}]}"#, 400),
        (r#"{"samples":[{"pid":-1}]}"#, 400),
        (r#"{"samples":[{"pid":"x"}]}"#, 400),
        (r#"{"agent_id":"other","samples":[]}"#, 409),
        (r#"{"samples":[{"pid":1},{"pid":1}]}"#, 422),
        (r#"{"samples":[{"pid":1,"cpu_percent":-5}]}"#, 422),
        (r#"{"interval_s":0,"samples":[]}"#, 422),
        (r#"{"samples":[{"pid":1,"start_time":"soon"}]}"#, 422),
    ] {
        assert_eq!(post(body).await["status"], status, "{body}");
    }
    let large = format!(
        r#"{{"samples":[{{"pid":1,"name":"{}"}}]}}"#,
        "x".repeat(9 << 20)
    );
    assert_eq!(post(&large).await["status"], 413);
    assert_eq!(
        server.json("/api/v1/processes").await["processes"],
        before["processes"]
    );
    let form = server
        .http
        .post(server.url("/api/v1/agents/agent1/processes"))
        .body("{}");
    assert_eq!(
        problem(form.send().await.expect("an answer")).await["status"],
        415
    );
    server.stop().await;
}

#[tokio::test]
async fn compressed_bodies_are_read_within_limits() {
    let server = Server::start().await;
    let gzip = |plain: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).expect("in memory");
        encoder.finish().expect("in memory")
    };
    let plain = seed().to_string();
    let zstd = zstd::bulk::compress(plain.as_bytes(), 1).expect("compresses");
    let bomb = gzip(&vec![b' '; 65 << 20]);
    for (encoding, body, status) in [
        ("gzip", gzip(plain.as_bytes()), 202),
        ("zstd", zstd, 202),
        ("gzip", plain.clone().into_bytes(), 400),
        ("gzip", bomb, 413),
        ("br", plain.clone().into_bytes(), 415),
    ] {
        let request = server
            .http
            .post(server.url("/api/v1/agents/agent1/processes"));
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        let response = request.body(body).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{encoding}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_an_agent_uses_is_not_for_uploads() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("agent1");
    server.send(&agent.key(10, 1)).await;
    assert_eq!(
        problem(server.upload("agent1", &seed()).await).await["status"],
        409
    );
    server.clock.advance_ms(15_001);
    assert_eq!(server.upload("agent1", &seed()).await.status(), 202);
    // The agent comes back, and counts more than a script.
    agent.epoch += 1;
    agent.seq = 0;
    server.send(&agent.key(10, 1)).await;
    assert_eq!(
        server.json("/api/v1/processes").await["processes"][0]["pid"],
        10
    );
    server.stop().await;
}

#[tokio::test]
async fn errors_name_the_sample_and_the_field() {
    let server = Server::start().await;
    for (body, status, expected) in [
        (
            r#"{"samples":[{"pid":1},{"pid":"x"}]}"#,
            400,
            "samples[1].pid: invalid type",
        ),
        (
            r#"{"samples":[{"pid":1,"ports":[80,70000]}]}"#,
            400,
            "samples[0].ports[1]: invalid value",
        ),
        (
            r#"{"samples":[{"pid":1},{"name":"x"}]}"#,
            400,
            "samples[1]: missing field `pid`",
        ),
        (
            r#"{"samples":[{"pid":-1}]}"#,
            400,
            "samples[0].pid: invalid value",
        ),
        (
            r#"{"samples":[{"pid":4294967295}]}"#,
            422,
            "samples[0].pid: 4294967295 is out of range",
        ),
        (
            r#"{"samples":[{"pid":1},{"pid":2,"cpu_percent":-0.5}]}"#,
            422,
            "samples[1].cpu_percent: -0.5 is out of range",
        ),
        (
            r#"{"samples":[{"pid":1,"cpu_percent":1e999}]}"#,
            400,
            "samples[0].cpu_percent",
        ),
        (
            r#"{"samples":[{"pid":1,"memory_percent":101}]}"#,
            422,
            "samples[0].memory_percent: 101 is out of range; 0 to 100",
        ),
        (
            r#"{"samples":[{"pid":1,"memory_rss":18446744073709551615}]}"#,
            422,
            "samples[0].memory_rss",
        ),
        (
            r#"{"samples":[{"pid":1,"num_threads":-4}]}"#,
            400,
            "samples[0].num_threads: invalid value",
        ),
        (
            r#"{"samples":[{"pid":1},{"pid":3},{"pid":1}]}"#,
            422,
            "samples[2].pid: 1 is that of samples[0] too",
        ),
        (
            r#"{"samples":[{"pid":1,"start_time":"soon"}]}"#,
            422,
            "samples[0].start_time",
        ),
        (r#"{"samples":[]} x"#, 400, "more after its end"),
    ] {
        let request = server.http.post(server.url("/api/v1/agents/a/processes"));
        let request = request
            .header("content-type", "application/json")
            .body(body);
        let refused = problem(request.send().await.expect("an answer")).await;
        assert_eq!(refused["status"], status, "{refused}");
        let detail = refused["detail"].as_str().expect("text");
        assert!(detail.contains(expected), "{detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_that_mean_nothing_here_are_named_in_the_answer() {
    let server = Server::start().await;
    let body = json!({"version": 3, "samples": [
        {"pid": 1, "nice": 5, "io": {"a": 1}}, {"pid": 2, "nice": 6}, {"pid": 3, "name": "x"},
    ]});
    let answer = server.upload("a", &body).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.json::<Value>().await.expect("JSON"),
        json!({"accepted": 3, "ignored": ["samples[].io", "samples[].nice", "version"]})
    );
    let many: serde_json::Map<_, _> = (0..100)
        .map(|key| (format!("key{key}"), json!(1)))
        .collect();
    let mut body = json!({"samples": []});
    body.as_object_mut().expect("an object").extend(many);
    let answer: Value = server.upload("a", &body).await.json().await.expect("JSON");
    assert_eq!(answer["ignored"].as_array().expect("a list").len(), 20);
    server.stop().await;
}
