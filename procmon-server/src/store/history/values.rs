//! Values that are written as they change, read as if each sample had one.

use super::{HostSamples, LifeSamples, UNKNOWN};

/// A stretch of samples over which a value is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Indices of samples, both inclusive.
    pub first: usize,
    pub last: usize,
    pub value: i64,
}

impl LifeSamples {
    /// The stretches in which a column is known, in order.
    pub fn runs(&self, column: usize) -> impl Iterator<Item = Run> + '_ {
        let changes = self.columns.get(column).map_or(&[][..], Vec::as_slice);
        changes
            .iter()
            .enumerate()
            .filter_map(move |(index, (first, value))| {
                let next = changes.get(index + 1).map(|(next, _)| *next as usize);
                let last = next.map_or(self.last, |next| next.saturating_sub(1).min(self.last));
                let first = *first as usize;
                (*value != UNKNOWN && first <= last).then_some(Run {
                    first,
                    last,
                    value: *value,
                })
            })
    }

    /// The value of a column in a sample.
    pub fn value_at(&self, column: usize, sample: usize) -> Option<i64> {
        if !(self.first..=self.last).contains(&sample) {
            return None;
        }
        let changes = self.columns.get(column)?;
        let after = changes.partition_point(|(index, _)| *index as usize <= sample);
        let (_, value) = changes.get(after.checked_sub(1)?)?;
        (*value != UNKNOWN).then_some(*value)
    }

    /// The listening ports in a sample.
    pub fn ports_at(&self, sample: usize) -> Option<&[u16]> {
        let after = self
            .ports
            .partition_point(|(index, _)| *index as usize <= sample);
        let (_, ports) = self.ports.get(after.checked_sub(1)?)?;
        Some(ports)
    }
}

impl HostSamples {
    /// The samples that a life was in, with their times.
    pub fn times(&self, life: &LifeSamples) -> &[i64] {
        self.sample_ms
            .get(life.first..=life.last)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::Life;

    #[test]
    fn a_value_holds_until_the_next() {
        let life = LifeSamples {
            life: Arc::new(Life::default()),
            before: Vec::new(),
            first: 1,
            last: 8,
            columns: vec![vec![(1, 5), (3, UNKNOWN), (5, 7)]],
            ports: vec![(4, Arc::from([80_u16]))],
        };
        let runs: Vec<_> = life.runs(0).collect();
        let run = |first, last, value| Run { first, last, value };
        assert_eq!(runs, [run(1, 2, 5), run(5, 8, 7)]);
        let values: Vec<_> = (0..10).map(|sample| life.value_at(0, sample)).collect();
        assert_eq!(
            values,
            [
                None,
                Some(5),
                Some(5),
                None,
                None,
                Some(7),
                Some(7),
                Some(7),
                Some(7),
                None
            ]
        );
        assert_eq!(life.ports_at(3), None);
        assert_eq!(life.ports_at(8), Some(&[80_u16][..]));
        assert_eq!(life.value_at(1, 3), None, "a column that was not asked for");
    }
}
