//! From alerts to messages: a pure function of what fires and of what each channel was told of it. Whoever was told that an
//! alert fires is told that it does no longer, and nobody is told of what is silenced or inhibited.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::body;
use super::channel::{Channel, Grouping};
use crate::alerts::LabelSet;
use crate::alerts::state::Ending;
use crate::store::{MessageState, OutboxRow, Routed, ToldRow};

/// An alert that fires, or did until just now.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    pub fingerprint: &'a str,
    pub rule_id: &'a str,
    pub labels: &'a LabelSet,
    pub annotations: &'a LabelSet,
    pub value: Option<f64>,
    pub active_ms: i64,
    pub fired_ms: i64,
    /// When it ceased to fire.
    pub resolved_ms: Option<i64>,
    /// Why it did.
    pub reason: Option<Ending>,
    /// Of the transition that led here, where it happened in this round.
    pub transition_id: Option<&'a str>,
    /// Somebody saw it: it is not told again, until it is resolved.
    pub acknowledged: bool,
    /// Its host is silent.
    pub stale: bool,
    /// It says that a host is gone: the others of that host are inhibited meanwhile.
    pub host_down: bool,
}

/// What channels were told of what fires.
#[derive(Debug, Default)]
pub struct Told(HashMap<String, HashMap<String, ToldRow>>);

/// Everything that a decision is made of.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub now_ms: i64,
    pub channels: &'a [std::sync::Arc<Channel>],
    /// Everything that fires, and what was resolved in this round.
    pub alerts: &'a [Alert<'a>],
    pub told: &'a Told,
    pub silenced: &'a dyn Fn(&Alert<'_>) -> bool,
}

impl Told {
    pub fn new(rows: Vec<ToldRow>) -> Self {
        let mut told = Self::default();
        for row in rows {
            told.insert(row);
        }
        told
    }

    fn insert(&mut self, row: ToldRow) {
        let of_channel = self.0.entry(row.channel_id.clone()).or_default();
        of_channel.insert(row.fingerprint.clone(), row);
    }

    fn get(&self, channel_id: &str, fingerprint: &str) -> Option<&ToldRow> {
        self.0.get(channel_id)?.get(fingerprint)
    }

    /// Whether a channel was told that an alert fires this time.
    pub(super) fn fires(&self, channel_id: &str, alert: &Alert<'_>) -> bool {
        let told = self.get(channel_id, alert.fingerprint);
        told.is_some_and(|told| told.fired_ms == alert.fired_ms)
    }

    /// Takes over what was stored.
    pub fn apply(&mut self, routed: &Routed) {
        for row in &routed.told {
            self.insert(row.clone());
        }
        for (channel_id, fingerprint) in &routed.forgotten {
            if let Some(of_channel) = self.0.get_mut(channel_id) {
                of_channel.remove(fingerprint);
            }
        }
    }

    /// What a channel that was disabled was told: when it is enabled again it is told anew.
    pub fn forget_channel(&mut self, channel_id: &str) {
        self.0.remove(channel_id);
    }
}

/// The messages of a round, and what channels have been told with them. Store both together, or neither.
pub fn messages(round: &Round<'_>) -> Routed {
    let down: HashSet<&str> = round
        .alerts
        .iter()
        .filter(|alert| alert.host_down && alert.resolved_ms.is_none())
        .filter_map(|alert| host(alert))
        .collect();
    let muted = |alert: &Alert<'_>| {
        let inhibited = !alert.host_down && host(alert).is_some_and(|host| down.contains(host));
        inhibited || (round.silenced)(alert)
    };
    // Silences are looked at once for each alert, however many channels there are.
    let muted: Vec<bool> = round.alerts.iter().map(muted).collect();
    let mut routed = Routed::default();
    for channel in round.channels {
        if !channel.row.enabled || !channel.wants_alerts() {
            continue;
        }
        for (alert, muted) in round.alerts.iter().zip(&muted) {
            if let Some(decision) = decide(round, channel, alert, *muted) {
                put(&mut routed, round, channel, alert, &decision);
            }
        }
    }
    routed
}

fn host<'a>(alert: &Alert<'a>) -> Option<&'a str> {
    alert.labels.get("agent_id")
}

enum Decision {
    /// How often it was told before.
    Firing(i64),
    Resolved,
}

