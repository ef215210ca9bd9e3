//! Channels, messages to them, and what becomes of those.

use procmon_server::store::{
    AttemptResult, AttemptRow, ChannelRow, Finished, MessageState, OutboxRow, Routed, Store,
    StoreError, ToldRow,
};

use crate::fixture::Fixture;

fn channel(id: &str) -> ChannelRow {
    ChannelRow {
        channel_id: id.to_owned(),
        name: format!("name of {id}"),
        kind: "webhook".to_owned(),
        enabled: true,
        disabled_reason: String::new(),
        settings: "{\"é\": 1}".to_owned(),
        sealed: vec![0, 255],
        event_cursor: None,
        created_ms: 1,
        updated_ms: 2,
    }
}

pub(crate) fn message(id: &str, order_key: &str, next_attempt_ms: i64) -> OutboxRow {
    OutboxRow {
        number: 0,
        message_id: id.to_owned(),
        channel_id: "c".to_owned(),
        kind: "alert.firing".to_owned(),
        order_key: order_key.to_owned(),
        body: format!("body of {id}"),
        created_ms: 5,
        state: MessageState::Pending,
        next_attempt_ms,
        attempts: 0,
        step: 0,
        result: AttemptResult::default(),
        finished_ms: None,
    }
}

fn finished(id: &str, attempt: i64, state: MessageState, next_attempt_ms: i64) -> Finished {
    let delivered = state == MessageState::Delivered;
    Finished {
        attempt: AttemptRow {
            message_id: id.to_owned(),
            attempt,
            at_ms: 100 + attempt,
            result: AttemptResult {
                status: delivered.then_some(204),
                latency_ms: 7,
                error: if delivered { "" } else { "nobody is there" }.to_owned(),
                response: "ok".to_owned(),
            },
        },
        state,
        next_attempt_ms,
        step: attempt,
    }
}

async fn put(store: &Store, messages: &[OutboxRow]) {
    let routed = Routed {
        messages: messages.to_vec(),
        ..Routed::default()
    };
    store.delivery().route(&routed).await.expect("it stores");
}

async fn due(store: &Store, now_ms: i64) -> Vec<String> {
    let due = store.delivery().due("c", now_ms, now_ms - 50, 10).await;
    let due = due.expect("it reads").into_iter();
    due.map(|message| message.message_id).collect()
}

pub(crate) async fn channels_are_kept_and_their_names_are_their_own(fixture: Fixture) {
    let store = fixture.open().await;
    let rows = store.delivery();
    let mut first = channel("a");
    rows.save_channel(&first).await.expect("it stores");
    rows.save_channel(&channel("c")).await.expect("it stores");
    first.enabled = false;
    first.event_cursor = Some("here".to_owned());
    rows.save_channel(&first).await.expect("it changes");
    let mut taken = channel("b");
    taken.name.clone_from(&first.name);
    let refused = rows.save_channel(&taken).await;
    assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
    put(&store, &[message("m", "k", 0)]).await;
    drop(store);
    let store = fixture.open().await;
    let rows = store.delivery();
    let kept = rows.channels().await.expect("it reads");
    assert_eq!(kept, [first, channel("c")]);
    rows.finish(&finished("m", 1, MessageState::Dead, 0))
        .await
        .expect("it stores");
    assert!(rows.delete_channel("c").await.expect("it deletes"));
    assert!(!rows.delete_channel("c").await.expect("it is gone"));
    // A round that was decided before comes to be stored after.
    put(&store, &[message("late", "k", 0)]).await;
    rows.drop_orphans().await.expect("it deletes");
    assert!(rows.waiting().await.expect("it reads").is_empty());
    assert_eq!(rows.delivery("c", "m").await.expect("it reads"), None);
    assert!(rows.attempts("m").await.expect("it reads").is_empty());
}

