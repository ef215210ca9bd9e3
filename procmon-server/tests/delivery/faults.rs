//! Receivers that do not do as they should.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use procmon_server::delivery::channel::{ChannelKind, Grouping};
use procmon_server::store::MessageState::{Dead, Delivered, Grouping as Waiting, Pending};

use crate::bench::{Bench, webhook};
use crate::support::receiver::{Receiver, Reply, Request, until};

const MINUTE_MS: i64 = 60_000;

#[tokio::test]
async fn a_receiver_that_was_down_for_an_hour_is_told_everything_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = Receiver::nobody().await;
    let channel = webhook("c", &format!("http://127.0.0.1:{port}/hook"));
    let bench = Bench::start(folder.path(), vec![channel]).await;
    bench.round(&[("a", true)]).await;
    bench.wait_for("c", &[(Pending, 1)]).await;
    bench.clock.advance_ms(20 * MINUTE_MS);
    bench.wait_for("c", &[(Pending, 2)]).await;
    bench.clock.advance_ms(MINUTE_MS);
    bench.round(&[("a", false), ("b", true)]).await;
    bench
        .wait_for("c", &[(Pending, 3), (Pending, 0), (Pending, 1)])
        .await;
    let early = bench.messages("c").await.remove(0);
    assert_eq!(
        early.step, 2,
        "an attempt before its time costs none of the schedule"
    );
    bench.clock.advance_ms(40 * MINUTE_MS);
    until("another attempt", async || {
        bench.messages("c").await[0].attempts > 3
    })
    .await;
    let receiver = Receiver::start_at(port).await;
    // Whatever comes next finds somebody there, and with it all that waits.
    bench.round(&[("c", true)]).await;
    receiver.wait_for(4).await;
    until("everything", async || {
        bench
            .messages("c")
            .await
            .iter()
            .all(|message| message.state == Delivered)
    })
    .await;
    let messages = bench.messages("c").await;
    let ids = receiver.ids();
    let expected: BTreeSet<_> = messages
        .iter()
        .map(|message| message.message_id.clone())
        .collect();
    assert_eq!(ids.len(), 4, "each once");
    assert_eq!(
        BTreeSet::from_iter(ids.clone()),
        expected,
        "and none is invented"
    );
    let place = |index: usize| ids.iter().position(|id| *id == messages[index].message_id);
    assert!(place(0) < place(1), "fired before it was resolved");
}

#[tokio::test]
async fn a_slow_receiver_has_few_requests_at_a_time_and_delays_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.otherwise(Reply::Silence);
    let channels = vec![webhook("slow", &slow.url()), webhook("quick", &quick.url())];
    let bench = Bench::start(folder.path(), channels).await;
    let names: Vec<_> = (0..30).map(|number| format!("alert-{number}")).collect();
    let alerts: Vec<_> = names.iter().map(|name| (&**name, true)).collect();
    bench.round(&alerts).await;
    quick.wait_for(30).await;
    assert_eq!(slow.requests().len(), 4);
}

#[tokio::test]
async fn failures_are_tried_again_with_the_same_id_until_the_last_and_can_be_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Status(500));
    let bench = Bench::start(folder.path(), vec![webhook("c", &receiver.url())]).await;
    bench.round(&[("a", true)]).await;
    let mut waited_ms = Vec::new();
    for attempt in 1..10 {
        bench.wait_for("c", &[(Pending, attempt)]).await;
        waited_ms.push(bench.advance_to_next("c").await);
    }
    bench.wait_for("c", &[(Dead, 10)]).await;
    let schedule = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (waited_ms, seconds) in waited_ms.iter().zip(schedule) {
        assert!(
            (seconds * 1000..=seconds * 1200).contains(waited_ms),
            "{waited_ms} {seconds}"
        );
    }
    let requests = receiver.requests();
    let ids: BTreeSet<_> = requests.iter().map(Request::id).collect();
    let times: BTreeSet<_> = requests
        .iter()
        .map(|request| request.header("webhook-timestamp"))
        .collect();
    assert_eq!((requests.len(), ids.len(), times.len()), (10, 1, 10));
    assert_eq!(bench.directory.stats.dead.load(Ordering::Relaxed), 1);
    let message = bench.messages("c").await.remove(0);
    assert_eq!(message.result.status, Some(500));
    assert_eq!(message.result.response, "as the test says");
    receiver.otherwise(Reply::Status(200));
    let rows = bench.store.delivery();
    let now_ms = bench.clock.now_ms();
    assert!(
        rows.replay("c", &message.message_id, now_ms)
            .await
            .expect("it stores")
    );
    bench.directory.committed(
        &procmon_server::store::Routed {
            messages: vec![message],
            ..Default::default()
        },
        &[],
    );
    bench.wait_for("c", &[(Delivered, 11)]).await;
    assert_eq!(receiver.ids().iter().collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_has_too_much_is_left_alone_for_as_long_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.next([Reply::With(429, "retry-after", "90".to_owned())]);
    let bench = Bench::start(folder.path(), vec![webhook("c", &receiver.url())]).await;
    bench.round(&[("a", true)]).await;
    bench.wait_for("c", &[(Pending, 1)]).await;
    bench.round(&[("a", true), ("b", true)]).await;
    bench.clock.advance_ms(89_000);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(receiver.requests().len(), 1, "the other one waits as well");
    bench.clock.advance_ms(1_500);
    bench.wait_for("c", &[(Delivered, 2), (Delivered, 1)]).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Status(410));
    let bench = Bench::start(folder.path(), vec![webhook("c", &receiver.url())]).await;
    bench.round(&[("a", true)]).await;
    bench.wait_for("c", &[(Dead, 1)]).await;
    until("it is disabled", async || {
        !bench.directory.channels()[0].row.enabled
    })
    .await;
    let reason = bench.directory.channels()[0].row.disabled_reason.clone();
    assert!(reason.contains("410 Gone"), "{reason}");
    bench.round(&[("a", true), ("b", true)]).await;
    bench.clock.advance_ms(100 * 3_600_000);
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(receiver.requests().len(), 1);
    assert_eq!(bench.messages("c").await.len(), 1);
}

