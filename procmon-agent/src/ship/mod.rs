//! Sends the batches of the spool to the server, one at a time and in order. Only this module talks HTTP.
//!
//! The server's answer decides what becomes of a batch: stored, refused for good (quarantine), or to be sent again. While
//! it cannot be delivered the spool grows, and nothing else changes.

mod client;
mod state;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use procmon_common::config::Secret;
use procmon_common::wire::{self, Ack};
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::spool::{SpoolReader, SpooledBatch};

use client::{Answer, Client};
pub(crate) use client::{Unreachable, base_url, http_client};
pub use state::{Link, ShipState};

/// Where to send, and as whom.
#[derive(Clone, Debug)]
pub struct ShipTarget {
    /// `http://host:port`, perhaps with a path before `/api`.
    pub server_url: String,
    pub agent_id: String,
    pub token: Option<Secret>,
    pub timing: ShipTiming,
}

impl ShipTarget {
    pub fn new(server_url: String, agent_id: String, token: Option<Secret>) -> Self {
        Self {
            server_url,
            agent_id,
            token,
            timing: ShipTiming::default(),
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct ShipTiming {
    pub connect: Duration,
    /// From the first byte sent to the last one received.
    pub request: Duration,
    pub first_retry: Duration,
    pub longest_retry: Duration,
    /// Between attempts where only an operator can help.
    pub held_retry: Duration,
    /// What a server may ask for with `Retry-After`.
    pub longest_retry_after: Duration,
    /// What a shutdown waits for.
    pub flush: Duration,
}

impl Default for ShipTiming {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(15),
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(5),
            held_retry: Duration::from_secs(5),
            longest_retry_after: Duration::from_mins(1),
            flush: Duration::from_secs(5),
        }
    }
}

/// Ships until `shutdown`, then what is left in the spool, for as long as the server takes it and at most for the time of
/// a flush. What is not delivered stays in the spool.
pub async fn run(
    reader: SpoolReader,
    mut targets: Receiver<ShipTarget>,
    state: Arc<ShipState>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let target = targets.borrow_and_update().clone();
    let flush = target.timing.flush;
    let mut shipping = Shipping {
        client: Client::new(&target)?,
        reader,
        target,
        targets,
        state,
        sender: None,
        awaits_key: false,
    };
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(flush).await;
    };
    tokio::select! {
        () = shipping.ship(&shutdown) => {}
        () = deadline => {}
    }
    let left = shipping.reader.pending();
    if left > 0 {
        tracing::warn!(
            "{left} batches are not delivered; they stay in the spool for the next start"
        );
    }
    Ok(())
}

struct Shipping {
    client: Client,
    reader: SpoolReader,
    target: ShipTarget,
    /// Targets that replace it while the agent runs.
    targets: Receiver<ShipTarget>,
    state: Arc<ShipState>,
    /// The agent id in the batches of an epoch: that of an earlier run may have been another.
    sender: Option<(u64, String)>,
    /// A key batch was asked for and is on its way: until then the server repeats its wish with every answer.
    awaits_key: bool,
}

/// What to do after an answer.
enum Then {
    Continue,
    RetryAfter(Duration),
}

impl Shipping {
    async fn ship(&mut self, shutdown: &CancellationToken) {
        loop {
            let batch = tokio::select! {
                batch = self.reader.next() => batch,
                () = shutdown.cancelled() => match self.reader.try_next() {
                    Some(batch) => batch,
                    None => return,
                },
            };
            if !self.deliver(&batch, shutdown).await {
                return;
            }
        }
    }

