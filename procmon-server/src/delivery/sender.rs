//! The task that sends. Everything it does is in the store: when it is killed, what was not marked as sent is sent again, with
//! the same id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::directory::Directory;
use super::lane::{Lane, Work};
use super::{resend, schedule, stats};
use crate::store::{AttemptRow, Finished, MessageState, OutboxRow, StoreError};

/// Between two looks at the clock; what is new is sent at once.
const TICK: Duration = Duration::from_millis(250);
/// In ticks: dropping what is old, and counting what waits.
const TIDY_EVERY: u64 = 120;
/// For attempts under way to end at the shutdown. What is cut off is sent again.
const GRACE: Duration = Duration::from_secs(2);
/// Writing down what came of an attempt is tried so often, and so much later.
const MARKS: usize = 5;
const MARK_PAUSE: Duration = Duration::from_secs(1);
/// Deliveries are listed for so long, and at most so many of a channel.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
const KEPT: i64 = 2_000;
/// Messages that may wait for a channel. Beyond them the oldest is given up.
const MAX_WAITING: i64 = 10_000;

/// An attempt has ended.
#[derive(Debug)]
struct Ended {
    channel_id: String,
    order_key: Option<String>,
    paused_until_ms: Option<i64>,
    /// What came of it cannot be written down, because another server has taken the database.
    taken: bool,
}

/// Runs until the shutdown.
pub async fn run(directory: Arc<Directory>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut sender = Sender {
        directory,
        lanes: HashMap::new(),
        attempts: JoinSet::new(),
        tidied: None,
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => count += 1,
            () = sender.directory.woken() => {}
            Some(ended) = sender.attempts.join_next() => match ended {
                Ok(Ended { taken: true, .. }) => return Err(StoreError::Taken).context(STOPS),
                Ok(ended) => sender.ended(&ended),
                Err(error) => return Err(anyhow::Error::new(error).context("an attempt to deliver panicked")),
            },
            () = shutdown.cancelled() => break,
        }
        // The store may be slow: that must not keep the server from stopping.
        tokio::select! {
            started = sender.start_what_is_due(count) => started.context(STOPS)?,
            () = shutdown.cancelled() => break,
        }
    }
    let drain = async { while sender.attempts.join_next().await.is_some() {} };
    if timeout(GRACE, drain).await.is_err() {
        tracing::info!("deliveries under way are cut off; they are made again at the next start");
    }
    Ok(())
}

const STOPS: &str = "nothing more is sent from here";

struct Sender {
    directory: Arc<Directory>,
    /// One for each channel, bounded by their number.
    lanes: HashMap<String, Lane>,
    attempts: JoinSet<Ended>,
    /// Tick of the last tidying up.
    tidied: Option<u64>,
}

