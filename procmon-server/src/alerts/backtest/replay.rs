//! The states that alerts would have gone through, evaluation by evaluation.

use super::presence::{Presence, Presences, Span};
use super::{Backtest, Episode};
use crate::alerts::book::TOLERATED_INTERVALS;
use crate::alerts::evaluate::labels_of_life;
use crate::alerts::rule::Rule;
use crate::alerts::state::{AlertState, Progress, Sight, Step, Timing};

/// Evaluations of single alerts in one backtest.
const MAX_EVALUATIONS: u64 = 20_000_000;

#[derive(Debug, Default)]
pub(super) struct Replayed {
    episodes: Vec<Episode>,
    flapping: usize,
    only_pending: usize,
    evaluations: u64,
}

impl Replayed {
    pub(super) fn is_too_much(&self) -> bool {
        self.evaluations > MAX_EVALUATIONS
    }

    pub(super) fn finish(mut self, hosts: usize) -> Backtest {
        self.episodes.sort_by_key(|episode| episode.fired_at_ms);
        Backtest {
            hosts,
            episodes: self.episodes,
            flapping: self.flapping,
            only_pending: self.only_pending,
        }
    }
}

/// Goes through the past of all processes of a host.
pub(super) fn replay(
    rule: &Rule,
    presences: &Presences,
    eval_interval_ms: i64,
    to_ms: i64,
    replayed: &mut Replayed,
) {
    let most_ms = TOLERATED_INTERVALS * eval_interval_ms;
    let timing = Timing {
        for_ms: rule.for_ms,
        keep_firing_for_ms: rule.keep_firing_for_ms,
        tolerance_ms: most_ms,
        keep_stale_for_ms: rule.keep_stale_for_ms,
    };
    for (id, presence) in &presences.by_id {
        if replayed.is_too_much() {
            return;
        }
        let before = replayed.episodes.len();
        let was_pending = of_process(
            presence,
            &presences.silences,
            (eval_interval_ms, to_ms),
            &timing,
            replayed,
        );
        let fired = replayed.episodes.len() - before;
        replayed.flapping += usize::from(fired > 1);
        replayed.only_pending += usize::from(was_pending && fired == 0);
        if fired > 0 {
            let own = rule.labels.iter();
            let labels = labels_of_life(&presences.agent_id, *id, &presence.life);
            let labels = own.chain(labels.iter()).collect();
            for episode in &mut replayed.episodes[before..] {
                episode.labels.clone_from(&labels);
            }
        }
    }
}

/// Whether it was ever pending.
fn of_process(
    presence: &Presence,
    silences: &[(i64, i64)],
    (interval_ms, to_ms): (i64, i64),
    timing: &Timing,
    replayed: &mut Replayed,
) -> bool {
    let mut progress = Progress::default();
    let mut was_pending = false;
    let mut spans = presence.spans.iter().peekable();
    let mut at_ms = i64::MIN;
    loop {
        if progress.is_over() {
            // Nothing happens until the condition holds again.
            while spans
                .next_if(|span| !span.holds || span.until_ms <= at_ms)
                .is_some()
            {}
            let Some(next) = spans.peek() else {
                return was_pending;
            };
            at_ms = at_ms.max(aligned(next.from_ms, interval_ms));
        }
        if at_ms >= to_ms {
            return was_pending;
        }
        while spans.next_if(|span| span.until_ms <= at_ms).is_some() {}
        let span = spans.peek().filter(|span| span.from_ms <= at_ms);
        let sight = sight_of(span.copied(), silences, at_ms);
        let step = Step::after(Some(at_ms - interval_ms), at_ms, interval_ms);
        let change = progress.advance(sight, &step, timing);
        was_pending |= progress.state == AlertState::Pending;
        if let Some(change) = change {
            match change.to {
                AlertState::Firing => replayed.episodes.push(Episode {
                    labels: crate::alerts::LabelSet::default(),
                    active_at_ms: progress.active_at_ms().unwrap_or(at_ms),
                    fired_at_ms: at_ms,
                    resolved_at_ms: None,
                    value: span.map_or(0.0, |span| span.value),
                }),
                AlertState::Resolved => {
                    if let Some(episode) = replayed.episodes.last_mut() {
                        episode.resolved_at_ms = Some(at_ms);
                    }
                }
                AlertState::Inactive | AlertState::Pending => {}
            }
        }
        replayed.evaluations += 1;
        if replayed.is_too_much() {
            return was_pending;
        }
        at_ms += interval_ms;
    }
}

/// The first evaluation at or after a moment.
fn aligned(at_ms: i64, interval_ms: i64) -> i64 {
    let past = at_ms.rem_euclid(interval_ms);
    if past == 0 {
        at_ms
    } else {
        at_ms + interval_ms - past
    }
}

fn sight_of(span: Option<&Span>, silences: &[(i64, i64)], at_ms: i64) -> Sight {
    let after = silences.partition_point(|(_, until_ms)| *until_ms <= at_ms);
    let silent = silences
        .get(after)
        .is_some_and(|(from_ms, _)| *from_ms <= at_ms);
    match span {
        _ if silent => Sight::Frozen,
        Some(span) if span.holds => Sight::Present,
        Some(_) => Sight::Between,
        None => Sight::Absent,
    }
}
