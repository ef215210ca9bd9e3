use crate::support::{FakeAgent, Server, exited};

async fn text(server: &Server, accept: &str) -> (String, String) {
    let request = server
        .http
        .get(server.url("/metrics"))
        .header("accept", accept);
    let response = request.send().await.expect("an answer");
    let media_type = response.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    (media_type, response.text().await.expect("a body"))
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("a");
    server.send(&agent.key(10, 5)).await;
    server.send(&agent.life(50, exited(7))).await;
    server.post_body("a", b"junk".to_vec()).await;
    let (media_type, classic) = text(&server, "text/plain").await;
    assert!(media_type.starts_with("text/plain; version=0.0.4"));
    for line in [
        r#"procmon_build_info{version="0.1.0"} 1"#,
        r#"procmon_agents{status="live"} 1"#,
        r#"procmon_processes{agent_id="a",state="S"} 4"#,
        r#"procmon_processes{agent_id="a",state="Z"} 1"#,
        r#"procmon_process_exits_total{agent_id="a"} 1"#,
        r#"procmon_agent_drops_total{agent_id="a",kind="exec",reason="ring_full"} 3"#,
        r#"procmon_ingest_requests_total{door="native",result="accepted"} 2"#,
        r#"procmon_ingest_requests_total{door="native",result="refused"} 1"#,
        r#"procmon_ingest_rejects_total{door="native",reason="malformed"} 1"#,
        "# TYPE procmon_ingest_requests_total counter",
        "# TYPE procmon_ingest_request_duration_seconds histogram",
        "procmon_store_batches_total 2",
        "procmon_open_streams 0",
    ] {
        assert!(
            classic.lines().any(|known| known == line),
            "{line} is not in\n{classic}"
        );
    }
    assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"));
    let (media_type, modern) = text(&server, "application/openmetrics-text; version=1.0.0").await;
    assert!(media_type.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(modern.ends_with("# EOF\n"));
    assert!(modern.contains("# TYPE procmon_ingest_requests counter"));
    server.stop().await;
}
