//! Which time a request is about, and how it is divided.

use std::time::Duration;

use procmon_common::config::parse_duration;

use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::page::instant_ms;

const HOUR_MS: i64 = 3_600_000;
/// Points that a default step makes of a range, at most.
const DEFAULT_POINTS: i64 = 300;
/// Buckets of one answer: what a chart can show many times over, and what Prometheus allows.
const MAX_POINTS: i64 = 11_000;
const MIN_STEP_MS: i64 = 1_000;
/// Steps that people read: a default is one of these.
const STEPS_S: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800,
];

/// From and until, exclusive, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// A range in steps. The first begins where the range does; the last may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) range: Range,
    pub(super) step_ms: i64,
    pub(super) count: usize,
}

impl Range {
    /// The last hour where nothing else is said.
    pub(super) fn read(from: Option<&str>, to: Option<&str>, now_ms: i64) -> Result<Self, Problem> {
        let to_ms = match to {
            Some(text) => instant_ms("to", text)?,
            None => now_ms,
        };
        let from_ms = match from {
            Some(text) => instant_ms("from", text)?,
            None => to_ms.saturating_sub(HOUR_MS),
        };
        if from_ms >= to_ms {
            return Err(Problem::bad_request(format!(
                "from={} is not before to={}; exchange them, or leave to out for now",
                rfc3339_ms(from_ms),
                rfc3339_ms(to_ms)
            )));
        }
        Ok(Self { from_ms, to_ms })
    }

    pub(super) fn length_ms(self) -> i64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

impl Grid {
    /// `step` as in `15s`; without one, a step that makes about 300 points.
    pub(super) fn new(range: Range, step: Option<&str>) -> Result<Self, Problem> {
        let step_ms = match step {
            Some(text) => read_step(text)?,
            None => default_step_ms(range),
        };
        let count = range.length_ms().div_ceil_by(step_ms);
        if count > MAX_POINTS {
            let least_ms = range.length_ms().div_ceil_by(MAX_POINTS);
            return Err(Problem::bad_request(format!(
                "step={} makes {count} points of {}, and one answer has at most {MAX_POINTS}; use step={} or more, or a \
                 shorter range",
                show_ms(step_ms),
                show_ms(range.length_ms()),
                show_ms(least_ms.div_ceil_by(1_000) * 1_000)
            )));
        }
        Ok(Self {
            range,
            step_ms,
            count: usize::try_from(count).unwrap_or(0),
        })
    }

    /// The same by a clock that is ahead by so much.
    pub(super) fn shifted(self, by_ms: i64) -> Self {
        Self {
            range: Range {
                from_ms: self.range.from_ms.saturating_add(by_ms),
                to_ms: self.range.to_ms.saturating_add(by_ms),
            },
            ..self
        }
    }

    /// The buckets for which `filled` does not hold, joined where they touch. What has not come yet is left out.
    pub(super) fn holes(&self, now_ms: i64, filled: impl Fn(usize) -> bool) -> Vec<Range> {
        let mut holes: Vec<Range> = Vec::new();
        for bucket in (0..self.count).filter(|bucket| !filled(*bucket)) {
            let (from_ms, to_ms) = (self.start_ms(bucket), self.end_ms(bucket).min(now_ms));
            match holes.last_mut() {
                Some(before) if before.to_ms == from_ms => before.to_ms = to_ms.max(from_ms),
                _ if from_ms < to_ms => holes.push(Range { from_ms, to_ms }),
                _ => {}
            }
        }
        holes
    }

    pub(super) fn bucket(&self, ms: i64) -> Option<usize> {
        let inside = (self.range.from_ms..self.range.to_ms).contains(&ms);
        let index = ms.saturating_sub(self.range.from_ms) / self.step_ms;
        usize::try_from(index).ok().filter(|_| inside)
    }

