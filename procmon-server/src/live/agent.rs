//! What is known of an agent itself.

use std::collections::{BTreeMap, VecDeque};

use procmon_common::ids::BootId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kept;
use crate::batch::{Loss, Totals};
use crate::store::{AgentRow, Door};

/// An agent is stale when it was silent for that many intervals, and at least [`STALE_FLOOR_MS`].
const STALE_INTERVALS: i64 = 3;
const STALE_FLOOR_MS: i64 = 15_000;
/// Its processes stay listed for that long after.
const LISTED_WHEN_STALE_MS: i64 = 600_000;
/// A clock further off than that is called skewed.
const SKEW_MS: u64 = 5_000;
/// What happened so shortly before an agent's last batch may be missing in it: an exit waits that long for its totals.
pub(super) const UNSENT_NS: i64 = 200_000_000;
/// Why nothing was seen in a gap between two runs.
pub(super) const AGENT_DOWN: &str = "agent_down";
/// Gaps remembered per agent; older ones are in the events of type `loss`.
const GAPS: usize = 100;
/// Batches over which the clock's offset is estimated when agents do not say when they sent.
const OFFSET_BATCHES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentStatus {
    Live,
    Stale,
}

/// What the agent reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    pub version: Option<String>,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    pub probe: Option<String>,
    pub probe_reason: Option<String>,
    pub drops: BTreeMap<String, u64>,
    pub events: BTreeMap<String, u64>,
    pub labels: BTreeMap<String, String>,
    pub spool_bytes: Option<u64>,
    pub spool_max_bytes: Option<u64>,
    pub rss_bytes: Option<u64>,
    pub cpu_time_ns: Option<u64>,
    pub sample_ns: Option<u64>,
    pub covered_since_ns: Option<i64>,
    pub redactions: Option<u64>,
    /// What it gave up to keep its limits.
    pub degraded: Vec<String>,
    pub mem_limit_bytes: Option<u64>,
    pub ring_used_bytes: Option<u64>,
    pub ring_bytes: Option<u64>,
    /// Where it slowed down to keep its budget.
    pub effective_interval_ms: Option<u32>,
    /// It went on with the rings of the run before, of which none was lost.
    pub continued: bool,
}

/// A time in which something was not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    pub until_ns: i64,
    pub loss: Loss,
}

impl Gap {
    /// No agent ran, or none that saw everything.
    pub fn is_agent_down(&self) -> bool {
        &*self.loss.reason == AGENT_DOWN
    }
}

#[derive(Clone, Debug, Default)]
pub struct Agent {
    pub door: Door,
    pub machine_id: Vec<u8>,
    pub boot_id: Option<BootId>,
    pub interval_ms: u32,
    /// Server time.
    pub first_seen_ms: i64,
    pub last_seen_ms: i64,
    /// From the newest batch built until it arrived, the clock's offset taken out.
    pub lag_ms: Option<i64>,
    /// How far the host's clock is ahead of the server's.
    pub clock_offset_ms: i64,
    pub health: Health,
    /// When its newest batch was built, by the host's clock.
    pub last_built_ms: i64,
    pub totals: Option<Totals>,
    pub gaps: VecDeque<Gap>,
    offsets: VecDeque<i64>,
}

impl Agent {
    pub fn from_row(row: &AgentRow) -> Self {
        let mut agent = Self {
            door: row.door,
            machine_id: row.machine_id.clone(),
            boot_id: BootId::from_bytes(&row.boot_id),
            interval_ms: row.interval_ms,
            first_seen_ms: row.first_seen_ms,
            last_seen_ms: row.last_seen_ms,
            clock_offset_ms: row.clock_offset_ms,
            ..Self::default()
        };
        kept::from_text(&row.health, &mut agent);
        agent
    }

    pub fn to_row(&self, agent_id: &str) -> AgentRow {
        AgentRow {
            agent_id: agent_id.to_owned(),
            first_seen_ms: self.first_seen_ms,
            last_seen_ms: self.last_seen_ms,
            door: self.door,
            machine_id: self.machine_id.clone(),
            boot_id: self.boot_id.map_or_else(Vec::new, |boot| boot.0.to_vec()),
            interval_ms: self.interval_ms,
            clock_offset_ms: self.clock_offset_ms,
            health: kept::to_text(self),
        }
    }

    /// Whether anything of it was ever accepted.
    pub fn heard(&self) -> bool {
        self.first_seen_ms != 0
    }

    /// How long it may be silent.
    pub fn patience_ms(&self) -> i64 {
        let interval_ms = self
            .interval_ms
            .max(self.health.effective_interval_ms.unwrap_or(0));
        (i64::from(interval_ms) * STALE_INTERVALS).max(STALE_FLOOR_MS)
    }

    pub fn status(&self, now_ms: i64) -> AgentStatus {
        if now_ms - self.last_seen_ms > self.patience_ms() {
            AgentStatus::Stale
        } else {
            AgentStatus::Live
        }
    }

    /// Silent for so long that its processes are no longer listed.
    pub(super) fn gone(&self, now_ms: i64) -> bool {
        now_ms - self.last_seen_ms > self.patience_ms() + LISTED_WHEN_STALE_MS
    }

    pub fn skewed(&self) -> bool {
        self.clock_offset_ms.unsigned_abs() > SKEW_MS
    }

