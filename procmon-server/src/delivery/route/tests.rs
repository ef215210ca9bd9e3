use std::sync::Arc;

use super::*;
use crate::delivery::KeyFile;
use crate::delivery::channel::{ChannelKind, Settings, Target};
use crate::store::ChannelRow;

const HOUR_MS: i64 = 3_600_000;

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    pairs.iter().copied().collect()
}

fn settings(matchers: &[&str]) -> Settings {
    let matchers = matchers.iter().map(|text| text.parse().expect("a matcher"));
    Settings {
        matchers: matchers.collect(),
        filter: None,
        wants_alerts: true,
        grouping: None,
        repeat_interval_ms: 4 * HOUR_MS,
        enabled_ms: 0,
    }
}

fn channel(id: &str, kind: ChannelKind, settings: &Settings) -> Arc<Channel> {
    let key = KeyFile::new(None);
    let target = Target {
        url: "https://example.com/".to_owned(),
        secrets: Vec::new(),
    };
    let target = serde_json::to_vec(&target).expect("JSON");
    let row = ChannelRow {
        channel_id: id.to_owned(),
        name: id.to_owned(),
        kind: kind.name().to_owned(),
        enabled: true,
        disabled_reason: String::new(),
        settings: serde_json::to_string(settings).expect("JSON"),
        sealed: key.seal(id, &target).expect("it encrypts"),
        event_cursor: None,
        created_ms: 0,
        updated_ms: 0,
    };
    Arc::new(Channel::read(row, &key).expect("it reads"))
}

fn webhook(settings: &Settings) -> Arc<Channel> {
    channel("c", ChannelKind::Webhook, settings)
}

fn alert<'a>(fingerprint: &'a str, labels: &'a LabelSet, annotations: &'a LabelSet) -> Alert<'a> {
    Alert {
        fingerprint,
        rule_id: "rule",
        labels,
        annotations,
        value: Some(93.5),
        active_ms: 1_000,
        fired_ms: 2_000,
        resolved_ms: None,
        reason: None,
        transition_id: Some("t1"),
        acknowledged: false,
        stale: false,
        host_down: false,
    }
}

/// Rounds that follow each other, as they would be stored.
#[derive(Default)]
struct History {
    told: Told,
    silenced: bool,
}

impl History {
    fn round(&mut self, channels: &[Arc<Channel>], now_ms: i64, alerts: &[Alert<'_>]) -> Routed {
        let silenced = self.silenced;
        let routed = messages(&Round {
            now_ms,
            channels,
            alerts,
            told: &self.told,
            silenced: &|_| silenced,
        });
        self.told.apply(&routed);
        routed
    }

    fn kinds(
        &mut self,
        channels: &[Arc<Channel>],
        now_ms: i64,
        alerts: &[Alert<'_>],
    ) -> Vec<String> {
        let routed = self.round(channels, now_ms, alerts);
        routed
            .messages
            .into_iter()
            .map(|message| message.kind)
            .collect()
    }
}

#[test]
fn each_transition_is_told_once_and_what_still_fires_again() {
    let (labels, annotations) = (labels(&[("agent_id", "h")]), LabelSet::default());
    let channels = [webhook(&settings(&[]))];
    let firing = alert("f", &labels, &annotations);
    let mut history = History::default();
    let first = history.round(&channels, 2_000, &[firing]);
    assert_eq!(first.messages.len(), 1);
    let body: Value = serde_json::from_str(&first.messages[0].body).expect("JSON");
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&json!("alert.firing"), &json!("1970-01-01T00:00:02Z"))
    );
    assert_eq!(body["data"]["labels"], json!({"agent_id": "h"}));
    assert_eq!(body["data"]["transition_id"], "t1");
    assert!(
        history
            .kinds(&channels, 2_000 + 4 * HOUR_MS - 1, &[firing])
            .is_empty()
    );
    let again = history.round(&channels, 2_000 + 4 * HOUR_MS, &[firing]);
    assert_ne!(again.messages[0].message_id, first.messages[0].message_id);
    assert!(
        history
            .kinds(&channels, 3_000 + 4 * HOUR_MS, &[firing])
            .is_empty()
    );
    let ahead = 90_000 * HOUR_MS;
    assert_eq!(history.kinds(&channels, ahead, &[firing]).len(), 1);
    assert_eq!(
        history.kinds(&channels, 9 * HOUR_MS, &[firing]).len(),
        1,
        "the clock is put right"
    );
    let seen = Alert {
        acknowledged: true,
        ..firing
    };
    assert!(history.kinds(&channels, 90 * HOUR_MS, &[seen]).is_empty());
    let resolved = Alert {
        resolved_ms: Some(9),
        ..firing
    };
    assert_eq!(
        history.kinds(&channels, 5 * HOUR_MS, &[resolved]),
        ["alert.resolved"]
    );
    assert!(
        history
            .kinds(&channels, 5 * HOUR_MS, &[resolved])
            .is_empty(),
        "once"
    );
    let later = Alert {
        fired_ms: 5 * HOUR_MS,
        ..firing
    };
    assert_eq!(
        history.kinds(&channels, 5 * HOUR_MS, &[later]),
        ["alert.firing"]
    );
}

