use serde_json::json;

use crate::support::{FakeAgent, Server};

#[tokio::test]
async fn an_agent_shows_its_health() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("web-1");
    agent.boot = [0x0f; 16];
    server.send(&agent.key(10, 3)).await;
    let body = server.json("/api/v1/agents/web-1").await;
    insta::assert_json_snapshot!(body);
    let list = server.json("/api/v1/agents").await;
    assert_eq!(list, json!({ "agents": [body] }));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_agent_is_stale_and_its_processes_go_after_ten_minutes() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("web-1").key(10, 3)).await;
    server.clock.advance_ms(15_000);
    assert_eq!(server.json("/api/v1/agents/web-1").await["status"], "live");
    server.clock.advance_ms(1);
    assert_eq!(server.json("/api/v1/agents/web-1").await["status"], "stale");
    let list = server.json("/api/v1/processes").await;
    assert_eq!(
        (&list["total"], &list["processes"][0]["stale"]),
        (&json!(3), &json!(true))
    );
    server.clock.advance_ms(600_001);
    // Swept within ten seconds of real time.
    for _ in 0..120 {
        if server.json("/api/v1/processes").await["total"] == 0 {
            assert_eq!(
                server.json("/api/v1/agents").await["agents"][0]["status"],
                "stale"
            );
            return server.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the processes of a silent host are still listed");
}

#[tokio::test]
async fn a_clock_a_year_off_is_accepted_and_flagged() {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("web-1");
    agent.now_ns -= 365 * 86_400 * 1_000_000_000;
    server.send(&agent.key(10, 1)).await;
    server
        .send(&agent.life(500, crate::support::exited(0)))
        .await;
    let body = server.json("/api/v1/agents/web-1").await;
    assert_eq!(body["skewed"], true);
    assert_eq!(body["clock_offset_ms"], -365_i64 * 86_400_000);
    assert_eq!(body["lag_ms"], 0);
    let events = server.json("/api/v1/events").await;
    assert!(
        events["events"][0]["ts"]
            .as_str()
            .expect("a time")
            .starts_with("2025-01-31")
    );
    assert_eq!(events["events"][0]["received_at"], "2026-01-31T12:00:00Z");
    server.stop().await;
}

#[tokio::test]
async fn unknown_agents_and_parameters_are_problems() {
    let server = Server::start().await;
    assert_eq!(server.problem("/api/v1/agents/nobody").await["status"], 404);
    let problem = server.problem("/api/v1/agents?x=1").await;
    assert_eq!(problem["status"], 400);
    server.stop().await;
}
