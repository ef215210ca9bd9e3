//! What is shown of alerts, beside what became of them: who saw them, what keeps them from being told, and whose they are.

use super::*;

async fn busy(server: &Server) {
    let busy = json!({ "id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    rule(server, &busy).await;
}

async fn fingerprint(server: &Server) -> String {
    let fingerprint = &alerts(server).await[0]["fingerprint"];
    fingerprint.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn who_saw_it_can_take_that_back() {
    let server = server().await;
    busy(&server).await;
    evaluate(&server, &[("a", &[sample(7, "java", 95.5)])]).await;
    let path = format!("/api/v1/alerts/{}/ack", fingerprint(&server).await);
    let seen = send(&server, Method::POST, &path, &json!({ "by": "me" })).await;
    assert_eq!(seen.status(), StatusCode::OK);
    assert_eq!(alerts(&server).await[0]["acknowledged"]["by"], "me");
    let back = send(&server, Method::DELETE, &path, &Value::Null).await;
    assert_eq!(back.status(), StatusCode::OK);
    assert_eq!(alerts(&server).await[0]["acknowledged"], Value::Null);
    let nothing = "/api/v1/alerts/0000000000000000/ack";
    let unknown = send(&server, Method::DELETE, nothing, &Value::Null).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn silenced_alerts_are_chosen() {
    let server = server().await;
    busy(&server).await;
    let samples = [sample(7, "java", 95.5), sample(8, "ruby", 95.5)];
    evaluate(&server, &[("a", &samples)]).await;
    let silence = json!({ "matchers": [{ "name": "name", "value": "java" }], "duration": "1h" });
    let made = send(&server, Method::POST, "/api/v1/silences", &silence).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    for (silenced, name) in [("true", "java"), ("false", "ruby")] {
        let path = format!("/api/v1/alerts?silenced={silenced}");
        let list = server.json(&path).await;
        assert_eq!(list["total"], 1, "{silenced}");
        assert_eq!(list["alerts"][0]["labels"]["name"], name);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_process_shows_what_became_of_its_alerts() {
    let server = server().await;
    busy(&server).await;
    let samples = [sample(7, "java", 95.5), sample(8, "ruby", 3.0)];
    evaluate(&server, &[("a", &samples)]).await;
    let samples = [sample(7, "java", 1.0), sample(8, "ruby", 3.0)];
    evaluate(&server, &[("a", &samples)]).await;
    let alert = &alerts(&server).await[0];
    let process_id = alert["labels"]["process_id"].as_str().expect("a text");
    let of_process = format!("/api/v1/alerts?state=resolved&process_id={process_id}");
    assert_eq!(server.json(&of_process).await["total"], 1);
    let steps = history(&server, &format!("process_id={process_id}")).await;
    assert_eq!(steps.len(), 2);
    let life = format!("/api/v1/processes/by-id/{process_id}?agent_id=a");
    let life = server.json(&life).await;
    let changes = life["alerts"].as_array().expect("a list").iter();
    let states: Vec<_> = changes.map(|change| change["to"].clone()).collect();
    assert_eq!(states, ["firing", "resolved"]);
    let other = server.json("/api/v1/processes?agent_id=a&name=ruby").await;
    let other = other["processes"][0]["process_id"].as_str().expect("one");
    let other = server
        .json(&format!("/api/v1/processes/by-id/{other}?agent_id=a"))
        .await;
    assert_eq!(other["alerts"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn alerts_of_a_host_that_is_gone_are_inhibited() {
    let server = server().await;
    busy(&server).await;
    rule(
        &server,
        &json!({ "id": "gone", "name": "Gone", "kind": "host_down", "after": "30s" }),
    )
    .await;
    evaluate(
        &server,
        &[
            ("a", &[sample(7, "java", 95.5)]),
            ("b", &[sample(7, "java", 95.5)]),
        ],
    )
    .await;
    let inhibited = async || {
        let mut shown: Vec<_> = alerts(&server)
            .await
            .iter()
            .map(|alert| {
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                (
                    text(&alert["rule_id"]),
                    text(&alert["labels"]["agent_id"]),
                    alert["inhibited"] == true,
                )
            })
            .collect();
        shown.sort();
        shown
    };
    let of = |rule: &str, host: &str, inhibited| (rule.to_owned(), host.to_owned(), inhibited);
    assert_eq!(
        inhibited().await,
        [of("busy", "a", false), of("busy", "b", false)]
    );
    for _ in 0..4 {
        evaluate(&server, &[("b", &[sample(7, "java", 95.5)])]).await;
    }
    assert_eq!(
        inhibited().await,
        [
            of("busy", "a", true),
            of("busy", "b", false),
            of("gone", "a", false)
        ]
    );
    server.stop().await;
}
