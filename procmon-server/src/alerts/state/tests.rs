use super::*;

const TIMING: Timing = Timing {
    for_ms: 60_000,
    keep_firing_for_ms: 0,
    tolerance_ms: 30_000,
    keep_stale_for_ms: 3_600_000,
};

/// An alert, and a clock that goes on by a quarter of a minute.
struct Case {
    progress: Progress,
    timing: Timing,
    at_ms: i64,
    previous_ms: Option<i64>,
}

impl Case {
    fn new(timing: Timing) -> Self {
        Self {
            progress: Progress::default(),
            timing,
            at_ms: 1_000_000,
            previous_ms: None,
        }
    }

    fn see(&mut self, sight: Sight) -> AlertState {
        let step = Step::after(self.previous_ms, self.at_ms, 30_000);
        self.previous_ms = Some(self.at_ms);
        self.at_ms += 15_000;
        self.progress.advance(sight, &step, &self.timing);
        self.progress.state
    }

    fn see_all(&mut self, sights: &[Sight]) -> Vec<AlertState> {
        sights.iter().map(|sight| self.see(*sight)).collect()
    }
}

use AlertState::{Firing, Inactive, Pending, Resolved};
use Sight::{Absent, Between, Frozen, Missing, Present};

#[test]
fn it_fires_when_it_held_for_long_enough() {
    let mut case = Case::new(TIMING);
    let states = case.see_all(&[Present, Present, Present, Present, Present, Absent]);
    assert_eq!(
        states,
        [Pending, Pending, Pending, Pending, Firing, Resolved]
    );
    assert_eq!(case.progress.active_at_ms(), Some(1_000_000));
    assert_eq!(case.progress.fired_at_ms, Some(1_060_000));
    assert_eq!(case.progress.resolved_at_ms, Some(1_075_000));
    assert_eq!(case.see(Present), Pending);
    assert_eq!(case.progress.active_at_ms(), Some(1_090_000));
    assert_eq!(case.progress.fired_at_ms, None);
}

#[test]
fn without_a_time_it_fires_at_once() {
    let mut case = Case::new(Timing::default());
    assert_eq!(case.see_all(&[Present, Absent]), [Firing, Resolved]);
}

#[test]
fn one_look_without_it_begins_anew() {
    let mut case = Case::new(TIMING);
    let states = case.see_all(&[Present, Present, Present, Absent, Present, Present]);
    assert_eq!(states[3..], [Inactive, Pending, Pending]);
    assert_eq!(case.progress.active_at_ms(), Some(1_060_000));
}

#[test]
fn it_keeps_firing() {
    let mut case = Case::new(Timing {
        for_ms: 0,
        keep_firing_for_ms: 30_000,
        ..TIMING
    });
    let states = case.see_all(&[Present, Absent, Absent, Present, Absent, Absent, Absent]);
    assert_eq!(
        states,
        [Firing, Firing, Firing, Firing, Firing, Firing, Resolved]
    );
}

#[test]
fn between_the_thresholds_only_what_fires_goes_on() {
    let mut case = Case::new(Timing {
        for_ms: 15_000,
        ..TIMING
    });
    let states = case.see_all(&[Between, Present, Between, Present, Present, Between, Absent]);
    let expected = [
        Inactive, Pending, Inactive, Pending, Firing, Firing, Resolved,
    ];
    assert_eq!(states, expected);
}

#[test]
fn gaps_of_two_intervals_reset_nothing() {
    let mut case = Case::new(TIMING);
    let states = case.see_all(&[Present, Missing, Missing, Present, Present]);
    assert_eq!(states, [Pending, Pending, Pending, Pending, Firing]);
    let states = case.see_all(&[Missing, Missing, Missing]);
    assert_eq!(states, [Firing, Firing, Resolved]);
}

#[test]
fn what_is_missing_never_fires() {
    let mut case = Case::new(Timing {
        for_ms: 15_000,
        ..TIMING
    });
    assert_eq!(case.see_all(&[Present, Missing, Missing]), [Pending; 3]);
    assert_eq!(case.see(Missing), Inactive);
}

#[test]
fn the_alerts_of_a_silent_host_stand_still() {
    let mut case = Case::new(TIMING);
    case.see_all(&[Present, Present]);
    assert_eq!(case.see_all(&[Frozen; 9]), [Pending; 9]);
    assert!(case.progress.is_stale());
    let states = case.see_all(&[Present, Present, Present, Present]);
    assert_eq!(states, [Pending, Pending, Pending, Firing]);
    assert!(!case.progress.is_stale());
    assert_eq!(case.see_all(&[Frozen; 9]), [Firing; 9]);
    assert_eq!(case.see(Absent), Resolved);
}

#[test]
fn a_clock_that_jumps_neither_fires_nor_resolves() {
    let mut case = Case::new(TIMING);
    case.see_all(&[Present, Present]);
    case.at_ms += 3_600_000;
    assert_eq!(case.see(Present), Pending, "an hour ahead");
    case.at_ms -= 7_200_000;
    assert_eq!(case.see(Present), Pending, "and two back");
    assert_eq!(case.see(Present), Firing);
    assert_eq!(case.progress.active_at_ms(), Some(1_000_000));
}

#[test]
fn a_rule_that_goes_takes_its_alerts_along() {
    let mut case = Case::new(TIMING);
    case.see(Present);
    let change = case.progress.end(5, Ending::Rule).expect("it was pending");
    assert_eq!((change.from, change.to), (Pending, Inactive));
    assert_eq!(case.progress.end(6, Ending::Rule), None);
}

#[test]
fn what_stood_still_for_too_long_is_over() {
    let mut case = Case::new(Timing {
        for_ms: 0,
        keep_stale_for_ms: 60_000,
        ..TIMING
    });
    let states = case.see_all(&[Present, Frozen, Frozen, Frozen]);
    assert_eq!(states, [Firing, Firing, Firing, Firing]);
    // The server was away for a day: nobody listened to the host.
    case.at_ms += 86_400_000;
    assert_eq!(case.see(Frozen), Resolved);
    assert_eq!(case.progress.ending, Some(Ending::Stale));
    assert!(!case.progress.is_stale());
    assert_eq!(case.see(Frozen), Resolved);
    assert_eq!(case.see(Present), Firing, "another time");
    assert_eq!(case.progress.ending, None);
    // Heard in between.
    let states = case.see_all(&[Frozen, Frozen, Frozen, Present, Frozen, Frozen, Frozen]);
    assert_eq!(states, [Firing; 7]);
    case.see(Absent);
    assert_eq!(case.progress.ending, Some(Ending::Condition));
}