    /// A time of the host by the server's clock, where the two are known to disagree.
    pub fn server_time_ns(&self, host_ns: i64) -> i64 {
        if self.skewed() {
            host_ns.saturating_sub(self.clock_offset_ms.saturating_mul(1_000_000))
        } else {
            host_ns
        }
    }

    /// Notes when a batch was built, sent (by the host's clock) and received (by the server's). Without a time of sending
    /// the offset is that of the batch that waited least.
    pub fn note_times(&mut self, built_ms: i64, sent_ms: Option<i64>, received_ms: i64) {
        self.clock_offset_ms = if let Some(sent_ms) = sent_ms {
            sent_ms.saturating_sub(received_ms)
        } else {
            if self.offsets.len() == OFFSET_BATCHES {
                self.offsets.pop_front();
            }
            self.offsets.push_back(built_ms.saturating_sub(received_ms));
            self.offsets.iter().max().copied().unwrap_or(0)
        };
        // Below the resolution of a request's way there is nothing to take out.
        let offset_ms = if self.skewed() {
            self.clock_offset_ms
        } else {
            0
        };
        let lag_ms = received_ms
            .saturating_sub(built_ms)
            .saturating_add(offset_ms);
        self.lag_ms = Some(lag_ms.max(0));
    }

    /// Takes over what the agent says of itself. Between the last batch of one run and the first of the next nobody
    /// looked: that is a gap, unless its rings went on and cover that time. What was covered before stays covered. The gap
    /// begins where an agent that was killed may have had something that was in no batch yet.
    pub fn note_health(&mut self, health: Health) {
        let covered_since = (self.health.covered_since_ns, health.covered_since_ns);
        let continued = health.continued;
        self.health = health;
        let (Some(earlier), Some(began)) = covered_since else {
            return;
        };
        self.health.covered_since_ns = Some(earlier.min(began));
        if continued {
            // A restart of the server cannot know that the run which went on meanwhile covers the time before it.
            self.gaps
                .retain(|gap| &*gap.loss.reason != AGENT_DOWN || gap.loss.from_ns < began);
        }
        let last_built_ns = self.last_built_ms.saturating_mul(1_000_000);
        if continued && began < last_built_ns.saturating_add(1_000_000) {
            return;
        }
        if self.last_built_ms != 0 && began > last_built_ns {
            let from_ns = last_built_ns.saturating_sub(UNSENT_NS);
            let loss = Loss {
                kind: "agent".into(),
                reason: AGENT_DOWN.into(),
                count: 1,
                from_ns,
                ..Loss::default()
            };
            self.note_loss(&loss, began);
        }
    }

    pub fn note_loss(&mut self, loss: &Loss, until_ns: i64) {
        if self.gaps.len() == GAPS {
            self.gaps.pop_front();
        }
        self.gaps.push_back(Gap {
            until_ns,
            loss: loss.clone(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_waited_is_not_a_clock_that_is_off() {
        let mut agent = Agent::default();
        agent.note_times(1_000, None, 61_000);
        agent.note_times(61_000, None, 61_010);
        assert!(!agent.skewed());
        agent.note_times(2_000, Some(62_000), 62_005);
        assert_eq!((agent.skewed(), agent.lag_ms), (false, Some(60_005)));
        agent.note_times(9_062_000, Some(9_062_000), 62_005);
        assert!(agent.skewed());
        assert_eq!(agent.lag_ms, Some(0));
    }

    #[test]
    fn a_restart_of_the_agent_is_a_gap() {
        let since = |covered_since_ns| Health {
            covered_since_ns: Some(covered_since_ns),
            ..Health::default()
        };
        let mut agent = Agent::default();
        agent.note_health(since(1_000_000_000));
        agent.last_built_ms = 5_000;
        agent.note_health(since(1_000_000_000));
        assert!(agent.gaps.is_empty(), "the same run goes on");
        agent.note_health(since(9_000_000_000));
        let gap = &agent.gaps[0];
        assert_eq!(
            (gap.loss.from_ns, gap.until_ns),
            (4_800_000_000, 9_000_000_000),
            "an exit waits for its totals before it is in a batch"
        );
        assert_eq!(agent.health.covered_since_ns, Some(1_000_000_000));
    }

    #[test]
    fn a_restart_with_pinned_rings_is_no_gap_where_they_cover_the_time() {
        let run = |covered_since_ns, continued| Health {
            covered_since_ns: Some(covered_since_ns),
            continued,
            ..Health::default()
        };
        let mut agent = Agent::default();
        agent.note_health(run(1_000_000_000, false));
        agent.last_built_ms = 5_000;
        agent.note_health(run(5_000_400_000, true));
        assert!(
            agent.gaps.is_empty(),
            "covered to the millisecond that the server knows"
        );
        agent.note_health(run(7_000_000_000, true));
        assert_eq!(
            agent.gaps.len(),
            1,
            "the rings began later than the last batch"
        );
    }

    #[test]
    fn staleness_has_a_floor() {
        let mut agent = Agent {
            interval_ms: 1_000,
            last_seen_ms: 100_000,
            ..Agent::default()
        };
        assert_eq!(agent.status(115_000), AgentStatus::Live);
        assert_eq!(agent.status(115_001), AgentStatus::Stale);
        agent.interval_ms = 10_000;
        assert_eq!(agent.status(130_000), AgentStatus::Live);
    }
}
