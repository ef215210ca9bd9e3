//! `/alert-rules`

use super::*;

#[tokio::test]
async fn rules_are_created_replaced_and_deleted() {
    let server = server().await;
    let path = "/api/v1/alert-rules/busy";
    let body = json!({ "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    let created = send(&server, Method::PUT, path, &body).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let replaced = send(&server, Method::PUT, path, &body).await;
    assert_eq!(replaced.status(), StatusCode::OK);
    let shown = server.json(path).await;
    assert_eq!(shown["id"], "busy");
    assert_eq!(shown["source"], "api");
    assert_eq!(shown["threshold"], 80.0);
    let sent_back = send(&server, Method::PUT, path, &shown).await;
    assert_eq!(
        sent_back.status(),
        StatusCode::OK,
        "what is shown can be sent back"
    );
    let other = send(
        &server,
        Method::PUT,
        path,
        &json!({ "id": "other", "name": "x" }),
    )
    .await;
    assert_eq!(problem(other).await["status"], 409);
    let first = rule(&server, &body).await;
    let same = rule(&server, &body).await;
    assert_eq!(
        first["id"], same["id"],
        "the same rule again is the same rule"
    );
    let list = server.json("/api/v1/alert-rules").await;
    assert_eq!(list["rules"].as_array().expect("a list").len(), 2);
    let deleted = send(&server, Method::DELETE, path, &json!(null)).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.problem(path).await["status"], 404);
    let again = send(&server, Method::DELETE, path, &json!(null)).await;
    assert_eq!(problem(again).await["status"], 404);
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_explained() {
    let server = server().await;
    let valid = json!({ "name": "x", "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    for (key, value, wanted) in [
        (
            "metric",
            json!("cpu"),
            "there is no metric cpu. Metrics are: cpu_percent, memory_rss",
        ),
        ("operator", json!("above"), "must be >, >=, <, <=, == or !="),
        ("threshold", json!(null), "threshold: is missing"),
        ("for", json!("1 minute"), "90s, 5m or 1h30m"),
        ("treshold", json!(1), "did you mean `threshold`"),
        ("q", json!("nmae == 'x'"), "q: column 1"),
        (
            "annotations",
            json!({ "s": "{{ $labels.nmae }}" }),
            "no label nmae",
        ),
    ] {
        let mut body = valid.clone();
        body[key] = value;
        let detail = refused(&server, &body).await;
        assert!(detail.contains(wanted), "{detail}");
    }
    let shell = json!({ "name": "x", "kind": "event", "types": ["exec"], "q": "ancestors.contains('nginx')" });
    let detail = refused(&server, &shell).await;
    assert!(
        detail.contains("this is a list: write 'x' in list"),
        "{detail}"
    );
    upload(&server, "slow", &[]).await;
    let mut body = valid;
    body["for"] = json!("2s");
    let warnings = rule(&server, &body).await["warnings"].to_string();
    assert!(
        warnings.contains("sampling interval (5s) of slow"),
        "{warnings}"
    );
    assert!(warnings.contains("eval_interval"), "{warnings}");
    server.stop().await;
}

#[tokio::test]
async fn rules_of_files_are_shown_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).expect("created");
    let file = rules.join("web.yaml");
    let text = "rules:\n- id: busy\n  name: Busy\n  metric: cpu_percent\n  operator: '>'\n  threshold: 80\n";
    std::fs::write(&file, text).expect("written");
    let server = Server::start_with_rules(folder.path(), &rules).await;
    until_evaluated(&server).await;
    let path = "/api/v1/alert-rules/busy";
    let shown = server.json(path).await;
    assert_eq!(
        (&shown["source"], &shown["file"]),
        (&json!("file"), &json!("web.yaml"))
    );
    for method in [Method::PUT, Method::DELETE] {
        let body = json!({ "name": "x", "kind": "zombie" });
        let problem = problem(send(&server, method, path, &body).await).await;
        assert_eq!(problem["status"], 409);
        assert!(
            problem["detail"]
                .as_str()
                .expect("text")
                .contains("web.yaml")
        );
    }
    assert_eq!(shown["warnings"], json!([]));
    let hot = [sample(7, "java", 95.5)];
    evaluate(&server, &[("a", &hot)]).await;
    assert_eq!(states(&server, "name").await, pairs(&[("java", "firing")]));
    std::fs::write(&file, text.replace("80", "eighty")).expect("written");
    evaluate(&server, &[("a", &hot)]).await;
    let list = server.json("/api/v1/alert-rules").await;
    assert!(
        list["file_errors"][0]
            .as_str()
            .expect("text")
            .contains("threshold"),
        "{list}"
    );
    assert_eq!(states(&server, "name").await, pairs(&[("java", "firing")]));
    std::fs::write(&file, text.replace("80", "99.5")).expect("written");
    evaluate(&server, &[("a", &hot)]).await;
    assert_eq!(
        states(&server, "name").await,
        pairs(&[("java", "resolved")])
    );
    rule(
        &server,
        &json!({ "id": "mine", "name": "Mine", "kind": "zombie" }),
    )
    .await;
    let other = "rules:\n- {id: mine, name: Theirs, kind: zombie}\n";
    std::fs::write(rules.join("other.yaml"), other).expect("written");
    evaluate(&server, &[("a", &hot)]).await;
    let shown = server.json("/api/v1/alert-rules/mine").await;
    assert_eq!(shown["name"], "Theirs");
    let warnings = shown["warnings"].to_string();
    assert!(warnings.contains("has the same id"), "{warnings}");
    server.stop().await;
}

/// A page of somebody else can make a browser send a form, and nothing else without being asked.
#[tokio::test]
async fn bodies_must_say_that_they_are_json() {
    let server = server().await;
    for path in [
        "alert-rules",
        "alert-rules/preview",
        "silences",
        "silences/preview",
        "alerts/0/ack",
    ] {
        let url = server.url(&format!("/api/v1/{path}"));
        let form = server.http.post(&url).body("{\"name\":\"x\"}").send();
        let status = form.await.expect("an answer").status();
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        let request = server.http.post(&url);
        let broken = request.header("content-type", "application/json").body("{");
        let status = broken.send().await.expect("an answer").status();
        assert!(status == 400 || status == 422, "{path}: {status}");
        let list = send(
            &server,
            Method::POST,
            &format!("/api/v1/{path}"),
            &json!([]),
        )
        .await;
        assert_eq!(list.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        for length in [1 << 17, 3 << 20] {
            let request = server.http.post(&url);
            let request = request.header("content-type", "application/json");
            let long = request.body(" ".repeat(length)).send().await;
            let status = long.expect("an answer").status();
            assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        }
    }
    server.stop().await;
}
