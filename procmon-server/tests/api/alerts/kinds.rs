//! What rules about processes and hosts find.

use super::*;

fn with(mut sample: Value, more: &Value) -> Value {
    let fields = more.as_object().expect("an object").clone();
    sample.as_object_mut().expect("an object").extend(fields);
    sample
}

#[tokio::test]
async fn scopes_select() {
    let server = server().await;
    for (id, scope) in [
        ("name", json!({ "process_name": "java" })),
        ("pattern", json!({ "process_name": "ja*" })),
        ("expression", json!({ "process_name": "/^(java|go)$/" })),
        ("pid", json!({ "pid": 8 })),
        ("any", json!({ "pid": 0, "process_name": "" })),
        ("user", json!({ "user": "bob" })),
        (
            "q",
            json!({ "q": "cmdline.contains('bin/go') && num_threads < 9" }),
        ),
        ("host", json!({ "agent_id": "web-*" })),
        ("nobody", json!({ "agent_labels": { "env": "prod" } })),
    ] {
        let body = json!({ "id": id, "name": id, "metric": "num_threads", "operator": ">=", "threshold": 1 });
        rule(&server, &with(body, &scope)).await;
    }
    let go = with(sample(8, "go", 1.0), &json!({ "username": "bob" }));
    let samples = [sample(7, "java", 1.0), go];
    evaluate(
        &server,
        &[("web-1", &samples), ("db", &[sample(9, "java", 1.0)])],
    )
    .await;
    let found = async |id: &str| {
        let list = server.json(&format!("/api/v1/alerts?rule_id={id}")).await;
        let mut pids: Vec<String> = list["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|alert| alert["labels"]["pid"].as_str().expect("a pid").to_owned())
            .collect();
        pids.sort();
        pids.join(",")
    };
    for (id, pids) in [
        ("name", "7,9"),
        ("pattern", "7,9"),
        ("expression", "7,8,9"),
        ("pid", "8"),
        ("any", "7,8,9"),
        ("user", "8"),
        ("q", "8"),
        ("host", "7,8"),
        ("nobody", ""),
    ] {
        assert_eq!(found(id).await, pids, "{id}");
    }
    server.stop().await;
}

#[tokio::test]
async fn processes_are_put_together() {
    let server = server().await;
    for (id, metric, threshold, aggregate) in [
        (
            "sum",
            "cpu_percent",
            100,
            json!({ "function": "sum", "by": ["name", "agent_id"] }),
        ),
        (
            "max",
            "cpu_percent",
            65,
            json!({ "function": "max", "by": ["name"] }),
        ),
        (
            "fleet",
            "cpu_percent",
            150,
            json!({ "function": "sum", "by": ["name"] }),
        ),
        ("all", "cpu_percent", 200, json!({ "function": "sum" })),
    ] {
        let body = json!({
            "id": id, "name": id, "metric": metric, "operator": ">", "threshold": threshold, "aggregate": aggregate
        });
        rule(&server, &body).await;
    }
    let few = json!({
        "id": "few", "name": "few", "process_name": "worker", "operator": "<", "threshold": 2,
        "aggregate": { "function": "count", "by": ["agent_id"] }
    });
    rule(&server, &few).await;
    let a = [
        sample(1, "java", 60.0),
        sample(2, "java", 50.0),
        sample(3, "go", 70.0),
        sample(4, "worker", 0.0),
    ];
    let b = [
        sample(1, "java", 60.0),
        sample(2, "worker", 0.0),
        sample(3, "worker", 0.0),
    ];
    evaluate(&server, &[("a", &a), ("b", &b)]).await;
    let mut found: Vec<String> = alerts(&server)
        .await
        .iter()
        .map(|alert| {
            let labels = &alert["labels"];
            let text = |name: &str| labels[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {}",
                text("rule_id"),
                text("agent_id"),
                text("name"),
                alert["value"]
            )
        })
        .collect();
    found.sort();
    let expected = [
        "all - - 240.0",
        "few a - 1.0",
        "fleet - java 170.0",
        "max - go 70.0",
        "sum a java 110.0",
    ];
    assert_eq!(found, expected);
    // While a host is silent, what is left of a sum resolves nothing and makes nothing new of too few.
    for _ in 0..3 {
        evaluate(&server, &[("b", &b)]).await;
    }
    let states = states(&server, "rule_id").await;
    let firing = ["all", "few", "fleet", "max", "sum"].map(|id| (id, "firing"));
    assert_eq!(states, pairs(&firing));
    server.stop().await;
}

#[tokio::test]
async fn zombies_and_absent_programs() {
    let server = server().await;
    rule(
        &server,
        &json!({ "id": "z", "name": "Zombie", "kind": "zombie", "for": "15s" }),
    )
    .await;
    let absent = json!({ "id": "gone", "name": "Gone", "kind": "absence", "process_name": "sshd", "for": "15s" });
    rule(&server, &absent).await;
    let zombie = with(sample(5, "sh", 0.0), &json!({ "status": "Z" }));
    let sshd = sample(22, "sshd", 0.0);
    evaluate(&server, &[("a", &[zombie.clone(), sshd.clone()])]).await;
    assert_eq!(states(&server, "rule_id").await, pairs(&[("z", "pending")]));
    evaluate(&server, &[("a", &[zombie])]).await;
    let both = pairs(&[("gone", "pending"), ("z", "firing")]);
    assert_eq!(states(&server, "rule_id").await, both);
    evaluate(&server, &[("a", &[sample(9, "sh", 0.0)])]).await;
    let both = pairs(&[("gone", "firing"), ("z", "resolved")]);
    assert_eq!(states(&server, "rule_id").await, both);
    evaluate(&server, &[("a", &[sshd])]).await;
    let both = pairs(&[("gone", "resolved"), ("z", "resolved")]);
    assert_eq!(states(&server, "rule_id").await, both);
    server.stop().await;
}

#[tokio::test]
async fn memory_that_leaks() {
    let server = server().await;
    let leak = json!({
        "id": "leak", "name": "Leak", "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": 1000,
        "window": "1m"
    });
    rule(&server, &leak).await;
    for step in 0..8_u64 {
        let growing = with(
            sample(5, "leaky", 0.0),
            &json!({ "memory_rss": 1_000_000 + step * 30_000 }),
        );
        let still = with(
            sample(6, "still", 0.0),
            &json!({ "memory_rss": 5_000_000 + step * 14_000 }),
        );
        evaluate(&server, &[("a", &[growing, still])]).await;
        let expected: &[(&str, &str)] = if step < 4 {
            &[]
        } else {
            &[("leaky", "firing")]
        };
        assert_eq!(states(&server, "name").await, pairs(expected), "{step}");
    }
    assert_eq!(alerts(&server).await[0]["value"], 2000.0);
    server.stop().await;
}

#[tokio::test]
async fn a_field_that_changes() {
    let server = server().await;
    let change = json!({
        "id": "change", "name": "Change", "kind": "change", "field": "username", "keep_firing_for": "15s"
    });
    rule(&server, &change).await;
    let root = sample(5, "sh", 0.0);
    let started = json!({ "start_time": "2026-01-31T11:00:00Z" });
    let (root, bob) = (
        with(root.clone(), &started),
        with(with(root, &started), &json!({ "username": "bob" })),
    );
    for (sample, expected) in [
        (&root, vec![]),
        (&root, vec![]),
        (&bob, vec![("sh", "firing")]),
        (&bob, vec![("sh", "firing")]),
        (&bob, vec![("sh", "resolved")]),
    ] {
        evaluate(&server, &[("a", std::slice::from_ref(sample))]).await;
        assert_eq!(states(&server, "name").await, pairs(&expected));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_host_that_is_down() {
    let server = server().await;
    let down = json!({
        "id": "down", "name": "Down", "kind": "host_down", "after": "40s",
        "annotations": { "summary": "{{ $labels.agent_id }} is silent for {{ $value | humanizeDuration }}" }
    });
    rule(&server, &down).await;
    let sshd = [sample(22, "sshd", 0.0)];
    evaluate(&server, &[("a", &sshd), ("b", &sshd)]).await;
    for silent in [false, false, true] {
        evaluate(&server, &[("b", &sshd)]).await;
        let expected: &[(&str, &str)] = if silent { &[("a", "firing")] } else { &[] };
        assert_eq!(states(&server, "agent_id").await, pairs(expected));
    }
    let summary = &alerts(&server).await[0]["annotations"]["summary"];
    assert_eq!(summary, "a is silent for 45.1s");
    evaluate(&server, &[("a", &sshd), ("b", &sshd)]).await;
    assert_eq!(
        states(&server, "agent_id").await,
        pairs(&[("a", "resolved")])
    );
    server.stop().await;
}

#[tokio::test]
async fn between_two_batches_a_host_is_not_down() {
    let server = server().await;
    let sshd = [sample(22, "sshd", 0.0)];
    evaluate(&server, &[("a", &sshd)]).await;
    let hasty = json!({ "id": "hasty", "name": "Hasty", "kind": "host_down", "after": "1ms" });
    let warnings = rule(&server, &hasty).await["warnings"].to_string();
    assert!(warnings.contains("shorter than 15s"), "{warnings}");
    for _ in 0..2 {
        evaluate(&server, &[("a", &sshd)]).await;
        assert!(alerts(&server).await.is_empty());
    }
    evaluate(&server, &[]).await;
    assert_eq!(states(&server, "agent_id").await, pairs(&[("a", "firing")]));
    server.stop().await;
}

#[tokio::test]
async fn what_runs_under_a_program() {
    let server = server().await;
    let under = |id: &str, more: Value| {
        let mut rule =
            json!({ "id": id, "name": id, "process_name": "sh", "q": "'nginx' in ancestors" });
        let fields = more.as_object().expect("an object").clone();
        rule.as_object_mut().expect("an object").extend(fields);
        rule
    };
    let busy = json!({ "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    rule(&server, &under("busy", busy.clone())).await;
    let count = json!({ "operator": ">=", "threshold": 1, "aggregate": { "function": "count", "by": ["agent_id"] } });
    rule(&server, &under("count", count)).await;
    rule(&server, &under("absence", json!({ "kind": "absence" }))).await;
    rule(
        &server,
        &under("change", json!({ "kind": "change", "field": "cmdline" })),
    )
    .await;
    let child = |pid: u32, ppid: u32, name: &str| {
        let mut process = sample(pid, name, 95.0);
        process["ppid"] = json!(ppid);
        process
    };
    // A worker of nginx, its shell, a shell of that one, and one that has nothing to do with it.
    let mut processes = vec![
        child(10, 1, "nginx"),
        child(11, 10, "perl"),
        child(12, 11, "sh"),
        child(13, 12, "sh"),
        child(20, 1, "sh"),
    ];
    let found = |rule: &'static str, server| async move {
        let of_rule = alerts(server).await.into_iter();
        let of_rule =
            of_rule.filter(|alert| alert["rule_id"] == rule && alert["state"] == "firing");
        let mut pids: Vec<_> = of_rule
            .map(|alert| alert["labels"]["pid"].as_str().unwrap_or("-").to_owned())
            .collect();
        pids.sort();
        pids
    };
    evaluate(&server, &[("a", &processes)]).await;
    assert_eq!(found("busy", &server).await, ["12", "13"]);
    assert_eq!(found("count", &server).await, ["-"]);
    assert!(found("absence", &server).await.is_empty());
    for process in &mut processes {
        process["cmdline"] = json!("another");
    }
    evaluate(&server, &[("a", &processes)]).await;
    assert_eq!(found("change", &server).await, ["12", "13"]);
    let preview = "/api/v1/alert-rules/preview";
    let answer = send(&server, Method::POST, preview, &under("busy", busy)).await;
    let preview: Value = answer.json().await.expect("JSON");
    assert_eq!(preview["now"]["total"], 2, "{preview}");
    // Nginx ends, and what was under it is under init.
    let left = [child(12, 1, "sh"), child(13, 12, "sh"), child(20, 1, "sh")];
    evaluate(&server, &[("a", &left)]).await;
    assert!(found("busy", &server).await.is_empty());
    assert_eq!(found("absence", &server).await, ["-"]);
    for path in [
        "/api/v1/processes?q='nginx'%20in%20ancestors",
        "/api/v1/events?q='nginx'%20in%20ancestors",
    ] {
        let detail = server.problem(path).await["detail"].to_string();
        assert!(detail.contains("q of alert rules alone"), "{detail}");
    }
    server.stop().await;
}
