//! Alertmanagers take an alert for resolved when they hear no more of it: they are reminded of what fires, as Prometheus does.

use std::sync::Arc;

use serde_json::{Value, json};

use super::channel::Channel;
use super::directory::Directory;
use crate::clock::rfc3339_ms;

pub(super) const EVERY_MS: i64 = 60_000;
/// What is not heard of again for so long is resolved. Four times the interval, as in Prometheus.
pub(super) const ENDS_AFTER_MS: i64 = 4 * EVERY_MS;
/// Alerts in one request.
const CHUNK: usize = 256;

/// Reminds a receiver of what fires. A failure is no matter: it is done again in a minute, and what changed is in the outbox.
pub(super) async fn remind(directory: &Directory, channel: &Channel, firing: Arc<[Value]>) {
    let Ok(target) = &channel.target else { return };
    for chunk in firing.chunks(CHUNK) {
        let now_ms = directory.clock.now_ms();
        let ends = rfc3339_ms(now_ms + ENDS_AFTER_MS);
        let mut alerts = chunk.to_vec();
        for alert in &mut alerts {
            alert["endsAt"] = json!(ends);
        }
        let body = Value::Array(alerts).to_string();
        let answer = directory.http.alertmanager(target, body).await;
        directory
            .stats
            .attempted(channel.kind, answer.is_success(), answer.result.latency_ms);
        if answer.is_success() {
            let rows = directory.store.delivery();
            if let Err(error) = rows.hasten_unanswered(channel.id(), now_ms).await {
                tracing::debug!(%error, "messages that wait cannot be hastened");
            }
        } else {
            tracing::debug!(
                channel = channel.row.name,
                error = answer.result.error,
                "a reminder failed"
            );
            return;
        }
    }
}
