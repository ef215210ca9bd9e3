//! What sampling costs: when it is more than allowed, samples are taken less often. Events are never slowed down.

use std::time::Duration;

/// Samples in a row that are over the limit, before the interval grows: the first of all reads much that later ones know.
const OVER: u32 = 3;
/// Samples in a row that would fit into half of the interval, before it shrinks.
const CALM: u32 = 3;
/// Of the limit: what the shorter interval may use for that.
const ROOM: f64 = 0.7;
const LARGEST_FACTOR: u32 = 1024;

#[derive(Debug)]
pub(super) struct CpuBudget {
    limit_percent: f64,
    factor: u32,
    over: u32,
    calm: u32,
}

impl CpuBudget {
    pub(super) fn new(limit_percent: f64) -> Self {
        Self {
            limit_percent,
            factor: 1,
            over: 0,
            calm: 0,
        }
    }

    /// Of the configured interval: a power of two.
    pub(super) fn factor(&self) -> u32 {
        self.factor
    }

    pub(super) fn sampled(&mut self, cpu: Duration, interval: Duration) {
        if self.limit_percent <= 0.0 {
            return;
        }
        let percent =
            |factor: u32| cpu.as_secs_f64() * 100.0 / (interval.as_secs_f64() * f64::from(factor));
        if percent(self.factor) > self.limit_percent {
            self.calm = 0;
            self.over += 1;
            if self.over >= OVER && self.factor < LARGEST_FACTOR {
                let before = percent(self.factor);
                while percent(self.factor) > self.limit_percent && self.factor < LARGEST_FACTOR {
                    self.factor *= 2;
                }
                self.over = 0;
                self.log(before, interval);
            }
            return;
        }
        self.over = 0;
        if self.factor > 1 && percent(self.factor / 2) < self.limit_percent * ROOM {
            self.calm += 1;
            if self.calm >= CALM {
                self.calm = 0;
                let before = percent(self.factor);
                self.factor /= 2;
                self.log(before, interval);
            }
        } else {
            self.calm = 0;
        }
    }

    fn log(&self, percent: f64, interval: Duration) {
        let (limit, now) = (self.limit_percent, interval * self.factor);
        if self.factor == 1 {
            tracing::info!(
                "sampling used {percent:.1}% of a core of {limit}%: back to one each {now:?}"
            );
        } else {
            tracing::warn!(
                "sampling used {percent:.1}% of a core of {limit}%: one each {now:?} from now on, events are not \
                 affected. Raise cpu_limit or interval if that is not what you want"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn the_interval_grows_until_it_fits_and_shrinks_again() {
        let mut budget = CpuBudget::new(5.0);
        for _ in 1..OVER {
            budget.sampled(Duration::from_millis(300), INTERVAL);
        }
        assert_eq!(budget.factor(), 1, "a few samples prove nothing");
        budget.sampled(Duration::from_millis(300), INTERVAL);
        assert_eq!(budget.factor(), 8, "30% of one second is 3.75% of eight");
        for _ in 0..10 {
            budget.sampled(Duration::from_millis(250), INTERVAL);
        }
        assert_eq!(budget.factor(), 8, "four seconds would be over the limit");
        for expected in [8, 8, 4, 4, 4, 2, 2, 2, 1, 1] {
            budget.sampled(Duration::from_millis(10), INTERVAL);
            assert_eq!(budget.factor(), expected);
        }
    }

    #[test]
    fn a_single_slow_sample_changes_nothing() {
        let mut budget = CpuBudget::new(5.0);
        for _ in 0..20 {
            budget.sampled(Duration::from_millis(300), INTERVAL);
            budget.sampled(Duration::from_millis(10), INTERVAL);
        }
        assert_eq!(budget.factor(), 1);
    }
}