#[test]
fn a_round_that_is_repeated_makes_the_same_messages() {
    let (labels, annotations) = (labels(&[]), LabelSet::default());
    let channels = [webhook(&settings(&[]))];
    let firing = [alert("f", &labels, &annotations)];
    let one = History::default().round(&channels, 2_000, &firing);
    let other = History::default().round(&channels, 2_000, &firing);
    assert_eq!(one, other);
}

#[test]
fn channels_are_told_what_they_match() {
    let critical = labels(&[("severity", "critical"), ("agent_id", "db-1")]);
    let warning = labels(&[("severity", "warning"), ("agent_id", "web-1")]);
    let none = LabelSet::default();
    let alerts = [alert("f", &critical, &none), alert("g", &warning, &none)];
    let told = |matchers: &[&str]| {
        let channels = [webhook(&settings(matchers))];
        let routed = History::default().round(&channels, 2_000, &alerts);
        let told = routed.told.into_iter();
        told.map(|told| told.fingerprint).collect::<Vec<_>>()
    };
    assert_eq!(told(&[]), ["f", "g"], "all of them");
    assert_eq!(told(&["severity=critical"]), ["f"]);
    assert_eq!(told(&["severity!=critical"]), ["g"]);
    assert_eq!(
        told(&["agent_id=~\"db-.*\"", "severity=\"critical\""]),
        ["f"]
    );
    assert_eq!(
        told(&["agent_id!~\"db-.*\"", "severity=\"critical\""]),
        [""; 0]
    );
    let mut subscription = settings(&[]);
    subscription.filter = Some("true".to_owned());
    subscription.wants_alerts = false;
    let routed = History::default().round(&[webhook(&subscription)], 2_000, &alerts);
    assert!(routed.messages.is_empty(), "a subscription to events alone");
    subscription.wants_alerts = true;
    let routed = History::default().round(&[webhook(&subscription)], 2_000, &alerts);
    assert_eq!(routed.messages.len(), 2);
}

#[test]
fn what_is_silenced_is_told_when_the_silence_ends() {
    let (labels, annotations) = (labels(&[]), LabelSet::default());
    let channels = [webhook(&settings(&[]))];
    let firing = alert("f", &labels, &annotations);
    let resolved = Alert {
        resolved_ms: Some(9),
        ..firing
    };
    let mut history = History {
        silenced: true,
        ..History::default()
    };
    assert!(history.kinds(&channels, 2_000, &[firing]).is_empty());
    assert!(
        history.kinds(&channels, 3_000, &[resolved]).is_empty(),
        "nobody was told that it fired"
    );
    assert!(history.kinds(&channels, 4_000, &[firing]).is_empty());
    history.silenced = false;
    assert_eq!(history.kinds(&channels, 5_000, &[firing]), ["alert.firing"]);
    history.silenced = true;
    assert!(history.kinds(&channels, 9 * HOUR_MS, &[firing]).is_empty());
    assert_eq!(
        history.kinds(&channels, 9 * HOUR_MS, &[resolved]),
        ["alert.resolved"],
        "whoever was told"
    );
}

