//! Rules, alerts, what became of them, and silences.

use procmon_server::store::{
    Evaluation, LastEvaluation, Routed, RuleRow, SilenceRow, StoredAlert, StoredTransition,
    ToldRow, TransitionQuery,
};

use crate::delivery::message;
use crate::fixture::{Fixture, START_MS};

fn rule(rule_id: &str, body: &str, at_ms: i64) -> RuleRow {
    RuleRow {
        rule_id: rule_id.to_owned(),
        body: body.to_owned(),
        created_ms: at_ms,
        updated_ms: at_ms,
    }
}

pub(crate) async fn rules_are_replaced_and_deleted(fixture: Fixture) {
    let store = fixture.open().await;
    for (id, body, at_ms) in [("b", "{}", 1), ("a", "{\"é\":1}", 2), ("b", "[]", 3)] {
        let saved = store.save_rule(&rule(id, body, at_ms)).await;
        saved.expect("it saves");
    }
    drop(store);
    let store = fixture.open().await;
    let replaced = RuleRow {
        created_ms: 1,
        ..rule("b", "[]", 3)
    };
    let rules = store.rules().await.expect("it reads");
    assert_eq!(rules, [rule("a", "{\"é\":1}", 2), replaced]);
    for id in ["a", "nothing"] {
        store.delete_rule(id).await.expect("it deletes");
    }
    let rules = store.rules().await.expect("it reads");
    assert_eq!(rules.len(), 1);
}

fn alert(fingerprint: &str, body: &str) -> StoredAlert {
    StoredAlert {
        fingerprint: fingerprint.to_owned(),
        rule_id: "r".to_owned(),
        body: body.to_owned(),
    }
}

fn transition(number: i64, fingerprint: &str, to_state: &str) -> StoredTransition {
    StoredTransition {
        transition_id: format!("t{number}"),
        fingerprint: fingerprint.to_owned(),
        rule_id: format!("r-{fingerprint}"),
        agent_id: (number % 2 == 0).then(|| "host".to_owned()),
        process_id: (number == 3).then(|| "7-1-upload".to_owned()),
        to_state: to_state.to_owned(),
        at_ms: START_MS + number,
        body: format!("body {number}"),
    }
}

pub(crate) async fn an_evaluation_is_kept_whole(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.last_evaluation().await.expect("it reads"), None);
    let told = ToldRow {
        channel_id: "c".to_owned(),
        fingerprint: "f2".to_owned(),
        fired_ms: START_MS,
        told_ms: START_MS,
        times: 1,
    };
    let first = Evaluation {
        evaluated_ms: START_MS,
        event_cursor: "x".to_owned(),
        alerts: vec![alert("f1", "1"), alert("f2", "2")],
        ended: Vec::new(),
        transitions: vec![
            transition(1, "f1", "pending"),
            transition(2, "f2", "firing"),
        ],
        routed: Routed {
            messages: vec![message("m1", "alert:f2", 1)],
            told: vec![told.clone()],
            ..Routed::default()
        },
    };
    store.commit_evaluation(&first).await.expect("it commits");
    // The answer was lost, and the same is decided again.
    store.commit_evaluation(&first).await.expect("it commits");
    let second = Evaluation {
        evaluated_ms: START_MS + 15_000,
        event_cursor: "y".to_owned(),
        alerts: vec![alert("f1", "changed")],
        ended: vec!["f2".to_owned()],
        transitions: vec![
            transition(3, "f1", "firing"),
            transition(4, "f2", "resolved"),
        ],
        routed: Routed {
            messages: vec![message("m2", "alert:f2", 2)],
            forgotten: vec![("c".to_owned(), "f2".to_owned())],
            ..Routed::default()
        },
    };
    assert_eq!(store.delivery().told().await.expect("it reads"), [told]);
    store.commit_evaluation(&second).await.expect("it commits");
    let seen = store.save_alert(&alert("f1", "seen")).await;
    seen.expect("it saves");
    drop(store);
    let store = fixture.open().await;
    let last = LastEvaluation {
        evaluated_ms: START_MS + 15_000,
        event_cursor: "y".to_owned(),
    };
    let read = store.last_evaluation().await.expect("it reads");
    assert_eq!(read, Some(last));
    let alerts = store.alerts().await.expect("it reads");
    assert_eq!(alerts, [alert("f1", "seen")]);
    let messages = store.delivery().deliveries("c", None, i64::MAX, 10).await;
    let messages = messages.expect("it reads").into_iter();
    let ids: Vec<_> = messages.map(|message| message.message_id).collect();
    assert_eq!(ids, ["m2", "m1"], "each is told once");
    assert_eq!(store.delivery().told().await.expect("it reads"), []);
    let bodies = async |query: TransitionQuery, limit| -> Vec<String> {
        let read = store.transitions(&query, limit).await.expect("it reads");
        read.into_iter().map(|(_, body)| body).collect()
    };
    let all = TransitionQuery::default;
    let everything = bodies(all(), 10).await;
    assert_eq!(everything, ["body 4", "body 3", "body 2", "body 1"]);
    let page = store.transitions(&all(), 2).await.expect("it reads");
    let next = TransitionQuery {
        before: page.last().map(|(number, _)| *number),
        ..all()
    };
    assert_eq!(bodies(next, 10).await, ["body 2", "body 1"]);
    for (query, wanted) in [
        (
            TransitionQuery {
                rule_id: Some("r-f1".to_owned()),
                ..all()
            },
            ["body 3", "body 1"],
        ),
        (
            TransitionQuery {
                fingerprint: Some("f2".to_owned()),
                ..all()
            },
            ["body 4", "body 2"],
        ),
        (
            TransitionQuery {
                agent_id: Some("host".to_owned()),
                ..all()
            },
            ["body 4", "body 2"],
        ),
        (
            TransitionQuery {
                to_state: Some("firing".to_owned()),
                ..all()
            },
            ["body 3", "body 2"],
        ),
        (
            TransitionQuery {
                since_ms: Some(START_MS + 2),
                until_ms: Some(START_MS + 3),
                ..all()
            },
            ["body 3", "body 2"],
        ),
    ] {
        assert_eq!(bodies(query, 10).await, wanted);
    }
    let expired = store.expire_alerts(START_MS + 4).await;
    expired.expect("it expires");
    assert_eq!(bodies(all(), 10).await, ["body 4"]);
}

pub(crate) async fn silences_are_kept_until_they_expire(fixture: Fixture) {
    let store = fixture.open().await;
    let mut silence = SilenceRow {
        silence_id: "s".to_owned(),
        ends_ms: 10,
        body: "{}".to_owned(),
    };
    store.save_silence(&silence).await.expect("it saves");
    silence.ends_ms = 20;
    store.save_silence(&silence).await.expect("it saves");
    drop(store);
    let store = fixture.open().await;
    store.expire_alerts(20).await.expect("it expires");
    let silences = store.silences().await.expect("it reads");
    assert_eq!(silences, [silence]);
    store.expire_alerts(21).await.expect("it expires");
    assert!(store.silences().await.expect("it reads").is_empty());
}