#[tokio::test]
async fn what_was_sent_and_not_marked_is_sent_again_with_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.next([Reply::Silence]);
    let channel = || vec![webhook("c", &receiver.url())];
    let bench = Bench::start(folder.path(), channel()).await;
    bench.round(&[("a", true)]).await;
    receiver.wait_for(1).await;
    let clock = bench.clock.clone();
    bench.kill().await;
    let bench = Bench::start_with(folder.path(), clock, Vec::new(), "127.0.0.0/8").await;
    bench.wait_for("c", &[(Delivered, 1)]).await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    // What was told is known after the restart.
    bench.round(&[("a", true)]).await;
    bench.round(&[("a", false)]).await;
    bench.wait_for("c", &[(Delivered, 1), (Delivered, 1)]).await;
    assert_eq!(receiver.requests()[2].json()["type"], "alert.resolved");
}

#[tokio::test]
async fn a_group_leaves_when_it_has_waited() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let mut channel = webhook("c", &receiver.url());
    channel.grouping = Some(Grouping {
        by: vec!["agent_id".to_owned()],
        wait_ms: 30_000,
    });
    let bench = Bench::start(folder.path(), vec![channel]).await;
    bench.round(&[("a", true)]).await;
    bench.clock.advance_ms(20_000);
    bench.round(&[("a", true), ("b", true)]).await;
    bench.wait_for("c", &[(Waiting, 0), (Waiting, 0)]).await;
    bench.clock.advance_ms(10_000);
    bench.wait_for("c", &[(Delivered, 1)]).await;
    let body = receiver.requests()[0].json();
    assert_eq!(
        (&body["type"], &body["data"]["state"]),
        (&"alert.group".into(), &"firing".into())
    );
    assert_eq!(body["data"]["alerts"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn slack_is_told_one_message_at_a_time_and_without_headers_of_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    receiver.next([Reply::Silence]);
    let mut channel = webhook("c", &receiver.url());
    channel.kind = ChannelKind::Slack;
    channel.secrets.clear();
    let bench = Bench::start(folder.path(), vec![channel]).await;
    bench.round(&[("a", true), ("b", true)]).await;
    receiver.wait_for(1).await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let requests = receiver.requests();
    assert_eq!((requests.len(), requests[0].id()), (1, ""));
    assert_eq!(requests[0].json()["text"], "[FIRING] Busy on web-1");
    let colors: HashMap<_, _> = [(
        "color",
        requests[0].json()["attachments"][0]["color"].clone(),
    )]
    .into();
    assert_eq!(colors["color"], "danger");
}

#[tokio::test]
async fn an_answer_that_never_ends_takes_no_memory_and_little_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (flood, stall, silent) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    flood.otherwise(Reply::Flood);
    stall.otherwise(Reply::Stall);
    silent.otherwise(Reply::Silence);
    let channels = vec![
        webhook("flood", &flood.url()),
        webhook("stall", &stall.url()),
        webhook("silent", &silent.url()),
    ];
    let bench = Bench::start(folder.path(), channels).await;
    bench.round(&[("a", true)]).await;
    bench.wait_for("flood", &[(Delivered, 1)]).await;
    let kept = bench.messages("flood").await.remove(0).result;
    assert_eq!((kept.status, kept.response.len()), (Some(200), 1024));
    // The status decides, when no more comes.
    bench.wait_for("stall", &[(Delivered, 1)]).await;
    let kept = bench.messages("stall").await.remove(0).result;
    assert_eq!(kept.response, "begun");
    bench.wait_for("silent", &[(Pending, 1)]).await;
    let error = bench.messages("silent").await.remove(0).result.error;
    assert_eq!(error, "no answer within 20 s");
}

#[tokio::test]
async fn a_receiver_that_cannot_be_trusted_is_told_nothing_and_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    // It speaks no TLS, which looks as a certificate of nobody's does: there is no connection.
    let receiver = Receiver::start().await;
    let url = format!("https://{}/hook", receiver.address);
    let bench = Bench::start(folder.path(), vec![webhook("c", &url)]).await;
    bench.round(&[("a", true)]).await;
    for attempt in 1..4 {
        bench.wait_for("c", &[(Pending, attempt)]).await;
        let result = bench.messages("c").await.remove(0).result;
        assert_eq!(result.status, None);
        assert!(result.error.contains("cannot connect"), "{}", result.error);
        bench.advance_to_next("c").await;
    }
    assert!(receiver.requests().is_empty());
}
