//! Channels and deliveries as the API shows them. Secrets are never shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::request::shown;
use crate::clock::rfc3339_ms;
use crate::delivery::channel::{Channel, ChannelKind};
use crate::store::{AttemptRow, MessageState, OutboxRow};

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
pub(super) struct ChannelBody {
    pub id: String,
    pub name: String,
    pub kind: ChannelKind,
    /// Without what lets others use it: a password, a query, the path of a Slack webhook.
    pub url: Option<String>,
    /// How many secrets sign its messages.
    pub secrets: usize,
    pub enabled: bool,
    /// Why the server disabled it, or why it cannot be used.
    pub disabled_reason: Option<String>,
    /// Conditions on the labels of alerts; null: every alert, or none if there is a `filter`.
    pub r#match: Option<Vec<String>>,
    pub filter: Option<String>,
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<String>,
    pub repeat_interval: String,
    pub created_at: String,
    pub updated_at: String,
}

impl ChannelBody {
    pub(super) fn new(channel: &Channel) -> Self {
        let (row, settings) = (&channel.row, &channel.settings);
        let grouping = settings.grouping.as_ref();
        let target = channel.target.as_ref();
        let reason = Some(row.disabled_reason.clone()).filter(|reason| !reason.is_empty());
        Self {
            id: row.channel_id.clone(),
            name: row.name.clone(),
            kind: channel.kind,
            url: target.ok().map(|target| target.shown_url(channel.kind)),
            secrets: target.map_or(0, |target| target.secrets.len()),
            enabled: row.enabled,
            disabled_reason: reason.or_else(|| target.err().cloned()),
            r#match: settings
                .wants_alerts
                .then(|| settings.matchers.iter().map(ToString::to_string).collect()),
            filter: settings.filter.clone(),
            group_by: grouping.map(|grouping| grouping.by.clone()),
            group_wait: grouping.map(|grouping| shown(grouping.wait_ms)),
            repeat_interval: shown(settings.repeat_interval_ms),
            created_at: rfc3339_ms(row.created_ms),
            updated_at: rfc3339_ms(row.updated_ms),
        }
    }
}

/// All channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelList {
    pub channels: Vec<ChannelBody>,
}

/// A message to a channel, and how it went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryBody {
    /// What the receiver has as `webhook-id`, the same in every attempt.
    pub message_id: String,
    pub r#type: String,
    /// grouping: waits for others of its group. pending: is to be sent, or sent again. delivered. dead: given up.
    #[schema(value_type = String)]
    pub state: &'static str,
    pub created_at: String,
    /// When it is sent next; null when it is not.
    pub next_attempt_at: Option<String>,
    pub finished_at: Option<String>,
    pub attempts: i64,
    /// Of the last attempt: what was answered; null without an answer.
    pub status: Option<u16>,
    pub latency_ms: Option<i64>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The beginning of the last answer.
    pub response: Option<String>,
}

fn known(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

impl DeliveryBody {
    pub(super) fn new(row: &OutboxRow) -> Self {
        let waits = matches!(row.state, MessageState::Pending | MessageState::Grouping);
        Self {
            message_id: row.message_id.clone(),
            r#type: row.kind.clone(),
            state: row.state.name(),
            created_at: rfc3339_ms(row.created_ms),
            next_attempt_at: waits.then(|| rfc3339_ms(row.next_attempt_ms)),
            finished_at: row.finished_ms.map(rfc3339_ms),
            attempts: row.attempts,
            status: row.result.status,
            latency_ms: (row.attempts > 0).then_some(row.result.latency_ms),
            error: known(&row.result.error),
            response: known(&row.result.response),
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryList {
    pub deliveries: Vec<DeliveryBody>,
    /// Null at the end.
    pub next_cursor: Option<String>,
}

/// A delivery with every attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    pub delivery: DeliveryBody,
    /// What is sent.
    pub body: serde_json::Value,
    /// Oldest first.
    pub attempt_list: Vec<AttemptBody>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptBody {
    pub attempt: i64,
    pub at: String,
    pub status: Option<u16>,
    pub latency_ms: i64,
    pub error: Option<String>,
    pub response: Option<String>,
}

impl AttemptBody {
    pub(super) fn new(row: &AttemptRow) -> Self {
        Self {
            attempt: row.attempt,
            at: rfc3339_ms(row.at_ms),
            status: row.result.status,
            latency_ms: row.result.latency_ms,
            error: known(&row.result.error),
            response: known(&row.result.response),
        }
    }
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestResult {
    pub delivered: bool,
    pub message_id: String,
    pub status: Option<u16>,
    pub latency_ms: i64,
    pub error: Option<String>,
    pub response: Option<String>,
}
