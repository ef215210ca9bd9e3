//! Samples that were waiting in a spool are history: by them nothing fires, and nothing is resolved.

use procmon_common::columns::Column;
use procmon_common::wire::{self, Batch};

use super::*;
use crate::support::sampled::SampledHost;

/// As an agent does, who says what time it is.
async fn send_now(server: &Server, batch: &Batch) {
    let path = format!("/api/v1/agents/{}/batches", batch.agent_id);
    let request = server
        .http
        .post(server.url(&path))
        .header("content-type", wire::CONTENT_TYPE)
        .header("content-encoding", wire::CONTENT_ENCODING)
        .header(wire::SENT_HEADER, server.clock.now_ms())
        .body(wire::encode(batch).expect("it compresses"));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

/// The next evaluation, after a batch that arrives a moment before.
async fn arrives(server: &Server, host: &mut SampledHost, batch: Option<&Batch>) {
    host.wait(server, EVALUATION_MS - 100);
    let newest = batch.is_none().then(|| host.sampled());
    for batch in batch.into_iter().chain(&newest) {
        send_now(server, batch).await;
    }
    host.wait(server, 100);
    until_evaluated(server).await;
}

#[tokio::test]
async fn what_was_waiting_to_be_sent_neither_fires_nor_resolves() {
    let server = server().await;
    rule(
        &server,
        &json!({ "id": "threads", "name": "Threads", "metric": "num_threads", "operator": ">", "threshold": 50 }),
    )
    .await;
    let mut host = SampledHost::new("web");
    let (busy, quiet) = (host.start(10), host.start(11));
    let threads = |host: &mut SampledHost, of_busy, of_quiet| {
        host.set(busy, Column::Threads, of_busy);
        host.set(quiet, Column::Threads, of_quiet);
    };
    threads(&mut host, 99, 1);
    arrives(&server, &mut host, None).await;
    assert_eq!(states(&server, "pid").await, pairs(&[("10", "firing")]));
    // The network is away for ten minutes, and meanwhile it is the other way round.
    threads(&mut host, 1, 99);
    let mut spool = Vec::new();
    for _ in 0..40 {
        host.wait(&server, EVALUATION_MS);
        spool.push(host.sampled());
    }
    until_evaluated(&server).await;
    assert_eq!(alerts(&server).await[0]["stale"], true);
    for batch in &spool[..20] {
        arrives(&server, &mut host, Some(batch)).await;
        assert_eq!(states(&server, "pid").await, pairs(&[("10", "firing")]));
        assert_eq!(alerts(&server).await[0]["stale"], true);
    }
    // The rest comes at once, and then how it is now.
    for batch in &spool[20..] {
        send_now(&server, batch).await;
    }
    threads(&mut host, 99, 1);
    arrives(&server, &mut host, None).await;
    assert_eq!(states(&server, "pid").await, pairs(&[("10", "firing")]));
    assert_eq!(alerts(&server).await[0]["stale"], false);
    assert_eq!(history(&server, "").await.len(), 1, "it fired once");
    threads(&mut host, 1, 99);
    arrives(&server, &mut host, None).await;
    let swapped = pairs(&[("10", "resolved"), ("11", "firing")]);
    assert_eq!(states(&server, "pid").await, swapped);
    server.stop().await;
}

#[tokio::test]
async fn a_host_that_does_not_come_back_takes_its_alerts_along() {
    let server = server().await;
    let busy = json!({ "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    for (id, more) in [
        ("short", json!({ "keep_stale_for": "2m" })),
        ("long", json!({})),
        (
            "fleet",
            json!({ "keep_stale_for": "2m", "aggregate": { "function": "sum", "by": [] } }),
        ),
    ] {
        let mut body = busy.clone();
        body["id"] = json!(id);
        body["name"] = json!(id);
        let more = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(more);
        rule(&server, &body).await;
    }
    let hot = sample(7, "java", 95.5);
    let cool = sample(8, "ruby", 1.0);
    let (gone, stays) = (
        ("a", std::slice::from_ref(&hot)),
        ("b", std::slice::from_ref(&cool)),
    );
    evaluate(&server, &[gone, stays]).await;
    let firing = pairs(&[("fleet", "firing"), ("long", "firing"), ("short", "firing")]);
    assert_eq!(states(&server, "rule_id").await, firing);
    for _ in 0..7 {
        evaluate(&server, &[stays]).await;
    }
    assert_eq!(states(&server, "rule_id").await, firing);
    for _ in 0..2 {
        evaluate(&server, &[stays]).await;
    }
    let over = pairs(&[
        ("fleet", "resolved"),
        ("long", "firing"),
        ("short", "resolved"),
    ]);
    assert_eq!(states(&server, "rule_id").await, over);
    let history = server.json("/api/v1/alerts/history?state=resolved").await;
    let reason = |rule_id: &str| {
        let mut all = history["transitions"].as_array().expect("a list").iter();
        let found = all
            .find(|change| change["rule_id"] == rule_id)
            .expect("it is over");
        found["reason"].clone()
    };
    assert_eq!(reason("short"), "stale");
    assert_eq!(reason("fleet"), "condition", "what is left is not too much");
    let refused = refused(
        &server,
        &json!({ "name": "Down", "kind": "host_down", "keep_stale_for": "1m" }),
    )
    .await;
    assert!(
        refused.starts_with("keep_stale_for: means nothing"),
        "{refused}"
    );
    server.stop().await;
}
