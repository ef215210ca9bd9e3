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