fn decide(
    round: &Round<'_>,
    channel: &Channel,
    alert: &Alert<'_>,
    muted: bool,
) -> Option<Decision> {
    let told = round.told.get(channel.id(), alert.fingerprint);
    // One that fired, was resolved and fires again is another time.
    let told = told.filter(|told| told.fired_ms == alert.fired_ms);
    if alert.resolved_ms.is_some() {
        return told.map(|_| Decision::Resolved);
    }
    if muted {
        return None;
    }
    // A channel that was told, and no longer wants to be, is told of the end alone.
    if !channel.takes(alert.labels) {
        return None;
    }
    let Some(told) = told else {
        return Some(Decision::Firing(0));
    };
    let repeat_ms = channel.settings.repeat_interval_ms;
    let since_ms = round.now_ms - told.told_ms;
    // A clock that was far ahead when it was told must not silence it for as long.
    let due = (since_ms >= repeat_ms || -since_ms > repeat_ms) && !alert.acknowledged;
    due.then_some(Decision::Firing(told.times))
}

fn put(
    routed: &mut Routed,
    round: &Round<'_>,
    channel: &Channel,
    alert: &Alert<'_>,
    decision: &Decision,
) {
    let (kind, times) = match decision {
        Decision::Firing(times) => ("alert.firing", *times),
        Decision::Resolved => ("alert.resolved", 0),
    };
    let fired_ms = alert.fired_ms.to_string();
    let number = times.to_string();
    // One that is enabled again is told anew of what it was told before.
    let enabled_ms = channel.settings.enabled_ms.to_string();
    let about = [
        channel.id(),
        &enabled_ms,
        alert.fingerprint,
        &fired_ms,
        kind,
        &number,
    ];
    let mut message = OutboxRow {
        number: 0,
        message_id: body::message_id(&about),
        channel_id: channel.id().to_owned(),
        kind: kind.to_owned(),
        order_key: format!("alert:{}", alert.fingerprint),
        body: String::new(),
        created_ms: round.now_ms,
        state: MessageState::Pending,
        next_attempt_ms: round.now_ms,
        attempts: 0,
        step: 0,
        result: crate::store::AttemptResult::default(),
        finished_ms: None,
    };
    if let Some(grouping) = &channel.settings.grouping {
        let labels = group_labels(grouping, alert);
        message.order_key = format!("group:{labels}");
        message.state = MessageState::Grouping;
        message.next_attempt_ms = round.now_ms.saturating_add(grouping.wait_ms);
        message.body = body::alert_data(alert, times).to_string();
    } else {
        message.body = body::alert(channel.kind, kind, round.now_ms, alert, times);
    }
    routed.messages.push(message);
    let (channel_id, fingerprint) = (channel.id().to_owned(), alert.fingerprint.to_owned());
    match decision {
        Decision::Firing(times) => routed.told.push(ToldRow {
            channel_id,
            fingerprint,
            fired_ms: alert.fired_ms,
            told_ms: round.now_ms,
            times: times + 1,
        }),
        Decision::Resolved => routed.forgotten.push((channel_id, fingerprint)),
    }
}

/// The labels that a group has in common, as JSON.
fn group_labels(grouping: &Grouping, alert: &Alert<'_>) -> Value {
    let labels = grouping.by.iter().map(|name| {
        let value = alert.labels.get(name).unwrap_or_default();
        (name.clone(), json!(value))
    });
    Value::Object(labels.collect::<Map<_, _>>())
}

/// One message in the place of the members of a group, who are in order; `None` when there are none.
pub(super) fn join_group(
    channel: &Channel,
    members: &[OutboxRow],
    now_ms: i64,
) -> Option<OutboxRow> {
    let first = members.first()?;
    let labels = first.order_key.strip_prefix("group:").unwrap_or("{}");
    let labels = serde_json::from_str(labels).unwrap_or_default();
    let data: Vec<Value> = members
        .iter()
        .filter_map(|member| serde_json::from_str(&member.body).ok())
        .collect();
    let ids: Vec<&str> = members.iter().map(|member| &*member.message_id).collect();
    Some(OutboxRow {
        message_id: body::message_id(&ids),
        kind: "alert.group".to_owned(),
        body: body::group(channel.kind, now_ms, &labels, &data),
        created_ms: now_ms,
        state: MessageState::Pending,
        next_attempt_ms: now_ms,
        ..first.clone()
    })
}

#[cfg(test)]
mod tests;
