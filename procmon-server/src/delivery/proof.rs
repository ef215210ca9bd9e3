//! A message that proves a channel: sent once, at once, and listed with the others.

use serde_json::{Value, json};

use super::channel::{Channel, ChannelKind};
use super::directory::Directory;
use super::{body, resend};
use crate::clock::rfc3339_ms;
use crate::store::{AttemptResult, AttemptRow, Finished, MessageState, OutboxRow, Routed};

const KIND: &str = "channel.test";
/// The sender leaves it alone: there is only one attempt.
const NEVER_MS: i64 = i64::MAX;

/// Sends it; its id, and what came of it.
pub(super) async fn test(directory: &Directory, channel: &Channel) -> (String, AttemptResult) {
    let now_ms = directory.clock.now_ms();
    let number = directory.next_proof().to_string();
    let about = [channel.id(), KIND, &now_ms.to_string(), &number];
    let message_id = body::message_id(&about);
    let message = OutboxRow {
        number: 0,
        channel_id: channel.id().to_owned(),
        kind: KIND.to_owned(),
        order_key: format!("test:{message_id}"),
        body: text(channel, now_ms),
        created_ms: now_ms,
        state: MessageState::Pending,
        next_attempt_ms: NEVER_MS,
        attempts: 0,
        step: 0,
        result: AttemptResult::default(),
        finished_ms: None,
        message_id,
    };
    let answer = directory.http.send(channel, &message, now_ms).await;
    let delivered = answer.is_success();
    directory
        .stats
        .attempted(channel.kind, delivered, answer.result.latency_ms);
    // Written down when it is over: a server that is killed meanwhile has nothing to send again.
    let rows = directory.store.delivery();
    let routed = Routed {
        messages: vec![message.clone()],
        ..Routed::default()
    };
    let stored = rows.route(&routed).await;
    let finished = Finished {
        attempt: AttemptRow {
            message_id: message.message_id.clone(),
            attempt: 1,
            at_ms: directory.clock.now_ms(),
            result: answer.result.clone(),
        },
        state: if delivered {
            MessageState::Delivered
        } else {
            MessageState::Dead
        },
        next_attempt_ms: now_ms,
        step: 0,
    };
    let mut outcome = match stored {
        Ok(()) => rows.finish(&finished).await,
        Err(error) => Err(error),
    };
    if delivered && outcome.is_ok() {
        // Somebody is there: what found nobody before need not wait any longer.
        outcome = rows
            .hasten_unanswered(channel.id(), now_ms)
            .await
            .map(|_| ());
        directory.wake(std::iter::once(channel.id()));
    }
    if let Err(error) = outcome {
        // It was sent all the same: whoever tests is to know how that went, and not to do it again.
        tracing::warn!(%error, "what came of a test of a channel cannot be written down");
        super::stats::add(&directory.stats.store_failures, 1);
    }
    (message.message_id, answer.result)
}

fn text(channel: &Channel, now_ms: i64) -> String {
    let name = &channel.row.name;
    let words = format!("procmon reaches this channel ({name})");
    match channel.kind {
        ChannelKind::Webhook => {
            body::webhook(KIND, now_ms, &json!({"channel": name, "text": words}))
        }
        ChannelKind::Slack => json!({"text": body::escaped(&words)}).to_string(),
        ChannelKind::Alertmanager => Value::Array(vec![json!({
            "labels": {"alertname": "ProcmonTest", "severity": "none", "channel": name},
            "annotations": {"summary": words},
            "startsAt": rfc3339_ms(now_ms),
            "endsAt": rfc3339_ms(now_ms + resend::EVERY_MS),
        })])
        .to_string(),
    }
}
