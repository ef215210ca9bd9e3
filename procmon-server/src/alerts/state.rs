//! How an alert lives: Prometheus' states, and three deviations. Between the threshold and a recovery threshold a firing alert
//! goes on; data that are missing for two intervals change nothing; and while a host is silent its alerts stand still. Pure:
//! what was seen and what time it is come in, and nothing else is asked.

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    #[default]
    Inactive,
    /// Its condition holds, not yet for long enough.
    Pending,
    Firing,
    Resolved,
}

/// What an evaluation saw of an alert's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It holds.
    Present,
    /// It does not hold, and has not recovered either.
    Between,
    /// It does not hold.
    Absent,
    /// The host is heard, but what the condition looks at was not sampled.
    Missing,
    /// The host is silent, or what is known of it is old: whatever it shows is not how it is.
    Frozen,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    pub for_ms: i64,
    pub keep_firing_for_ms: i64,
    /// For so long data may be missing.
    pub tolerance_ms: i64,
    /// After its host was silent for so long it is over.
    pub keep_stale_for_ms: i64,
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its condition no longer holds.
    Condition,
    /// Nothing was heard of its host for `keep_stale_for`: whether its condition holds is not known.
    Stale,
    /// Its rule is deleted, disabled, or labelled otherwise.
    Rule,
}

/// One evaluation, and the time since the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub at_ms: i64,
    elapsed_ms: i64,
    /// How much of it counts: what was not looked at, or what a clock jumped over, does not.
    counted_ms: i64,
}

/// A time that goes on: when it began, and how much of what passed since does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    since_ms: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    uncounted_ms: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// How far an alert is. What of it has to be kept is kept with [`Self::differs`] from what was kept before; the rest is seen
/// anew after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub state: AlertState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active: Option<Stretch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at_ms: Option<i64>,
    /// It fires although its condition no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<Stretch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<Stretch>,
    /// From the last evaluation before its host fell silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frozen: Option<Stretch>,
    /// Why it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    #[serde(default)]
    pub last_present_ms: i64,
}

/// From one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub from: AlertState,
    pub to: AlertState,
    /// Of one that is over.
    pub ending: Option<Ending>,
}

impl Step {
    /// After an evaluation at `previous_ms`; of what passed since at most `most_ms` count, and nothing where the clock went back.
    pub fn after(previous_ms: Option<i64>, at_ms: i64, most_ms: i64) -> Self {
        let elapsed_ms = previous_ms.map_or(0, |previous_ms| at_ms.saturating_sub(previous_ms));
        Self {
            at_ms,
            elapsed_ms,
            counted_ms: elapsed_ms.clamp(0, most_ms),
        }
    }

    /// Whether more passed than can have passed between two evaluations, or less than nothing: the server was away, or its
    /// clock was set.
    pub fn is_disturbed(&self) -> bool {
        self.elapsed_ms != self.counted_ms
    }

    fn previous_ms(&self) -> i64 {
        self.at_ms.saturating_sub(self.elapsed_ms)
    }
}

impl Stretch {
    fn from(since_ms: i64) -> Self {
        Self {
            since_ms,
            uncounted_ms: 0,
        }
    }

    fn skip(&mut self, by_ms: i64) {
        self.uncounted_ms = self.uncounted_ms.saturating_add(by_ms);
    }

    fn lasted_ms(&self, at_ms: i64) -> i64 {
        at_ms
            .saturating_sub(self.since_ms)
            .saturating_sub(self.uncounted_ms)
    }
}

impl Progress {
    /// Since when the condition holds, through restarts of the server.
    pub fn active_at_ms(&self) -> Option<i64> {
        self.active.map(|active| active.since_ms)
    }

    /// Its host is silent, or what it looks at is not known yet.
    pub fn is_stale(&self) -> bool {
        self.frozen.is_some()
    }

    /// It is over, or never began.
    pub fn is_over(&self) -> bool {
        matches!(self.state, AlertState::Inactive | AlertState::Resolved)
    }

    /// Whether something of it has to be written down again.
    pub fn differs(&self, kept: &Self) -> bool {
        let without_time = |progress: &Self| Self {
            last_present_ms: 0,
            ..progress.clone()
        };
        without_time(self) != without_time(kept)
    }

