//! Why there is nothing to show: every stretch of time without a value has a reason.

use procmon_common::ids::ProcessId;
use serde::Serialize;
use utoipa::ToSchema;

use super::range::Range;
use crate::clock::rfc3339_ms;
use crate::store::history::{HostSamples, LifeSamples};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// Nobody looked: the agent did not run, or cannot be reached.
    AgentDown,
    /// Samples were taken, and lost before they were stored.
    Dropped,
    /// The process had not begun.
    NotStarted,
    /// The process had ended.
    Exited,
    /// It is not known; and where a step is shorter than the agent's interval, between two samples.
    NoData,
}

/// A stretch of time without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) range: Range,
    pub(super) reason: Reason,
}

/// A stretch of time without a value.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Gap)]
pub(super) struct GapBody {
    pub from: String,
    pub to: String,
    /// `agent_down`, `dropped`, `not_started`, `exited` or `no_data`.
    pub reason: Reason,
}

/// When a host was not watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages {
    pub(super) agent_down: Vec<Range>,
    pub(super) dropped: Vec<Range>,
}

/// When a process was there, as far as the range asked for tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) from_ms: i64,
    /// None: it did not end within what is known.
    pub(super) to_ms: Option<i64>,
}

impl Presence {
    /// From its samples: it ended after the last one that it was in, where the host was sampled soon after without it.
    pub(super) fn of(life: &LifeSamples, samples: &HostSamples, silence_ms: i64) -> Option<Self> {
        let times = &samples.sample_ms;
        let (first_ms, last_ms) = (*times.get(life.first)?, *times.get(life.last)?);
        let started_ms = life.life.started_ns.map(|ns| ns.div_euclid(1_000_000));
        let sampled_before = life
            .first
            .checked_sub(1)
            .and_then(|before| times.get(before));
        let from_ms = match (started_ms, sampled_before) {
            (Some(started_ms), _) => started_ms,
            (None, Some(_)) => first_ms,
            (None, None) => i64::MIN,
        };
        let to_ms = times.get(life.last + 1).map(|next_ms| {
            if next_ms.saturating_sub(last_ms) > silence_ms {
                *next_ms
            } else {
                last_ms
            }
        });
        Some(Self { from_ms, to_ms })
    }

    fn covers(self, ms: i64) -> bool {
        self.from_ms <= ms && self.to_ms.is_none_or(|to_ms| ms < to_ms)
    }
}

/// The start of a process by its id alone, where the host's boot is known to be the one that the id names.
pub(super) fn started_ms(id: ProcessId, boot: Option<(u32, i64)>) -> Option<i64> {
    use procmon_common::ids::{Start, TICKS_PER_SECOND};
    match (id.start, boot) {
        (Start::Upload { first_seen_ms }, _) => Some(first_seen_ms),
        (Start::Booted { ticks, boot }, Some((known, boot_ms))) if boot == known => {
            let since_boot_ms = i64::try_from(ticks / TICKS_PER_SECOND * 1_000).ok()?;
            let rest_ms = (ticks % TICKS_PER_SECOND * 1_000 / TICKS_PER_SECOND) as i64;
            boot_ms.checked_add(since_boot_ms)?.checked_add(rest_ms)
        }
        _ => None,
    }
}

/// Says of holes why they are. Holes end where the reason changes; a rest too short to mean anything joins its neighbour.
pub(super) fn explain(
    holes: &[Range],
    lives: &[Presence],
    outages: &Outages,
    silence_ms: i64,
) -> Vec<Hole> {
    let mut edges: Vec<i64> = lives
        .iter()
        .flat_map(|life| [Some(life.from_ms), life.to_ms])
        .flatten()
        .collect();
    let outages_both = outages.agent_down.iter().chain(&outages.dropped);
    edges.extend(outages_both.flat_map(|range| [range.from_ms, range.to_ms]));
    edges.sort_unstable();
    edges.dedup();
    let mut explained: Vec<Hole> = Vec::new();
    for hole in holes {
        let begin = explained.len();
        let mut from_ms = hole.from_ms;
        let inside = edges.iter().copied().chain([hole.to_ms]);
        for to_ms in inside.filter(|edge| hole.from_ms < *edge && *edge <= hole.to_ms) {
            if to_ms > from_ms {
                let reason = reason(from_ms, lives, outages);
                add(
                    &mut explained,
                    begin,
                    Hole {
                        range: Range { from_ms, to_ms },
                        reason,
                    },
                );
                from_ms = to_ms;
            }
        }
        absorb(&mut explained, begin, silence_ms);
    }
    explained
}