impl Sender {
    /// An error says that another server has taken the database.
    async fn start_what_is_due(&mut self, tick: u64) -> Result<(), StoreError> {
        let tidy_due = |tidied: u64| tick - tidied >= TIDY_EVERY;
        if self.tidied.is_none_or(tidy_due) {
            self.tidied = Some(tick);
            self.tidy().await?;
        }
        let dirty = self.directory.take_dirty();
        let channels = self.directory.channels();
        self.lanes
            .retain(|channel_id, _| channels.iter().any(|channel| channel.id() == channel_id));
        for channel in channels.iter() {
            let lane = self.lanes.entry(channel.id().to_owned()).or_default();
            if dirty.contains(channel.id()) {
                lane.forget();
            }
            if !channel.row.enabled {
                continue;
            }
            while let Some(work) = lane.next(&self.directory, channel).await? {
                let (directory, channel) = (Arc::clone(&self.directory), Arc::clone(channel));
                self.attempts.spawn(do_work(directory, channel, work));
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: &Ended) {
        if let Some(lane) = self.lanes.get_mut(&ended.channel_id) {
            lane.ended(ended.order_key.as_deref(), ended.paused_until_ms);
        }
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        match tidy(&self.directory).await {
            Err(StoreError::Taken) => Err(StoreError::Taken),
            Err(error) => {
                tracing::warn!(%error, "old deliveries cannot be dropped");
                stats::add(&self.directory.stats.store_failures, 1);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

async fn tidy(directory: &Directory) -> Result<(), StoreError> {
    let rows = directory.store.delivery();
    let now_ms = directory.clock.now_ms();
    for channel in directory.channels().iter() {
        let id = channel.id();
        let given_up = rows.give_up_oldest(id, MAX_WAITING, now_ms).await?;
        if given_up > 0 {
            tracing::warn!(
                channel = channel.row.name,
                given_up,
                "too many messages wait: the oldest are given up"
            );
            stats::add(&directory.stats.overflowed, given_up);
        }
        // By a clock that was ahead, and has been put right.
        rows.bring_back(id, now_ms, schedule::LONGEST_MS).await?;
        rows.drop_finished(id, now_ms - KEPT_MS, KEPT).await?;
    }
    let waiting = rows.waiting().await?;
    let waiting: i64 = waiting.iter().map(|(_, count)| count).sum();
    let gauge = &directory.stats.waiting;
    gauge.store(waiting as u64, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

async fn do_work(directory: Arc<Directory>, channel: Arc<Channel>, work: Work) -> Ended {
    let channel_id = channel.id().to_owned();
    match work {
        Work::Reminder(firing) => {
            resend::remind(&directory, &channel, firing).await;
            Ended {
                channel_id,
                order_key: None,
                paused_until_ms: None,
                taken: false,
            }
        }
        Work::Message(message) => {
            let attempted = attempt(&directory, &channel, &message).await;
            Ended {
                channel_id,
                order_key: Some(message.order_key),
                taken: attempted.is_err(),
                paused_until_ms: attempted.unwrap_or_default(),
            }
        }
    }
}

/// Sends a message and writes down what came of it; until when the channel is to be left alone, if so. An error says that
/// another server has taken the database.
async fn attempt(
    directory: &Directory,
    channel: &Channel,
    message: &OutboxRow,
) -> Result<Option<i64>, StoreError> {
    const GONE: u16 = 410;
    let begun_ms = directory.clock.now_ms();
    let early = begun_ms < message.next_attempt_ms;
    let answer = directory.http.send(channel, message, begun_ms).await;
    let now_ms = directory.clock.now_ms();
    let delivered = answer.is_success();
    let result = answer.result;
    directory
        .stats
        .attempted(channel.kind, delivered, result.latency_ms);
    // A receiver that has too much says until when, for all that it is sent.
    let asked_ms = answer
        .retry_after
        .filter(|_| matches!(result.status, Some(429 | 503)));
    let asked_ms = asked_ms.and_then(|text| schedule::retry_after_ms(&text, now_ms));
    let retry = schedule::next_attempt(&message.message_id, message.step, now_ms, asked_ms);
    let gone = result.status == Some(GONE);
    let (state, next_attempt_ms, step) = match retry {
        _ if delivered => (MessageState::Delivered, now_ms, message.step),
        // Tried before its time, because another one is behind it: its own time still comes.
        _ if early && !gone => (
            MessageState::Pending,
            message
                .next_attempt_ms
                .max(now_ms + asked_ms.unwrap_or_default()),
            message.step,
        ),
        Some((at_ms, step)) if !gone => (MessageState::Pending, at_ms, step),
        _ => (MessageState::Dead, now_ms, message.step),
    };
    if state == MessageState::Dead {
        stats::add(&directory.stats.dead, 1);
        tracing::warn!(
            channel = channel.row.name,
            message_id = message.message_id,
            error = result.error,
            "a message is given up"
        );
    }
    let finished = Finished {
        attempt: AttemptRow {
            message_id: message.message_id.clone(),
            attempt: message.attempts + 1,
            at_ms: now_ms,
            result,
        },
        state,
        next_attempt_ms,
        step,
    };
    let marked = mark(directory, &finished).await?;
    if gone {
        let at = crate::clock::rfc3339_ms(now_ms);
        let reason = format!("it answered 410 Gone at {at}: nothing more is to be sent there");
        if let Err(error) = directory.disable(channel.id(), &reason).await {
            tracing::warn!(%error, "a channel that is gone cannot be disabled");
        }
    } else if delivered && message_may_have_waited(directory, channel).await.is_err() {
        stats::add(&directory.stats.store_failures, 1);
    }
    let wait_ms = asked_ms.filter(|_| !delivered);
    let wait_ms = wait_ms.or((!marked).then_some(MARK_PAUSE.as_millis() as i64 * 10));
    Ok(wait_ms.map(|wait_ms| now_ms + wait_ms))
}

/// Somebody is there: what found nobody before need not wait any longer.
async fn message_may_have_waited(
    directory: &Directory,
    channel: &Channel,
) -> Result<(), StoreError> {
    let now_ms = directory.clock.now_ms();
    let rows = directory.store.delivery();
    rows.hasten_unanswered(channel.id(), now_ms).await?;
    Ok(())
}

/// Without this the message would be sent again at once, and again. While nothing can be stored it keeps its place in the lane,
/// so that a receiver gets it once more after a restart, and not every few seconds. False when it is refused for another reason.
async fn mark(directory: &Directory, finished: &Finished) -> Result<bool, StoreError> {
    let mut refused = 0;
    let mut told = false;
    while refused < MARKS {
        let Err(error) = directory.store.delivery().finish(finished).await else {
            return Ok(true);
        };
        match error {
            StoreError::Taken => return Err(error),
            StoreError::Full | StoreError::Busy | StoreError::Unavailable(_) => {}
            _ => refused += 1,
        }
        stats::add(&directory.stats.store_failures, 1);
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "what came of a delivery cannot be written down; it is tried again");
        }
        sleep(MARK_PAUSE).await;
    }
    Ok(false)
}
