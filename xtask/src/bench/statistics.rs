//! What is said of repeated measurements: the median, and how far they lie apart.

/// The median, and the lowest and the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Summary {
    /// Zeroes for nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        Self {
            low: at(0),
            // Between the two in the middle when there is no one.
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            high: at(last),
        }
    }
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Summary::of(values).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let summary = Summary::of([3.0, 1.0, 9.0]);
        assert_eq!((summary.low, summary.median, summary.high), (1.0, 3.0, 9.0));
        assert!((median([1.0, 2.0, 4.0, 8.0]) - 3.0).abs() < 1e-9);
        assert_eq!(Summary::of([]), Summary::default());
    }
}