    /// Sends a batch until it has been answered for. False when a shutdown ended that.
    async fn deliver(&mut self, batch: &SpooledBatch, shutdown: &CancellationToken) -> bool {
        let sender = self.sender_of(batch);
        let mut failures = 0;
        loop {
            self.retarget();
            let answer = self.client.send(&sender, batch).await;
            match self.judge(batch, &sender, answer, failures) {
                Then::Continue => return true,
                Then::RetryAfter(delay) => {
                    failures += 1;
                    self.state.count_retry();
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = changed(&mut self.targets) => {}
                        () = shutdown.cancelled() => return false,
                    }
                }
            }
        }
    }

    /// Takes over another server or token.
    fn retarget(&mut self) {
        if !self.targets.has_changed().unwrap_or(false) {
            return;
        }
        let target = self.targets.borrow_and_update().clone();
        match Client::new(&target) {
            Ok(client) => (self.client, self.target) = (client, target),
            Err(error) => {
                tracing::error!(
                    "cannot use the new server_url or token: {error:#}; the old ones stay"
                );
            }
        }
    }

    fn judge(&mut self, batch: &SpooledBatch, sender: &str, answer: Answer, failures: u32) -> Then {
        match answer {
            Answer::Stored { ack, .. }
                if ack.epoch != batch.epoch || ack.durable_seq < batch.seq =>
            {
                let reason = "it answered, but did not store the batch".to_owned();
                self.cannot_deliver(&reason, failures)
            }
            Answer::Stored {
                ack,
                latency,
                offset_ms,
            } => {
                self.state
                    .count_shipped(batch.payload.len(), latency, offset_ms);
                self.stored(batch, &ack);
                Then::Continue
            }
            Answer::Refused(reason) => {
                self.refused(batch, &reason);
                Then::Continue
            }
            // What an earlier run left under another name must not stop what this one sees.
            Answer::Held { reason, .. } if sender != self.target.agent_id => {
                self.refused(batch, &reason);
                Then::Continue
            }
            Answer::Held { reason, fix } => {
                let held = Link::Held(format!("{reason}. {fix}"));
                self.state
                    .enter(&held, &self.target.server_url, self.reader.pending());
                Then::RetryAfter(self.target.timing.held_retry)
            }
            Answer::Busy {
                reason,
                retry_after,
            } => match (self.cannot_deliver(&reason, failures), retry_after) {
                (_, Some(wish)) => {
                    Then::RetryAfter(wish.min(self.target.timing.longest_retry_after))
                }
                (then, None) => then,
            },
        }
    }

    fn stored(&mut self, batch: &SpooledBatch, ack: &Ack) {
        // Batches of this run go out one after the other: a server that claims to have later ones cannot, and would
        // have them dropped unsent. Of an earlier run it may well have more than was told.
        let seq = if self.reader.is_of_this_run(ack.epoch) {
            batch.seq
        } else {
            ack.durable_seq
        };
        self.reader.ack(ack.epoch, seq);
        self.state.enter(
            &Link::Connected,
            &self.target.server_url,
            self.reader.pending(),
        );
        if batch.key {
            self.awaits_key = false;
        }
        if ack.resync && !self.awaits_key {
            self.awaits_key = true;
            self.state.ask_resync();
        }
        if !ack.resync {
            self.awaits_key = false;
        }
    }

    fn refused(&mut self, batch: &SpooledBatch, reason: &str) {
        let count = self.state.count_quarantined();
        // One line for each would be a flood where every batch is refused.
        if count.is_power_of_two() {
            tracing::error!(
                "the server refused batch {} of epoch {}: {reason}. It is kept in the folder `quarantine` of the spool, \
                 and counted as lost ({count} so far)",
                batch.seq,
                batch.epoch
            );
        }
        self.reader.quarantine();
        // The deltas that follow have lost their base.
        self.awaits_key = true;
        self.state.ask_resync();
    }

    fn cannot_deliver(&self, reason: &str, failures: u32) -> Then {
        // A connection that was closed while idle costs one attempt, and is not worth a line.
        if failures > 0 {
            let lost = Link::Unreachable(reason.to_owned());
            self.state
                .enter(&lost, &self.target.server_url, self.reader.pending());
        }
        Then::RetryAfter(backoff(&self.target.timing, failures))
    }

    fn sender_of(&mut self, batch: &SpooledBatch) -> String {
        if let Some((epoch, agent_id)) = &self.sender
            && *epoch == batch.epoch
        {
            return agent_id.clone();
        }
        let agent_id = wire::decode(&batch.payload, wire::MAX_DECODED_BYTES)
            .ok()
            .map(|content| content.agent_id)
            .filter(|agent_id| procmon_common::ids::valid_agent_id(agent_id))
            .unwrap_or_else(|| self.target.agent_id.clone());
        self.sender = Some((batch.epoch, agent_id.clone()));
        agent_id
    }
}

/// Until there is another target, which may be never.
async fn changed(targets: &mut Receiver<ShipTarget>) {
    if targets.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    // It is taken over before the next attempt.
    targets.mark_changed();
}

/// Doubles with each failure, up to the longest; between half and all of that, so that agents do not come in step.
fn backoff(timing: &ShipTiming, failures: u32) -> Duration {
    let doubled = timing.first_retry.saturating_mul(1 << failures.min(16));
    let longest = doubled.min(timing.longest_retry);
    let random = RandomState::new().hash_one(failures) % 1024;
    longest.mul_f64(0.5 + random as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_limit() {
        let timing = ShipTiming::default();
        for (failures, longest_ms) in [(0, 50), (1, 100), (4, 800), (7, 5000), (1000, 5000)] {
            for _ in 0..50 {
                let delay = backoff(&timing, failures);
                assert!(delay <= Duration::from_millis(longest_ms), "{delay:?}");
                assert!(delay >= Duration::from_millis(longest_ms / 2), "{delay:?}");
            }
        }
    }
}
