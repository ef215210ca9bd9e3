//! Rows about deliveries, in the words of the tables.

/// A channel as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRow {
    pub channel_id: String,
    pub name: String,
    pub kind: String,
    pub enabled: bool,
    /// Why the server disabled it; empty when it did not.
    pub disabled_reason: String,
    /// JSON.
    pub settings: String,
    /// Encrypted.
    pub sealed: Vec<u8>,
    /// The last event that a subscription was told of.
    pub event_cursor: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// Waits for others of its group.
    Grouping,
    Pending,
    Delivered,
    /// Given up; it can be replayed.
    Dead,
}

impl MessageState {
    pub const ALL: [Self; 4] = [Self::Grouping, Self::Pending, Self::Delivered, Self::Dead];

    pub fn name(self) -> &'static str {
        match self {
            Self::Grouping => "grouping",
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A message to a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    /// Its place in the order in which things were decided; given by the store.
    pub number: i64,
    /// The same over all attempts. A second message of the same id is not stored.
    pub message_id: String,
    pub channel_id: String,
    pub kind: String,
    /// Messages of one channel with the same key leave one after the other.
    pub order_key: String,
    pub body: String,
    pub created_ms: i64,
    pub state: MessageState,
    pub next_attempt_ms: i64,
    pub attempts: i64,
    /// How far along the schedule of retries it is.
    pub step: i64,
    /// Of the last attempt.
    pub result: AttemptResult,
    pub finished_ms: Option<i64>,
}

/// What came of an attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptResult {
    /// Null when there was no answer.
    pub status: Option<u16>,
    pub latency_ms: i64,
    /// Empty when it succeeded.
    pub error: String,
    /// The beginning of the answer.
    pub response: String,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    pub message_id: String,
    /// From 1.
    pub attempt: i64,
    pub at_ms: i64,
    pub result: AttemptResult,
}

/// An attempt, and what becomes of its message.
#[derive(Clone, Debug)]
pub struct Finished {
    pub attempt: AttemptRow,
    pub state: MessageState,
    pub next_attempt_ms: i64,
    pub step: i64,
}

/// What a channel was last told of an alert that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRow {
    pub channel_id: String,
    pub fingerprint: String,
    /// Which time that it fires.
    pub fired_ms: i64,
    pub told_ms: i64,
    pub times: i64,
}

/// What a round of alerts leads to, stored together with it or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routed {
    pub messages: Vec<OutboxRow>,
    pub told: Vec<ToldRow>,
    /// Channel and fingerprint of what no longer fires.
    pub forgotten: Vec<(String, String)>,
}