fn reason(ms: i64, lives: &[Presence], outages: &Outages) -> Reason {
    let within = |ranges: &[Range]| {
        ranges
            .iter()
            .any(|range| (range.from_ms..range.to_ms).contains(&ms))
    };
    let alive = lives.is_empty() || lives.iter().any(|life| life.covers(ms));
    if !alive {
        let begun = lives.iter().any(|life| life.from_ms <= ms);
        return if begun {
            Reason::Exited
        } else {
            Reason::NotStarted
        };
    }
    if within(&outages.agent_down) {
        Reason::AgentDown
    } else if within(&outages.dropped) {
        Reason::Dropped
    } else {
        Reason::NoData
    }
}

fn add(holes: &mut Vec<Hole>, begin: usize, hole: Hole) {
    let before = holes[begin..].last_mut();
    match before {
        Some(before) if before.reason == hole.reason => before.range.to_ms = hole.range.to_ms,
        _ => holes.push(hole),
    }
}

/// Between the last sample and what explains its being the last there is always a moment.
fn absorb(holes: &mut Vec<Hole>, begin: usize, silence_ms: i64) {
    let mut index = begin;
    while holes.len() - begin > 1 && index < holes.len() {
        let hole = holes[index];
        if hole.reason != Reason::NoData || hole.range.length_ms() > silence_ms {
            index += 1;
            continue;
        }
        holes.remove(index);
        if index < holes.len() {
            holes[index].range.from_ms = hole.range.from_ms;
        } else if let Some(before) = holes.last_mut() {
            before.range.to_ms = hole.range.to_ms;
        }
        // Its neighbours may be of one kind now.
        if index > begin && index < holes.len() && holes[index - 1].reason == holes[index].reason {
            holes[index - 1].range.to_ms = holes[index].range.to_ms;
            holes.remove(index);
        }
        index = begin;
    }
}

impl GapBody {
    /// `ahead_ms`: how far the hole's clock is ahead of the one to show.
    pub(super) fn new(hole: &Hole, ahead_ms: i64) -> Self {
        Self {
            from: rfc3339_ms(hole.range.from_ms.saturating_sub(ahead_ms)),
            to: rfc3339_ms(hole.range.to_ms.saturating_sub(ahead_ms)),
            reason: hole.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from_ms: i64, to_ms: i64) -> Range {
        Range { from_ms, to_ms }
    }

    fn hole(from_ms: i64, to_ms: i64, reason: Reason) -> Hole {
        Hole {
            range: range(from_ms, to_ms),
            reason,
        }
    }

    #[test]
    fn holes_are_cut_where_the_reason_changes() {
        let lives = [
            Presence {
                from_ms: 100,
                to_ms: Some(500),
            },
            Presence {
                from_ms: 700,
                to_ms: None,
            },
        ];
        let outages = Outages {
            agent_down: vec![range(200, 300)],
            dropped: vec![range(800, 900)],
        };
        let explained = explain(
            &[range(0, 150), range(190, 310), range(450, 1_000)],
            &lives,
            &outages,
            20,
        );
        assert_eq!(
            explained,
            [
                hole(0, 100, Reason::NotStarted),
                hole(100, 150, Reason::NoData),
                hole(190, 310, Reason::AgentDown),
                hole(450, 500, Reason::NoData),
                hole(500, 700, Reason::Exited),
                hole(700, 800, Reason::NoData),
                hole(800, 900, Reason::Dropped),
                hole(900, 1_000, Reason::NoData),
            ]
        );
    }

    #[test]
    fn a_process_that_is_not_known_has_the_hosts_reasons() {
        let outages = Outages {
            agent_down: vec![range(0, 50)],
            ..Outages::default()
        };
        let explained = explain(&[range(0, 100)], &[], &outages, 20);
        assert_eq!(
            explained,
            [
                hole(0, 50, Reason::AgentDown),
                hole(50, 100, Reason::NoData)
            ]
        );
    }
}
