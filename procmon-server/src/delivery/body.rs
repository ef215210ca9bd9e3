//! What receivers read: bodies of messages, and their ids.

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Value, json};

use super::channel::ChannelKind;
use super::route::Alert;
use crate::clock::rfc3339_ms;

/// A message as a webhook has it: `{type, timestamp, data}`.
pub(super) fn webhook(kind: &str, at_ms: i64, data: &impl Serialize) -> String {
    json!({"type": kind, "timestamp": rfc3339_ms(at_ms), "data": data}).to_string()
}

/// `msg_` and 26 characters, made of what the message is about: deciding on the same thing again makes the same id.
pub(super) fn message_id(about: &[&str]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // Nothing that is hashed has a NUL.
    let hash = digest(&SHA256, about.join("\0").as_bytes());
    let mut id = String::from("msg_");
    let (mut bits, mut count) = (0_u32, 0);
    for byte in hash.as_ref() {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 && id.len() < 30 {
            count -= 5;
            id.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    id
}

/// An alert as messages have it.
pub(super) fn alert_data(alert: &Alert<'_>, repeat: i64) -> Value {
    let status = if alert.resolved_ms.is_some() {
        "resolved"
    } else {
        "firing"
    };
    let labels: serde_json::Map<_, _> = alert
        .labels
        .iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    json!({
        "fingerprint": alert.fingerprint,
        "rule_id": alert.rule_id,
        "state": status,
        "labels": labels,
        "annotations": alert.annotations,
        "value": alert.value,
        "active_at": rfc3339_ms(alert.active_ms),
        "fired_at": rfc3339_ms(alert.fired_ms),
        "resolved_at": alert.resolved_ms.map(rfc3339_ms),
        "reason": alert.reason,
        "transition_id": alert.transition_id,
        "stale": alert.stale,
        "repeat": repeat,
    })
}

/// One alert, in the words of the receiver. `kind` is `alert.firing` or `alert.resolved`.
pub(super) fn alert(
    receiver: ChannelKind,
    kind: &str,
    at_ms: i64,
    alert: &Alert<'_>,
    repeat: i64,
) -> String {
    let data = alert_data(alert, repeat);
    match receiver {
        ChannelKind::Webhook => webhook(kind, at_ms, &data),
        ChannelKind::Slack => slack(&[data]).to_string(),
        ChannelKind::Alertmanager => Value::Array(vec![alertmanager(&data)]).to_string(),
    }
}

/// Several alerts of a group. `members` are the data of each, in order.
pub(super) fn group(
    receiver: ChannelKind,
    at_ms: i64,
    labels: &Value,
    members: &[Value],
) -> String {
    match receiver {
        ChannelKind::Webhook => {
            let firing = members.iter().any(|member| member["state"] == "firing");
            let state = if firing { "firing" } else { "resolved" };
            let data = json!({"state": state, "group": labels, "alerts": members});
            webhook("alert.group", at_ms, &data)
        }
        ChannelKind::Slack => slack(members).to_string(),
        ChannelKind::Alertmanager => members
            .iter()
            .map(alertmanager)
            .collect::<Value>()
            .to_string(),
    }
}

/// As `POST /api/v2/alerts` takes it. One that fires has no end here: it is given one when it is sent.
pub(super) fn alertmanager(data: &Value) -> Value {
    let mut labels = data["labels"].clone();
    if let Some(labels) = labels.as_object_mut()
        && !labels.contains_key("alertname")
    {
        labels.insert("alertname".to_owned(), data["rule_id"].clone());
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": data["annotations"],
        "startsAt": data["fired_at"],
    });
    if data["state"] == "resolved" {
        alert["endsAt"] = data["resolved_at"].clone();
    }
    alert
}

/// Gives those that fire an end, after which a receiver that hears no more takes them for resolved.
pub(super) fn with_ends(body: &str, ends_ms: i64) -> Option<String> {
    let mut alerts: Vec<Value> = serde_json::from_str(body).ok()?;
    for alert in &mut alerts {
        if alert["endsAt"].is_null() {
            alert["endsAt"] = json!(rfc3339_ms(ends_ms));
        }
    }
    serde_json::to_string(&alerts).ok()
}

/// Alerts that a message of Slack shows; the others are counted.
const SLACK_SHOWN: usize = 20;

fn slack(members: &[Value]) -> Value {
    let firing = members.iter().filter(|member| member["state"] == "firing");
    let firing = firing.count();
    let resolved = members.len() - firing;
    let title = match (firing, resolved) {
        (1, 0) | (0, 1) => slack_title(&members[0]),
        _ => format!("{firing} firing, {resolved} resolved"),
    };
    let mut attachments: Vec<Value> = members.iter().take(SLACK_SHOWN).map(attachment).collect();
    if members.len() > SLACK_SHOWN {
        let more = members.len() - SLACK_SHOWN;
        attachments.push(json!({"text": format!("and {more} more")}));
    }
    json!({"text": title, "attachments": attachments})
}

fn slack_title(data: &Value) -> String {
    let mark = if data["state"] == "firing" {
        "FIRING"
    } else {
        "RESOLVED"
    };
    let labels = &data["labels"];
    let name = labels["alertname"].as_str().or(data["rule_id"].as_str());
    let host = labels["agent_id"].as_str();
    let host = host.map(|host| format!(" on {}", escaped(host)));
    format!(
        "[{mark}] {}{}",
        escaped(name.unwrap_or_default()),
        host.unwrap_or_default()
    )
}

fn attachment(data: &Value) -> Value {
    let color = match (data["state"].as_str(), data["labels"]["severity"].as_str()) {
        (Some("resolved"), _) => "good",
        (_, Some("info" | "warning")) => "warning",
        _ => "danger",
    };
    let annotation = |name: &str| data["annotations"][name].as_str().map(escaped);
    let text = annotation("description").or_else(|| annotation("summary"));
    let fields: Vec<Value> = data["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .map(|(name, value)| json!({"title": name, "value": escaped(value), "short": true}))
        .collect();
    let title = slack_title(data);
    json!({
        "color": color,
        "fallback": title,
        "title": title,
        "text": text.unwrap_or_default(),
        "fields": fields,
    })
}

/// What Slack would read as a mention or a link.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_differ() {
        let id = message_id(&["ch_1", "f", "1"]);
        assert_eq!(id.len(), 30);
        assert_eq!(id, message_id(&["ch_1", "f", "1"]));
        let ids = [
            &["ch_1", "f", "2"],
            &["ch_2", "f", "1"],
            &["ch_1f", "", "1"],
        ]
        .map(|about| message_id(about));
        assert!(ids.iter().all(|other| *other != id));
    }

    #[test]
    fn an_alert_that_fires_is_given_an_end_when_it_is_sent() {
        let firing = json!({"state": "firing", "rule_id": "r", "labels": {}, "annotations": {}, "fired_at": "t"});
        let mut resolved = firing.clone();
        resolved["state"] = json!("resolved");
        resolved["resolved_at"] = json!("then");
        let body = group(
            ChannelKind::Alertmanager,
            0,
            &json!({}),
            &[firing, resolved],
        );
        let sent: Value =
            serde_json::from_str(&with_ends(&body, 60_000).expect("JSON")).expect("JSON");
        assert_eq!(sent[0]["endsAt"], "1970-01-01T00:01:00Z");
        assert_eq!(sent[1]["endsAt"], "then");
        assert_eq!(sent[0]["labels"]["alertname"], "r");
        assert_eq!(with_ends("{}", 0), None);
    }

    #[test]
    fn slack_reads_no_mention_out_of_a_label() {
        let data = json!({"state": "firing", "rule_id": "r", "labels": {"agent_id": "<!channel>", "severity": "critical"}, "annotations": {"summary": "a & b"}});
        let message = slack(std::slice::from_ref(&data));
        assert_eq!(message["text"], "[FIRING] r on &lt;!channel&gt;");
        assert_eq!(message["attachments"][0]["color"], "danger");
        assert_eq!(message["attachments"][0]["text"], "a &amp; b");
        let many = slack(&vec![data; 25]);
        assert_eq!(many["text"], "25 firing, 0 resolved");
        assert_eq!(many["attachments"].as_array().map(Vec::len), Some(21));
    }
}
