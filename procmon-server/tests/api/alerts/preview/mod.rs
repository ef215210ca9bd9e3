//! `POST /alert-rules/preview`

use super::*;

async fn preview(server: &Server, rule: &Value) -> Value {
    let path = "/api/v1/alert-rules/preview";
    let answer = send(server, Method::POST, path, rule).await;
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn a_rule_is_tried_before_it_is_saved() {
    let server = server().await;
    let busy = json!({
        "id": "busy", "name": "Busy", "process_name": "java", "metric": "cpu_percent", "operator": ">", "threshold": 80,
        "for": "30s"
    });
    rule(&server, &busy).await;
    // Java is busy twice for long enough and once not; go is busy all the time.
    for cpu in [9, 90, 91, 95, 90, 9, 90, 9, 90, 90, 90, 90] {
        let samples = [sample(7, "java", f64::from(cpu)), sample(8, "go", 99.0)];
        evaluate(&server, &[("a", &samples), ("b", &samples[1..])]).await;
    }
    let tried = preview(&server, &busy).await;
    assert_eq!(tried["now"]["total"], 1);
    assert_eq!(tried["now"]["matches"][0]["labels"]["name"], "java");
    let past = &tried["backtest"];
    assert_eq!(past["hosts"], 2);
    assert_eq!(past["fired"], 2, "{past}");
    assert_eq!(
        (&past["flapping"], &past["messages"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(past["episodes"][0]["value"], 95.0);
    assert!(past["episodes"][1]["resolved_at"].is_null());
    // As it was.
    let history = server.json("/api/v1/alerts/history?state=firing").await;
    let fired = history["transitions"].as_array().expect("a list");
    assert_eq!(fired.len(), 2);
    for (episode, transition) in [(0, 1), (1, 0)] {
        let (tried, was) = (&past["episodes"][episode], &fired[transition]);
        assert_eq!(tried["fired_at"], was["at"]);
        assert_eq!(tried["active_at"], was["active_at"]);
        assert_eq!(tried["labels"], was["labels"]);
    }
    let mut other = busy.clone();
    other["threshold"] = json!(98);
    other["process_name"] = json!("");
    let tried = preview(&server, &other).await;
    assert_eq!(
        (&tried["now"]["total"], &tried["backtest"]["fired"]),
        (&json!(2), &json!(2))
    );
    other["q"] = json!("memory_rss > 5");
    let tried = preview(&server, &other).await;
    assert!(tried["backtest"].is_null());
    assert!(
        tried["backtest_unavailable"]
            .as_str()
            .expect("a reason")
            .contains("q looks at")
    );
    let answer = send(
        &server,
        Method::POST,
        "/api/v1/alert-rules/preview",
        &json!({ "name": "x" }),
    )
    .await;
    assert_eq!(problem(answer).await["status"], 422);
    assert_eq!(
        server.json("/api/v1/alert-rules").await["rules"]
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    server.stop().await;
}
