//! The evaluations that would have been made, and what each of them would have seen of a host.

use crate::store::history::HostSamples;

/// Evaluations one after the other: those of a part of the time, or of all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) first_ms: i64,
    pub(super) interval_ms: i64,
    pub(super) count: u32,
    /// The first of them only remember what later ones need.
    pub(super) warm: u32,
}

impl Grid {
    /// The evaluations of a time, both ends included. They are at whole multiples of the interval.
    pub(super) fn new(from_ms: i64, to_ms: i64, interval_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let past = from_ms.rem_euclid(interval_ms);
        let first_ms = if past == 0 {
            from_ms
        } else {
            from_ms + interval_ms - past
        };
        let count = if first_ms > to_ms {
            0
        } else {
            (to_ms - first_ms) / interval_ms + 1
        };
        Self {
            first_ms,
            interval_ms,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            warm: 0,
        }
    }

    pub(super) fn at_ms(&self, evaluation: u32) -> i64 {
        self.first_ms + i64::from(evaluation) * self.interval_ms
    }

    pub(super) fn last_ms(&self) -> i64 {
        self.at_ms(self.count.saturating_sub(1))
    }

    /// The first evaluation at or after a moment.
    pub(super) fn after(&self, ms: i64) -> u32 {
        let since = ms.saturating_sub(self.first_ms);
        let steps = since.saturating_add(self.interval_ms - 1) / self.interval_ms;
        u32::try_from(steps.max(0)).map_or(self.count, |steps| steps.min(self.count))
    }

    /// Some evaluations at a time, in order. The first part begins earlier by those that only remember.
    pub(super) fn parts(self, part_ms: i64, warm_ms: i64) -> Vec<Self> {
        let each = u32::try_from(part_ms / self.interval_ms).unwrap_or(u32::MAX);
        let each = each.max(1);
        let mut parts: Vec<Self> = (0..self.count.div_ceil(each))
            .map(|number| Self {
                first_ms: self.at_ms(number * each),
                count: each.min(self.count - number * each),
                ..self
            })
            .collect();
        if let Some(first) = parts.first_mut() {
            let warm = u32::try_from(warm_ms.div_euclid(self.interval_ms) + 1).unwrap_or(0);
            first.first_ms -= i64::from(warm) * self.interval_ms;
            first.count += warm;
            first.warm = warm;
        }
        parts
    }
}

/// What evaluations see of one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    /// The newest sample of each evaluation; -1 where there is none.
    sample: Vec<i32>,
    /// It is silent, or was not heard yet.
    pub(super) frozen: Vec<bool>,
    /// Since when it was silent; none while it was never heard.
    pub(super) heard_ms: Vec<Option<i64>>,
}

impl Looks {
    /// `heard_ms`: when the host was heard last before these samples.
    pub(super) fn new(
        grid: &Grid,
        samples: &HostSamples,
        patience_ms: i64,
        mut heard_ms: Option<i64>,
    ) -> Self {
        let mut looks = Self::default();
        let mut next = 0_usize;
        for evaluation in 0..grid.count {
            let at_ms = grid.at_ms(evaluation);
            while let Some(sampled_ms) = samples.sample_ms.get(next)
                && *sampled_ms <= at_ms
            {
                heard_ms = Some(heard_ms.map_or(*sampled_ms, |known| known.max(*sampled_ms)));
                next += 1;
            }
            let sample = i32::try_from(next).unwrap_or(i32::MAX) - 1;
            let current = heard_ms.is_some_and(|heard_ms| at_ms - heard_ms <= patience_ms);
            looks.sample.push(sample);
            looks.frozen.push(!current || sample < 0);
            looks.heard_ms.push(heard_ms);
        }
        looks
    }

    pub(super) fn last_heard_ms(&self) -> Option<i64> {
        self.heard_ms.last().copied().flatten()
    }

    /// The evaluations that look at some samples (from, and until exclusive).
    pub(super) fn of_samples(&self, first: usize, until: usize) -> (u32, u32) {
        let before = |sample: usize| {
            let sample = i32::try_from(sample).unwrap_or(i32::MAX);
            self.sample.partition_point(|looked| *looked < sample) as u32
        };
        (before(first), before(until))
    }

    pub(super) fn sample(&self, evaluation: u32) -> Option<usize> {
        usize::try_from(*self.sample.get(evaluation as usize)?).ok()
    }

    pub(super) fn is_frozen(&self, evaluation: u32) -> bool {
        self.frozen
            .get(evaluation as usize)
            .copied()
            .unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_at_whole_intervals() {
        let grid = Grid::new(31, 90, 15);
        assert_eq!((grid.first_ms, grid.count, grid.last_ms()), (45, 4, 90));
        assert_eq!(
            [44, 45, 46, 90, 91].map(|ms| grid.after(ms)),
            [0, 0, 1, 3, 4]
        );
        assert_eq!(Grid::new(31, 44, 15).count, 0);
        let parts = grid.parts(30, 16);
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].first_ms, parts[0].count, parts[0].warm),
            (15, 4, 2)
        );
        assert_eq!(
            (parts[1].first_ms, parts[1].count, parts[1].warm),
            (75, 2, 0)
        );
    }

    #[test]
    fn a_host_that_is_silent_is_frozen() {
        let samples = HostSamples {
            sample_ms: vec![10, 20, 60],
            ..HostSamples::default()
        };
        let looks = Looks::new(&Grid::new(0, 80, 10), &samples, 15, None);
        assert_eq!(looks.sample, [-1, 0, 1, 1, 1, 1, 2, 2, 2]);
        let frozen: Vec<usize> = (0..9).filter(|index| looks.frozen[*index]).collect();
        assert_eq!(frozen, [0, 4, 5, 8]);
        assert_eq!(looks.of_samples(1, 2), (2, 6));
        assert_eq!(looks.of_samples(2, 3), (6, 9));
        assert_eq!((looks.heard_ms[0], looks.heard_ms[5]), (None, Some(20)));
    }
}
