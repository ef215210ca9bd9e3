//! From pending to resolved, and what must not disturb it.

use super::*;

fn busy(more: &Value) -> Value {
    let mut rule = json!({
        "id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80, "for": "45s",
        "annotations": { "summary": "{{ $labels.name }} at {{ $value }}%" }
    });
    let fields = more.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(fields);
    rule
}

#[tokio::test]
async fn it_is_pending_fires_and_is_resolved() {
    let server = server().await;
    rule(
        &server,
        &busy(&json!({ "labels": { "team": "web" }, "severity": "page" })),
    )
    .await;
    let (hot, cool) = (sample(7, "java", 95.5), sample(7, "java", 3.0));
    for state in ["pending", "pending", "pending", "firing"] {
        evaluate(&server, &[("a", std::slice::from_ref(&hot))]).await;
        assert_eq!(states(&server, "name").await, pairs(&[("java", state)]));
    }
    let firing = server.json("/api/v1/alerts").await;
    let alert = &firing["alerts"][0];
    assert_eq!(firing["total"], 1);
    assert_eq!(alert["annotations"]["summary"], "java at 95.5%");
    assert_eq!(alert["value"], 95.5);
    for (label, value) in [
        ("alertname", "Busy"),
        ("rule_id", "busy"),
        ("severity", "page"),
        ("team", "web"),
        ("agent_id", "a"),
        ("pid", "7"),
        ("username", "root"),
    ] {
        assert_eq!(alert["labels"][label], value, "{label}");
    }
    evaluate(&server, &[("a", &[cool])]).await;
    assert_eq!(
        states(&server, "name").await,
        pairs(&[("java", "resolved")])
    );
    assert!(
        server.json("/api/v1/alerts").await["alerts"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    let steps = pairs(&[
        ("inactive", "pending"),
        ("pending", "firing"),
        ("firing", "resolved"),
    ]);
    assert_eq!(history(&server, "rule_id=busy").await, steps);
    assert_eq!(
        history(&server, "state=firing&agent_id=a").await,
        steps[1..2]
    );
    assert!(history(&server, "agent_id=b").await.is_empty());
    let page = server.json("/api/v1/alerts/history?limit=2").await;
    let cursor = page["next_cursor"].as_str().expect("there is more");
    assert_eq!(
        history(&server, &format!("cursor={cursor}")).await,
        steps[..1]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_invents_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = procmon_server::clock::Clock::manual(crate::support::START_MS);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    until_evaluated(&server).await;
    rule(&server, &busy(&json!({}))).await;
    let hot = sample(7, "java", 95.5);
    for _ in 0..2 {
        evaluate(&server, &[("a", std::slice::from_ref(&hot))]).await;
    }
    let before = alerts(&server).await;
    assert_eq!(before[0]["state"], "pending");
    server.stop().await;
    clock.advance_ms(EVALUATION_MS);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    until_evaluated(&server).await;
    // While nobody looked nothing counts.
    for state in ["pending", "pending", "firing"] {
        evaluate(&server, &[("a", std::slice::from_ref(&hot))]).await;
        let after = alerts(&server).await;
        assert_eq!(after[0]["state"], state);
        assert_eq!(after[0]["active_at"], before[0]["active_at"]);
        assert_eq!(after[0]["fingerprint"], before[0]["fingerprint"]);
    }
    server.stop().await;
    // Away for an hour: it still fires, and was neither resolved nor told again.
    clock.advance_ms(3_600_000);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    until_evaluated(&server).await;
    assert_eq!(alerts(&server).await[0]["stale"], true);
    evaluate(&server, &[("a", &[hot])]).await;
    assert_eq!(alerts(&server).await[0]["stale"], false);
    let steps = pairs(&[("inactive", "pending"), ("pending", "firing")]);
    assert_eq!(history(&server, "").await, steps);
    server.stop().await;
}

#[tokio::test]
async fn the_alerts_of_a_silent_host_stand_still() {
    let server = server().await;
    rule(&server, &busy(&json!({ "for": "0s" }))).await;
    rule(
        &server,
        &json!({ "name": "Gone", "kind": "absence", "process_name": "java" }),
    )
    .await;
    let hot = sample(7, "java", 95.5);
    evaluate(
        &server,
        &[
            ("a", std::slice::from_ref(&hot)),
            ("b", std::slice::from_ref(&hot)),
        ],
    )
    .await;
    for _ in 0..50 {
        evaluate(&server, &[("b", std::slice::from_ref(&hot))]).await;
    }
    let alerts = alerts(&server).await;
    assert_eq!(alerts.len(), 2, "no absence: {alerts:?}");
    for alert in alerts {
        assert_eq!(alert["state"], "firing");
        assert_eq!(alert["stale"], alert["labels"]["agent_id"] == "a");
    }
    assert_eq!(history(&server, "").await.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn another_process_with_the_same_pid_is_another_alert() {
    let server = server().await;
    rule(&server, &busy(&json!({ "for": "0s" }))).await;
    evaluate(&server, &[("a", &[sample(7, "java", 90.0)])]).await;
    evaluate(&server, &[("a", &[])]).await;
    evaluate(&server, &[("a", &[sample(7, "java", 91.0)])]).await;
    let alerts = alerts(&server).await;
    let of = |state: &str| {
        let found = alerts.iter().find(|alert| alert["state"] == state);
        found.unwrap_or_else(|| panic!("{state}: {alerts:?}"))
    };
    assert_eq!(alerts.len(), 2);
    let (first, second) = (of("resolved"), of("firing"));
    assert_eq!(first["labels"]["pid"], second["labels"]["pid"]);
    assert_ne!(
        first["labels"]["process_id"],
        second["labels"]["process_id"]
    );
    assert_ne!(first["fingerprint"], second["fingerprint"]);
    server.stop().await;
}

#[tokio::test]
async fn it_goes_on_until_it_has_recovered() {
    let server = server().await;
    rule(&server, &busy(&json!({ "for": "0s", "recovery": 50 }))).await;
    for (cpu, state) in [
        (85.0, "firing"),
        (60.0, "firing"),
        (81.0, "firing"),
        (50.0, "resolved"),
        (60.0, "resolved"),
    ] {
        evaluate(&server, &[("a", &[sample(7, "java", cpu)])]).await;
        assert_eq!(
            states(&server, "name").await,
            pairs(&[("java", state)]),
            "{cpu}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn without_its_rule_an_alert_ends() {
    let server = server().await;
    rule(&server, &busy(&json!({ "for": "0s" }))).await;
    let hot = [sample(7, "java", 95.5)];
    evaluate(&server, &[("a", &hot)]).await;
    rule(&server, &busy(&json!({ "for": "0s", "severity": "page" }))).await;
    evaluate(&server, &[("a", &hot)]).await;
    evaluate(&server, &[("a", &hot)]).await;
    let list = server.json("/api/v1/alerts").await;
    assert_eq!(list["alerts"][0]["labels"]["severity"], "page", "{list}");
    rule(&server, &busy(&json!({ "enabled": false }))).await;
    evaluate(&server, &[("a", &hot)]).await;
    assert_eq!(server.json("/api/v1/alerts").await["total"], 0);
    let ends = history(&server, "state=resolved").await;
    assert_eq!(ends.len(), 2, "once for each label set");
    server.stop().await;
}

#[tokio::test]
async fn an_alert_with_other_labels_is_another_one_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = procmon_server::clock::Clock::manual(crate::support::START_MS);
    let hot = [sample(7, "java", 95.5), sample(8, "mysql", 95.5)];
    // Whichever of the two fingerprints comes first when they are read back.
    for severity in ["one", "two", "three"] {
        let server = Server::start_in(folder.path(), clock.clone()).await;
        until_evaluated(&server).await;
        let labelled = |severity: &str| busy(&json!({ "for": "0s", "severity": severity }));
        rule(&server, &labelled(severity)).await;
        evaluate(&server, &[("a", &hot)]).await;
        rule(&server, &labelled(&format!("{severity} more"))).await;
        for _ in 0..2 {
            evaluate(&server, &[("a", &hot)]).await;
        }
        let before = server.json("/api/v1/alerts").await;
        assert_eq!(before["total"], 2, "{before}");
        for alert in before["alerts"].as_array().expect("a list") {
            assert_eq!(alert["labels"]["agent_id"], "a", "{before}");
        }
        let steps = history(&server, "").await;
        server.stop().await;
        clock.advance_ms(EVALUATION_MS);
        let server = Server::start_in(folder.path(), clock.clone()).await;
        until_evaluated(&server).await;
        evaluate(&server, &[("a", &hot)]).await;
        assert_eq!(history(&server, "").await, steps);
        let after = server.json("/api/v1/alerts").await;
        for (after, before) in after["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .zip(before["alerts"].as_array().expect("a list"))
        {
            for field in ["fingerprint", "active_at", "fired_at", "labels"] {
                assert_eq!(after[field], before[field]);
            }
        }
        rule(&server, &busy(&json!({ "enabled": false }))).await;
        evaluate(&server, &[("a", &hot)]).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_rule_that_looks_at_something_else_compares_it_with_nothing() {
    let server = server().await;
    let changed =
        |field: &str| json!({ "id": "c", "name": "Changed", "kind": "change", "field": field });
    let process = sample(7, "java", 1.0);
    rule(&server, &changed("cmdline")).await;
    for field in ["username", "cmdline", "name"] {
        evaluate(&server, &[("a", std::slice::from_ref(&process))]).await;
        rule(&server, &changed(field)).await;
        evaluate(&server, &[("a", std::slice::from_ref(&process))]).await;
        assert!(alerts(&server).await.is_empty(), "{field}");
    }
    // While a rule is disabled nothing is looked at.
    let mut disabled = changed("cmdline");
    rule(&server, &disabled).await;
    evaluate(&server, &[("a", std::slice::from_ref(&process))]).await;
    disabled["enabled"] = json!(false);
    rule(&server, &disabled).await;
    let mut other = process.clone();
    other["cmdline"] = json!("/usr/bin/java -jar other");
    evaluate(&server, &[("a", std::slice::from_ref(&other))]).await;
    rule(&server, &changed("cmdline")).await;
    evaluate(&server, &[("a", std::slice::from_ref(&other))]).await;
    assert!(alerts(&server).await.is_empty());
    // What it is said with is no reason to forget what was seen.
    let mut told = changed("cmdline");
    told["annotations"] = json!({ "summary": "{{ $labels.name }}" });
    rule(&server, &told).await;
    evaluate(&server, &[("a", std::slice::from_ref(&process))]).await;
    assert_eq!(states(&server, "name").await, pairs(&[("java", "firing")]));
    server.stop().await;
}

#[tokio::test]
async fn clocks_that_jump_change_nothing() {
    let server = server().await;
    rule(&server, &busy(&json!({}))).await;
    rule(
        &server,
        &json!({ "name": "Down", "kind": "host_down", "after": "1m" }),
    )
    .await;
    let hot = [sample(7, "java", 95.5)];
    evaluate(&server, &[("a", &hot)]).await;
    server.clock.advance_ms(7_200_000);
    until_evaluated(&server).await;
    assert_eq!(states(&server, "name").await, pairs(&[("java", "pending")]));
    server.clock.advance_ms(-10_000_000);
    until_evaluated(&server).await;
    evaluate(&server, &[("a", &hot)]).await;
    let states = states(&server, "alertname").await;
    assert_eq!(states, pairs(&[("Busy", "pending")]), "nobody is down");
    server.stop().await;
}

#[tokio::test]
async fn somebody_saw_it() {
    let server = server().await;
    rule(&server, &busy(&json!({ "for": "0s" }))).await;
    evaluate(&server, &[("a", &[sample(7, "java", 95.5)])]).await;
    let fingerprint = alerts(&server).await[0]["fingerprint"]
        .as_str()
        .expect("text")
        .to_owned();
    let path = format!("/api/v1/alerts/{fingerprint}/ack");
    let body = json!({ "by": "ann", "comment": "on it" });
    let answer = send(&server, Method::POST, &path, &body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    evaluate(&server, &[("a", &[sample(7, "java", 96.5)])]).await;
    let alert = &alerts(&server).await[0];
    assert_eq!(alert["acknowledged"]["by"], "ann");
    assert_eq!(alert["acknowledged"]["comment"], "on it");
    evaluate(&server, &[("a", &[sample(7, "java", 1.0)])]).await;
    assert!(alerts(&server).await[0]["acknowledged"].is_null());
    let again = send(&server, Method::POST, &path, &body).await;
    assert_eq!(problem(again).await["status"], 409);
    let nobody = send(&server, Method::POST, &path, &json!({ "by": "" })).await;
    assert_eq!(problem(nobody).await["status"], 422);
    let nothing = send(&server, Method::POST, "/api/v1/alerts/0/ack", &body).await;
    assert_eq!(problem(nothing).await["status"], 404);
    server.stop().await;
}
