//! `/silences`

use super::*;

#[tokio::test]
async fn alerts_say_that_they_are_silenced() {
    let server = server().await;
    let busy = json!({ "id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    rule(&server, &busy).await;
    let hot = [sample(7, "java", 95.5), sample(8, "go", 96.5)];
    evaluate(&server, &[("a", &hot)]).await;
    let body = json!({
        "matchers": [{ "name": "name", "value": "ja.*", "is_regex": true }],
        "duration": "1h", "created_by": "ann", "comment": "deploy"
    });
    let preview = send(&server, Method::POST, "/api/v1/silences/preview", &body).await;
    let preview: Value = preview.json().await.expect("JSON");
    assert_eq!(preview["total"], 1);
    assert_eq!(preview["alerts"][0]["labels"]["name"], "java");
    let created = send(&server, Method::POST, "/api/v1/silences", &body).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let silence: Value = created.json().await.expect("JSON");
    assert_eq!(silence["state"], "active");
    let id = silence["id"].as_str().expect("an id");
    for alert in alerts(&server).await {
        let expected = if alert["labels"]["name"] == "java" {
            json!([id])
        } else {
            json!([])
        };
        assert_eq!(alert["silenced_by"], expected);
        assert_eq!(alert["state"], "firing");
    }
    let path = format!("/api/v1/silences/{id}");
    let ended = send(&server, Method::DELETE, &path, &json!(null)).await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.json(&path).await["state"], "expired");
    for alert in alerts(&server).await {
        assert_eq!(alert["silenced_by"], json!([]));
    }
    let list = server.json("/api/v1/silences").await;
    assert_eq!(list["silences"].as_array().expect("a list").len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_silence_that_is_none_is_refused() {
    let server = server().await;
    let matchers = json!([{ "name": "name", "value": "java" }]);
    for (body, status) in [
        (json!({ "matchers": [], "duration": "1h" }), 422),
        (json!({ "matchers": matchers }), 422),
        (json!({ "matchers": matchers, "duration": "soon" }), 422),
        (
            json!({ "matchers": [{ "name": "name", "value": "(", "is_regex": true }], "duration": "1h" }),
            422,
        ),
        (
            json!({ "matchers": [{ "name": "name", "value": "" }], "duration": "1h" }),
            422,
        ),
        (
            json!({ "matchers": matchers, "ends_at": "2020-01-01T00:00:00Z" }),
            422,
        ),
        (
            json!({ "matchers": matchers, "starts_at": "2019-01-01T00:00:00Z", "ends_at": "2020-01-01T00:00:00Z" }),
            422,
        ),
        (
            json!({ "id": "nothing", "matchers": matchers, "duration": "1h" }),
            404,
        ),
    ] {
        let answer = send(&server, Method::POST, "/api/v1/silences", &body).await;
        assert_eq!(problem(answer).await["status"], status, "{body}");
    }
    assert_eq!(
        server.problem("/api/v1/silences/nothing").await["status"],
        404
    );
    server.stop().await;
}
