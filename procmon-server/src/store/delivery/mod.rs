//! Channels, and what they are told: ordinary rows beside those of agents. What they mean is known in [`crate::delivery`].

mod listing;
mod queries;
mod rows;

pub(super) use listing::channel_queries;
pub(super) use queries::delivery_queries;
pub use rows::{
    AttemptResult, AttemptRow, ChannelRow, Finished, MessageState, OutboxRow, Routed, ToldRow,
};

use super::engine::Engine;
use super::{Store, StoreError, postgres, sqlite};

/// Access to the tables of deliveries.
#[derive(Clone, Copy, Debug)]
pub struct Deliveries<'a>(&'a Engine);

impl Store {
    pub fn delivery(&self) -> Deliveries<'_> {
        Deliveries(&self.engine)
    }
}

/// A function of the same name for each statement, on the engine there is.
macro_rules! statements {
    ($($(#[$attribute:meta])* $function:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        impl Deliveries<'_> {
            $($(#[$attribute])*
            pub async fn $function(self, $($argument: $type),*) -> Result<$result, StoreError> {
                match self.0 {
                    Engine::Sqlite(engine) => {
                        sqlite::delivery_queries::$function(&engine.agents, $($argument),*).await
                    }
                    Engine::Postgres(engine) => {
                        postgres::delivery_queries::$function(&engine.pool, $($argument),*).await
                    }
                }
            })+
        }
    };
}

/// The same, each in a transaction, in PostgreSQL only while no other server has taken the database: who sends must know that
/// nobody else does.
macro_rules! fenced {
    ($($(#[$attribute:meta])* $function:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        impl Deliveries<'_> {
            $($(#[$attribute])*
            pub async fn $function(self, $($argument: $type),*) -> Result<$result, StoreError> {
                match self.0 {
                    Engine::Sqlite(engine) => {
                        let mut transaction = engine.agents.begin().await?;
                        let done = sqlite::delivery_queries::$function(&mut transaction, $($argument),*).await?;
                        transaction.commit().await?;
                        Ok(done)
                    }
                    Engine::Postgres(engine) => {
                        let mut transaction = engine.begin_fenced().await?;
                        let done = postgres::delivery_queries::$function(&mut transaction, $($argument),*).await?;
                        transaction.commit().await?;
                        Ok(done)
                    }
                }
            })+
        }
    };
}

statements! {
    channels() -> Vec<ChannelRow>;
    told() -> Vec<ToldRow>;
    /// When the next message of a channel is due.
    next_due(channel_id: &str) -> Option<i64>;
    /// The members of one group whose time has come, oldest first.
    due_group(channel_id: &str, now_ms: i64, limit: i64) -> Vec<OutboxRow>;
    /// Newest first; everything before a number.
    deliveries(channel_id: &str, state: Option<MessageState>, before: i64, limit: i64) -> Vec<OutboxRow>;
    delivery(channel_id: &str, message_id: &str) -> Option<OutboxRow>;
    attempts(message_id: &str) -> Vec<AttemptRow>;
    /// How many messages wait, by channel.
    waiting() -> Vec<(String, i64)>;
}

fenced! {
    save_channel(channel: &ChannelRow) -> ();
    /// With everything it was told, and is to be told; false when it was not there.
    delete_channel(channel_id: &str) -> bool;
    /// Gives up what waits for it. An empty reason is an operator's.
    disable_channel(channel_id: &str, reason: &str, now_ms: i64) -> ();
    /// Stores what a round of alerts leads to, in a transaction of its own.
    route(routed: &Routed) -> ();
    /// Messages that are due, none of which has to wait for another. One that failed is tried before its time when another is
    /// behind it, unless that was after `patience_ms`.
    due(channel_id: &str, now_ms: i64, patience_ms: i64, limit: i64) -> Vec<OutboxRow>;
    /// One message in the place of the members of a group.
    join_group(members: &[OutboxRow], message: &OutboxRow) -> ();
    /// Writes down an attempt, and what becomes of its message.
    finish(finished: &Finished) -> ();
    /// Makes due at once what found nobody; how many messages.
    hasten_unanswered(channel_id: &str, now_ms: i64) -> u64;
    /// Stores messages of events, and how far the log was read for them.
    advance_events(channel_id: &str, cursor: &str, messages: &[OutboxRow]) -> ();
    /// Sends again; false when it waits already.
    replay(channel_id: &str, message_id: &str, now_ms: i64) -> bool;
    /// Drops what was decided for a channel while it was removed.
    drop_orphans() -> ();
    /// Makes due what is to wait longer than anything may.
    bring_back(channel_id: &str, now_ms: i64, longest_ms: i64) -> ();
    /// Gives up the oldest of what waits beyond a number; how many.
    give_up_oldest(channel_id: &str, kept: i64, now_ms: i64) -> u64;
    /// Drops what was finished before a time, and the oldest of what is finished beyond a number.
    drop_finished(channel_id: &str, before_ms: i64, kept: i64) -> ();
}