#[test]
fn alerts_of_a_host_are_inhibited_while_it_is_down() {
    let (one, other) = (labels(&[("agent_id", "a")]), labels(&[("agent_id", "b")]));
    let none = LabelSet::default();
    let channels = [webhook(&settings(&[]))];
    let down = Alert {
        host_down: true,
        ..alert("down", &one, &none)
    };
    let alerts = [down, alert("p", &one, &none), alert("q", &other, &none)];
    let mut history = History::default();
    let told = history.round(&channels, 2_000, &alerts).told;
    let told: Vec<_> = told.iter().map(|told| &*told.fingerprint).collect();
    assert_eq!(told, ["down", "q"]);
    let up = Alert {
        resolved_ms: Some(9),
        ..down
    };
    let alerts = [up, alerts[1], alerts[2]];
    assert_eq!(
        history.kinds(&channels, 3_000, &alerts),
        ["alert.resolved", "alert.firing"]
    );
}

#[test]
fn groups_wait_and_become_one_message() {
    let hosts = ["a", "a", "b"].map(|host| labels(&[("agent_id", host)]));
    let none = LabelSet::default();
    let mut grouped = settings(&[]);
    grouped.grouping = Some(Grouping {
        by: vec!["agent_id".to_owned()],
        wait_ms: 30_000,
    });
    let channels = [webhook(&grouped)];
    let alerts = [
        alert("1", &hosts[0], &none),
        alert("2", &hosts[1], &none),
        alert("3", &hosts[2], &none),
    ];
    let routed = History::default().round(&channels, 2_000, &alerts);
    assert!(routed.messages.iter().all(|message| {
        message.state == MessageState::Grouping && message.next_attempt_ms == 32_000
    }));
    let first = &routed.messages[0].order_key;
    let members: Vec<_> = routed
        .messages
        .iter()
        .filter(|message| message.order_key == *first)
        .cloned()
        .collect();
    assert_eq!(members.len(), 2);
    let joined = join_group(&channels[0], &members, 32_000).expect("members");
    assert_eq!(
        (joined.state, &*joined.kind),
        (MessageState::Pending, "alert.group")
    );
    let body: Value = serde_json::from_str(&joined.body).expect("JSON");
    assert_eq!(body["data"]["group"], json!({"agent_id": "a"}));
    assert_eq!(body["data"]["alerts"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        joined.message_id,
        join_group(&channels[0], &members, 40_000)
            .expect("members")
            .message_id
    );
    assert!(join_group(&channels[0], &[], 0).is_none());
    grouped.grouping = Some(Grouping {
        by: Vec::new(),
        wait_ms: 0,
    });
    let routed = History::default().round(&[webhook(&grouped)], 2_000, &alerts);
    assert!(
        routed
            .messages
            .iter()
            .all(|message| message.order_key == "group:{}"),
        "all in one"
    );
}

#[test]
fn a_channel_that_is_enabled_again_is_told_anew() {
    let (labels, annotations) = (labels(&[]), LabelSet::default());
    let firing = [alert("f", &labels, &annotations)];
    let mut settings = settings(&[]);
    let mut history = History::default();
    let first = history.round(&[webhook(&settings)], 2_000, &firing);
    history.told.forget_channel("c");
    settings.enabled_ms = 3_000;
    let again = history.round(&[webhook(&settings)], 4_000, &firing);
    assert_ne!(first.messages[0].message_id, again.messages[0].message_id);
}