    /// When a bucket begins.
    pub(super) fn start_ms(&self, bucket: usize) -> i64 {
        let offset = (bucket as i64).saturating_mul(self.step_ms);
        self.range.from_ms.saturating_add(offset)
    }

    /// When it ends.
    pub(super) fn end_ms(&self, bucket: usize) -> i64 {
        self.start_ms(bucket + 1).min(self.range.to_ms)
    }
}

trait DivCeilBy {
    fn div_ceil_by(self, by: i64) -> i64;
}

impl DivCeilBy for i64 {
    fn div_ceil_by(self, by: i64) -> i64 {
        self / by + i64::from(self % by != 0)
    }
}

fn default_step_ms(range: Range) -> i64 {
    let least_ms = range.length_ms().div_ceil_by(DEFAULT_POINTS);
    let sensible = STEPS_S.iter().map(|step_s| step_s * 1_000);
    let found = sensible.clone().find(|step_ms| *step_ms >= least_ms);
    found.unwrap_or(least_ms)
}

fn read_step(text: &str) -> Result<i64, Problem> {
    let plain_seconds = text.parse().ok().map(Duration::from_secs);
    let step = plain_seconds.or_else(|| parse_duration(text));
    let step_ms = step.and_then(|step| i64::try_from(step.as_millis()).ok());
    match step_ms {
        Some(step_ms) if step_ms >= MIN_STEP_MS => Ok(step_ms),
        _ => Err(Problem::bad_request(format!(
            "step={text} is not a step; write a duration of at least 1s, such as 15s, 1m or 1h"
        ))),
    }
}

/// A duration as people write it.
pub(super) fn show_ms(ms: i64) -> String {
    for (unit_ms, unit) in [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ] {
        if ms >= unit_ms && ms % unit_ms == 0 {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_769_860_800_000;

    fn grid(length_s: i64, step: Option<&str>) -> Result<Grid, Problem> {
        let range = Range {
            from_ms: NOW_MS - length_s * 1_000,
            to_ms: NOW_MS,
        };
        Grid::new(range, step)
    }

    #[test]
    fn a_default_step_makes_about_300_points_and_is_round() {
        for (length_s, step_s) in [(3_600, 15), (86_400, 300), (60, 1), (7 * 86_400, 3_600)] {
            let grid = grid(length_s, None).expect("a grid");
            assert_eq!(grid.step_ms, step_s * 1_000, "{length_s}");
        }
    }

    #[test]
    fn steps_are_read_and_bounded() {
        assert_eq!(grid(60, Some("15s")).expect("a grid").count, 4);
        assert_eq!(grid(61, Some("15")).expect("a grid").count, 5);
        for text in ["0", "500ms", "x", "-5s", "1e9"] {
            let problem = grid(60, Some(text)).expect_err(text);
            assert!(problem.detail.contains(text), "{}", problem.detail);
        }
        let problem = grid(86_400, Some("1s")).expect_err("too many");
        assert!(problem.detail.contains("step=8s"), "{}", problem.detail);
    }

    #[test]
    fn buckets_begin_with_the_range_and_the_last_is_cut() {
        let grid = grid(40, Some("15s")).expect("a grid");
        let from_ms = grid.range.from_ms;
        assert_eq!(grid.bucket(from_ms), Some(0));
        assert_eq!(grid.bucket(from_ms + 39_999), Some(2));
        assert_eq!(
            (grid.bucket(from_ms - 1), grid.bucket(NOW_MS)),
            (None, None)
        );
        assert_eq!(grid.end_ms(2), NOW_MS);
    }

    #[test]
    fn a_range_is_the_last_hour_and_never_empty() {
        let range = Range::read(None, None, NOW_MS).expect("a range");
        assert_eq!(range.length_ms(), HOUR_MS);
        let problem = Range::read(Some("1769860800"), None, NOW_MS).expect_err("empty");
        assert!(
            problem.detail.contains("2026-01-31T12:00:00Z"),
            "{}",
            problem.detail
        );
    }
}
