//! `GET /processes/groups/series`.

use procmon_common::columns::Column;
use procmon_common::wire;
use serde_json::{Value, json};

use crate::support::sampled::SampledHost;
use crate::support::{START_MS, Server};

async fn groups(server: &Server, query: &str) -> Value {
    let from = START_MS / 1000;
    let path = format!("/api/v1/processes/groups/series?from={from}&{query}");
    server.json(&path).await
}

/// Half a century in which nobody looked is passed over.
#[tokio::test]
async fn a_range_may_begin_long_before_the_host() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handle = host.start(2);
    host.set(handle, Column::CpuCentipercent, 1_000);
    host.samples(&server, 2).await;
    // Within a part, and in the one after it.
    host.wait(&server, 3_600_000);
    host.samples(&server, 2).await;
    host.wait(&server, 5_000);
    let until = START_MS / 1000 + 86_400 * 30;
    server.clock.advance_ms(86_400_000 * 31);
    for from in ["0", "1900-01-01T00:00:00Z"] {
        let path =
            format!("/api/v1/processes/groups/series?from={from}&to={until}&metric=memory_rss");
        let body = server.json(&path).await;
        let points = body["groups"][0]["points"].as_array().map(Vec::len);
        assert!(points.is_some_and(|points| points > 0), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn sums_and_the_highest_by_group() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handles: Vec<u32> = (2..6).map(|pid| host.start(pid)).collect();
    for (handle, name) in handles.iter().zip(["x", "x", "y", "z"]) {
        host.exec(*handle, format!("/bin/{name}\0").as_bytes());
    }
    for (handle, cpu) in handles.iter().zip([1_000, 3_000, 2_000, 100]) {
        host.set(*handle, Column::CpuCentipercent, cpu);
        host.set(*handle, Column::WriteBytes, 0);
    }
    host.sample(&server).await;
    for written in 1..=3 {
        host.set(handles[0], Column::WriteBytes, written * 5_000);
        host.set(handles[1], Column::WriteBytes, written * 1_000);
        host.samples(&server, 1).await;
    }
    host.wait(&server, 5_000);
    let body = groups(&server, "group_by=name&metric=cpu_percent&step=10s&top=2").await;
    let names: Vec<_> = (0..2)
        .map(|index| body["groups"][index]["group"].clone())
        .collect();
    assert_eq!(names, [json!("x"), json!("y")]);
    let point = &body["groups"][0]["points"][0];
    for (name, value) in [
        ("cpu_percent", 40.0),
        ("cpu_percent_max", 30.0),
        ("processes", 2.0),
        ("short_lived_cpu_percent", 0.0),
    ] {
        assert_eq!(point[name], json!(value), "{name} of {point}");
    }
    assert_eq!(body["other"]["points"][0]["cpu_percent"], 1.0);
    assert_eq!(
        body["groups"][0]["points"].as_array().map(Vec::len),
        Some(2)
    );
    let body = groups(&server, "group_by=user&metric=write_bytes_per_s&step=20s").await;
    assert_eq!(body["groups"][0]["group"], "alice");
    // 6 kB in each of the three intervals that are known.
    assert_eq!(body["groups"][0]["points"][0]["write_bytes_per_s"], 1200.0);
    assert_eq!(body["other"], Value::Null);
    let body = groups(&server, "group_by=container&metric=memory_rss&step=20s").await;
    let processes: Vec<_> = body["groups"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| {
            (
                group["group"].clone(),
                group["points"][0]["processes"].clone(),
            )
        })
        .collect();
    assert_eq!(
        processes,
        [
            (Value::Null, json!(2.0)),
            (json!("0123456789abcdef"), json!(2.0))
        ]
    );
    server.stop().await;
}

#[tokio::test]
async fn what_no_sample_shows_is_charged_to_its_group() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    host.start(2);
    host.sample(&server).await;
    host.wait(&server, 5_000);
    host.short_lived(wire::ShortLived {
        name: b"cc1".to_vec().into(),
        uid: 1000,
        username: Some("alice".to_owned()),
        lives: 40,
        cpu_time_ns: 4_000_000_000,
        ..wire::ShortLived::default()
    });
    host.sample(&server).await;
    host.wait(&server, 1_000);
    let body = groups(&server, "step=10s").await;
    let group = &body["groups"][0];
    assert_eq!(group["group"], "cc1");
    let point = &group["points"][0];
    // 80 % of a core in one of two samples.
    assert_eq!(
        (
            &point["cpu_percent"],
            &point["short_lived_cpu_percent"],
            &point["processes"]
        ),
        (&json!(40.0), &json!(40.0), &json!(0.0))
    );
    assert_eq!(point["cpu_percent_max"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_long_range_is_read_in_parts_without_a_seam() {
    let server = Server::start().await;
    let mut host = SampledHost::new("a");
    let handle = host.start(2);
    host.sample(&server).await;
    for minute in 1..=70 {
        host.set(handle, Column::WriteBytes, minute * 6_000);
        for _ in 0..6 {
            host.wait(&server, 10_000);
            host.sample(&server).await;
        }
    }
    let body = groups(&server, "metric=write_bytes_per_s&step=5m").await;
    let points = body["groups"][0]["points"].as_array().expect("a list");
    assert_eq!(points.len(), 14);
    // Of the first ten seconds nothing is known: what comes is divided by less time.
    assert_eq!(points[0]["write_bytes_per_s"], json!(103.4483));
    for point in &points[1..] {
        assert_eq!(
            (&point["write_bytes_per_s"], &point["processes"]),
            (&json!(100.0), &json!(1.0)),
            "{point}"
        );
    }
    assert_eq!(body["gaps"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_valid_is_named() {
    let server = Server::start().await;
    SampledHost::new("a").sample(&server).await;
    for (query, said) in [
        ("group_by=colour", "group_by=colour"),
        ("metric=colour", "metric=colour"),
        ("metric=cpu_percent,memory_rss", "one metric"),
        ("top=0", "top=0"),
        ("step=1ms", "step=1ms"),
    ] {
        let problem = server
            .problem(&format!("/api/v1/processes/groups/series?{query}"))
            .await;
        assert!(
            problem["detail"].as_str().expect("text").contains(said),
            "{query}: {problem}"
        );
    }
    server.stop().await;
}
