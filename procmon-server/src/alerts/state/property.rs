//! The machine against a model that is told the same and works differently: it adds up how long things lasted, and knows no
//! times of day.

use proptest::prelude::*;

use super::*;

/// What happens to a server and its hosts.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Evaluation(Sight, i64),
    /// The clock is set.
    Jump(i64),
    /// Killed, away for so long, and back.
    Restart(i64),
}

#[derive(Clone, Debug, Default)]
struct Model {
    state: AlertState,
    held_ms: i64,
    gone_ms: Option<i64>,
    missing_ms: Option<i64>,
    was_frozen: bool,
    frozen_ms: i64,
    /// All the time that was looked at while the condition held or may have held.
    looked_ms: i64,
}

impl Model {
    fn evaluate(&mut self, sight: Sight, counted_ms: i64, timing: &Timing) {
        if sight == Sight::Frozen {
            self.was_frozen = matches!(self.state, AlertState::Pending | AlertState::Firing);
            self.frozen_ms += counted_ms;
            if self.was_frozen && self.frozen_ms >= timing.keep_stale_for_ms {
                let state = match self.state {
                    AlertState::Firing => AlertState::Resolved,
                    _ => AlertState::Inactive,
                };
                *self = Self {
                    state,
                    ..Self::default()
                };
            }
            return;
        }
        self.frozen_ms = 0;
        // Nobody knows what was during the silence: it does not count, up to the first look after it.
        let counted_ms = if std::mem::take(&mut self.was_frozen) {
            0
        } else {
            counted_ms
        };
        self.held_ms += counted_ms;
        self.looked_ms += counted_ms;
        self.gone_ms = self.gone_ms.map(|gone_ms| gone_ms + counted_ms);
        self.missing_ms = self.missing_ms.map(|missing_ms| missing_ms + counted_ms);
        let alive = matches!(self.state, AlertState::Pending | AlertState::Firing);
        let holds = match sight {
            Sight::Missing if !alive => return,
            Sight::Missing => {
                let missing_ms = *self.missing_ms.get_or_insert(counted_ms);
                if missing_ms <= timing.tolerance_ms {
                    return;
                }
                false
            }
            Sight::Present => true,
            Sight::Between => self.state == AlertState::Firing,
            Sight::Absent | Sight::Frozen => false,
        };
        if sight != Sight::Missing {
            self.missing_ms = None;
        }
        match (holds, alive) {
            (true, false) => {
                *self = Self {
                    state: AlertState::Pending,
                    ..Self::default()
                };
            }
            (true, true) => self.gone_ms = None,
            (false, false) => return,
            (false, true) if self.state == AlertState::Pending => {
                self.state = AlertState::Inactive;
            }
            (false, true) => {
                let gone_ms = *self.gone_ms.get_or_insert(0);
                if gone_ms >= timing.keep_firing_for_ms {
                    self.state = AlertState::Resolved;
                    self.gone_ms = None;
                }
            }
        }
        let fires = self.state == AlertState::Pending && self.held_ms >= timing.for_ms;
        if fires && holds {
            self.state = AlertState::Firing;
        }
    }
}

fn sight() -> impl Strategy<Value = Sight> {
    prop_oneof![
        6 => Just(Sight::Present),
        1 => Just(Sight::Between),
        2 => Just(Sight::Absent),
        2 => Just(Sight::Missing),
        2 => Just(Sight::Frozen),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => (sight(), 0..40_000_i64).prop_map(|(sight, after_ms)| Happening::Evaluation(sight, after_ms)),
        1 => (-8_000_000..8_000_000_i64).prop_map(Happening::Jump),
        2 => (0..8_000_000_i64).prop_map(Happening::Restart),
    ]
}

/// As it comes back from the store.
fn restored(progress: &Progress) -> Progress {
    let text = serde_json::to_string(progress).expect("it is JSON");
    serde_json::from_str(&text).expect("it is read back")
}

const MOST_MS: i64 = 30_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_does_what_the_model_does(
        happenings in proptest::collection::vec(happening(), 1..120),
        for_s in 0..120_i64,
        keep_s in 0..90_i64,
        stale_s in 1..200_i64,
    ) {
        let timing = Timing {
            for_ms: for_s * 1000,
            keep_firing_for_ms: keep_s * 1000,
            tolerance_ms: MOST_MS,
            keep_stale_for_ms: stale_s * 1000,
        };
        let (mut progress, mut model) = (Progress::default(), Model::default());
        // What the store has: it is written when it has to be, and at no other time.
        let mut kept = progress.clone();
        let (mut at_ms, mut previous_ms) = (1_800_000_000_000_i64, None);
        for happening in happenings {
            match happening {
                Happening::Jump(by_ms) => at_ms += by_ms,
                Happening::Restart(away_ms) => {
                    at_ms += away_ms;
                    progress = restored(&kept);
                }
                Happening::Evaluation(sight, after_ms) => {
                    at_ms += after_ms;
                    let step = Step::after(previous_ms, at_ms, MOST_MS);
                    previous_ms = Some(at_ms);
                    let (before, active_before_ms) = (progress.state, progress.active_at_ms());
                    let change = progress.advance(sight, &step, &timing);
                    model.evaluate(sight, step.counted_ms, &timing);
                    prop_assert_eq!(progress.state, model.state);
                    prop_assert_eq!(change.is_some(), before != progress.state);
                    if let Some(change) = change {
                        let is_stale = change.ending == Some(Ending::Stale);
                        prop_assert_eq!(sight == Sight::Frozen, is_stale, "a silent host changes nothing else");
                        prop_assert_eq!(change.from, before);
                        if change.to == AlertState::Firing {
                            prop_assert_eq!(sight, Sight::Present);
                            prop_assert!(model.looked_ms >= timing.for_ms);
                        }
                    }
                    if before == AlertState::Pending && progress.state == AlertState::Firing {
                        prop_assert_eq!(progress.active_at_ms(), active_before_ms);
                    }
                    if progress.differs(&kept) {
                        kept = progress.clone();
                    }
                }
            }
        }
    }
}