pub(crate) async fn messages_of_one_key_leave_one_after_the_other(fixture: Fixture) {
    let store = fixture.open().await;
    let rows = store.delivery();
    let first = [
        message("1", "k", 10),
        message("3", "l", 10),
        message("4", "l", 99),
    ];
    put(&store, &first).await;
    // A round that is repeated changes nothing.
    put(&store, &[message("3", "other", 77)]).await;
    assert_eq!(rows.next_due("c").await.expect("it reads"), Some(10));
    assert_eq!(rows.next_due("other").await.expect("it reads"), None);
    assert!(due(&store, 9).await.is_empty());
    assert_eq!(due(&store, 10).await, ["1", "3"]);
    let failed = finished("1", 1, MessageState::Pending, 600);
    rows.finish(&failed).await.expect("it stores");
    put(&store, &[message("2", "k", 110)]).await;
    assert_eq!(
        due(&store, 110).await,
        ["3"],
        "the second one waits, and the first one has just failed"
    );
    assert_eq!(
        due(&store, 151).await,
        ["1", "3"],
        "what is behind it has it tried before its time"
    );
    let failed = finished("1", 2, MessageState::Pending, 600);
    rows.finish(&failed).await.expect("it stores");
    assert_eq!(due(&store, 300).await, ["3"], "once");
    assert_eq!(due(&store, 600).await, ["1", "3"]);
    let sent = finished("1", 3, MessageState::Delivered, 0);
    rows.finish(&sent).await.expect("it stores");
    // The server was killed before it knew: it is written down again.
    let again = finished("1", 3, MessageState::Dead, 0);
    rows.finish(&again).await.expect("it stores");
    assert_eq!(due(&store, 600).await, ["3", "2"]);
    let one = rows
        .delivery("c", "1")
        .await
        .expect("it reads")
        .expect("it is there");
    assert_eq!(
        (one.state, one.attempts, one.step),
        (MessageState::Delivered, 3, 3)
    );
    assert_eq!((one.result.status, one.finished_ms), (Some(204), Some(103)));
    let attempts = rows.attempts("1").await.expect("it reads");
    let errors: Vec<_> = attempts
        .iter()
        .map(|attempt| &*attempt.result.error)
        .collect();
    assert_eq!(errors, ["nobody is there", "nobody is there", ""]);
    assert!(rows.replay("c", "1", 9).await.expect("it stores"));
    assert!(!rows.replay("c", "1", 9).await.expect("it waits"));
    assert_eq!(due(&store, 9).await, ["1"]);
}

pub(crate) async fn what_found_nobody_is_tried_when_somebody_is_there(fixture: Fixture) {
    let store = fixture.open().await;
    let rows = store.delivery();
    put(
        &store,
        &[
            message("1", "a", 1),
            message("2", "b", 1),
            message("3", "c", 900),
        ],
    )
    .await;
    rows.finish(&finished("1", 1, MessageState::Pending, 800))
        .await
        .expect("it stores");
    let mut answered = finished("2", 1, MessageState::Pending, 800);
    answered.attempt.result.status = Some(500);
    rows.finish(&answered).await.expect("it stores");
    assert_eq!(rows.hasten_unanswered("c", 20).await.expect("it stores"), 1);
    assert_eq!(due(&store, 20).await, ["1"]);
    // The clock was ahead when the others were put off.
    rows.bring_back("c", 20, 780).await.expect("it stores");
    assert_eq!(due(&store, 20).await, ["1", "3"]);
}

pub(crate) async fn groups_become_one_message(fixture: Fixture) {
    let store = fixture.open().await;
    let rows = store.delivery();
    let mut members = [
        message("1", "g", 30),
        message("2", "h", 31),
        message("3", "g", 40),
    ];
    for member in &mut members {
        member.state = MessageState::Grouping;
    }
    put(&store, &members).await;
    assert!(due(&store, 100).await.is_empty());
    assert_eq!(rows.next_due("c").await.expect("it reads"), Some(30));
    assert!(
        rows.due_group("c", 29, 10)
            .await
            .expect("it reads")
            .is_empty()
    );
    let group = rows.due_group("c", 30, 10).await.expect("it reads");
    let ids: Vec<_> = group.iter().map(|member| &*member.message_id).collect();
    assert_eq!(ids, ["1", "3"], "with what came since");
    rows.join_group(&group, &message("joined", "g", 30))
        .await
        .expect("it stores");
    assert_eq!(due(&store, 30).await, ["joined"]);
    assert_eq!(rows.delivery("c", "1").await.expect("it reads"), None);
    let other = rows.due_group("c", 31, 10).await.expect("it reads");
    assert_eq!(other.len(), 1);
}