    /// Takes in what an evaluation saw.
    pub fn advance(&mut self, sight: Sight, step: &Step, timing: &Timing) -> Option<Change> {
        if sight == Sight::Frozen {
            return self.freeze(step, timing);
        }
        let counted_ms = self.count(step);
        let sight = self.bridge(sight, step.at_ms, counted_ms, timing)?;
        let from = self.state;
        match (from, sight) {
            (AlertState::Inactive | AlertState::Resolved, Sight::Present) => {
                *self = Self {
                    state: AlertState::Pending,
                    active: Some(Stretch::from(step.at_ms)),
                    ..Self::default()
                };
                self.hold(step, timing);
            }
            (AlertState::Pending, Sight::Present) => self.hold(step, timing),
            (AlertState::Pending, _) => {
                self.state = AlertState::Inactive;
                self.active = None;
            }
            (AlertState::Firing, Sight::Present | Sight::Between) => self.gone = None,
            (AlertState::Firing, _) => {
                let gone = self.gone.get_or_insert(Stretch::from(step.at_ms));
                if gone.lasted_ms(step.at_ms) >= timing.keep_firing_for_ms {
                    self.state = AlertState::Resolved;
                    self.resolved_at_ms = Some(step.at_ms);
                    self.ending = Some(Ending::Condition);
                    self.gone = None;
                }
            }
            (AlertState::Inactive | AlertState::Resolved, _) => {}
        }
        if sight == Sight::Present {
            self.last_present_ms = step.at_ms;
        }
        let to = self.state;
        let ending = self.is_over().then_some(Ending::Condition);
        (from != to).then_some(Change { from, to, ending })
    }

    /// It stands still, for as long as it may.
    fn freeze(&mut self, step: &Step, timing: &Timing) -> Option<Change> {
        if self.is_over() {
            return None;
        }
        let since_ms = step.previous_ms();
        let frozen = self.frozen.get_or_insert(Stretch::from(since_ms));
        frozen.skip(step.elapsed_ms.saturating_sub(step.counted_ms));
        let is_old = frozen.lasted_ms(step.at_ms) >= timing.keep_stale_for_ms;
        is_old.then(|| self.end(step.at_ms, Ending::Stale))?
    }

    /// Ends it whatever it looks at.
    pub fn end(&mut self, at_ms: i64, ending: Ending) -> Option<Change> {
        let from = self.state;
        let to = match from {
            AlertState::Pending => AlertState::Inactive,
            AlertState::Firing => AlertState::Resolved,
            AlertState::Inactive | AlertState::Resolved => return None,
        };
        self.state = to;
        let is_resolved = to == AlertState::Resolved;
        self.resolved_at_ms = is_resolved.then_some(at_ms);
        self.ending = is_resolved.then_some(ending);
        (self.gone, self.missing, self.frozen) = (None, None, None);
        let ending = Some(ending);
        Some(Change { from, to, ending })
    }

    /// It holds: long enough?
    fn hold(&mut self, step: &Step, timing: &Timing) {
        let active = self.active.get_or_insert(Stretch::from(step.at_ms));
        if active.lasted_ms(step.at_ms) >= timing.for_ms {
            self.state = AlertState::Firing;
            self.fired_at_ms = Some(step.at_ms);
        }
    }

    /// Leaves out of all times what does not count: what passed while the host was silent, or more than the step may have been.
    /// Returns what counts of the step.
    fn count(&mut self, step: &Step) -> i64 {
        let (counted_ms, uncounted_ms) = match self.frozen.take() {
            Some(frozen) => (0, step.at_ms.saturating_sub(frozen.since_ms)),
            None => (
                step.counted_ms,
                step.elapsed_ms.saturating_sub(step.counted_ms),
            ),
        };
        let stretches = [&mut self.active, &mut self.gone, &mut self.missing];
        for stretch in stretches.into_iter().flatten() {
            stretch.skip(uncounted_ms);
        }
        counted_ms
    }

    /// Missing data change nothing for as long as is tolerated; then the condition no longer holds.
    fn bridge(
        &mut self,
        sight: Sight,
        at_ms: i64,
        counted_ms: i64,
        timing: &Timing,
    ) -> Option<Sight> {
        if sight != Sight::Missing {
            self.missing = None;
            return Some(sight);
        }
        if self.is_over() {
            return None;
        }
        // They were there at the evaluation before.
        let before_ms = at_ms.saturating_sub(counted_ms);
        let missing = self.missing.get_or_insert(Stretch::from(before_ms));
        let too_long = missing.lasted_ms(at_ms) > timing.tolerance_ms;
        too_long.then_some(Sight::Absent)
    }
}