pub(crate) async fn what_was_told_is_kept_with_the_messages(fixture: Fixture) {
    let store = fixture.open().await;
    let told = |fingerprint: &str, times| ToldRow {
        channel_id: "c".to_owned(),
        fingerprint: fingerprint.to_owned(),
        fired_ms: 1,
        told_ms: 2,
        times,
    };
    let mut routed = Routed {
        messages: vec![message("1", "k", 1)],
        told: vec![told("a", 1), told("b", 1)],
        forgotten: Vec::new(),
    };
    store.delivery().route(&routed).await.expect("it stores");
    routed.told = vec![told("a", 2)];
    routed.forgotten = vec![("c".to_owned(), "b".to_owned())];
    store.delivery().route(&routed).await.expect("it stores");
    drop(store);
    let store = fixture.open().await;
    let rows = store.delivery();
    assert_eq!(rows.told().await.expect("it reads"), [told("a", 2)]);
    rows.save_channel(&channel("c")).await.expect("it stores");
    rows.disable_channel("c", "gone", 9)
        .await
        .expect("it stores");
    let row = rows.channels().await.expect("it reads").remove(0);
    assert_eq!(
        (row.enabled, &*row.disabled_reason, row.updated_ms),
        (false, "gone", 9)
    );
    assert!(rows.told().await.expect("it reads").is_empty());
    let message = rows
        .delivery("c", "1")
        .await
        .expect("it reads")
        .expect("it is there");
    assert_eq!(message.state, MessageState::Dead);
    assert!(message.result.error.contains("disabled"));
}

pub(crate) async fn lists_go_back_and_what_is_too_much_goes(fixture: Fixture) {
    let store = fixture.open().await;
    let rows = store.delivery();
    let all: Vec<_> = (0..6)
        .map(|id| message(&id.to_string(), &id.to_string(), 1))
        .collect();
    put(&store, &all).await;
    for id in ["0", "2", "4"] {
        rows.finish(&finished(id, 1, MessageState::Delivered, 0))
            .await
            .expect("it stores");
    }
    let ids = async |state, before, limit| {
        let page = rows
            .deliveries("c", state, before, limit)
            .await
            .expect("it reads");
        page.iter()
            .map(|row| row.message_id.parse::<i64>().expect("a number"))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(None, i64::MAX, 4).await, [5, 4, 3, 2]);
    let last = rows
        .delivery("c", "2")
        .await
        .expect("it reads")
        .expect("it is there");
    assert_eq!(ids(None, last.number, 4).await, [1, 0]);
    assert_eq!(
        ids(Some(MessageState::Pending), i64::MAX, 9).await,
        [5, 3, 1]
    );
    assert_eq!(
        rows.waiting().await.expect("it reads"),
        [("c".to_owned(), 3)]
    );
    assert_eq!(rows.give_up_oldest("c", 2, 9).await.expect("it stores"), 1);
    assert_eq!(rows.give_up_oldest("c", 2, 9).await.expect("it stores"), 0);
    assert_eq!(ids(Some(MessageState::Dead), i64::MAX, 9).await, [1]);
    rows.drop_finished("c", 0, 2).await.expect("it deletes");
    assert_eq!(ids(None, i64::MAX, 9).await, [5, 4, 3, 2]);
    rows.drop_finished("c", 102, 9).await.expect("it deletes");
    assert_eq!(ids(None, i64::MAX, 9).await, [5, 3]);
    assert!(rows.attempts("4").await.expect("it reads").is_empty());
    rows.save_channel(&channel("c")).await.expect("it stores");
    rows.advance_events("c", "there", &[message("7", "h", 1)])
        .await
        .expect("it stores");
    let row = rows.channels().await.expect("it reads").remove(0);
    assert_eq!(row.event_cursor.as_deref(), Some("there"));
    assert_eq!(ids(None, i64::MAX, 1).await, [7]);
}
