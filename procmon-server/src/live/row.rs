//! The sampled values of a process in half the space: they are numbers of 64 bits, and hardly one of them needs more than 32.

use procmon_common::columns::{COLUMN_COUNT, Column};

/// Value + 1 for each metric, as it came over the wire; 0 is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CompactRow {
    low: [u32; COLUMN_COUNT],
    /// The upper halves, once any of them was needed.
    high: Option<Box<[u32; COLUMN_COUNT]>>,
}

impl CompactRow {
    pub fn get(&self, column: Column) -> Option<u64> {
        self.stored(index(column)).checked_sub(1)
    }

    /// Adds a difference as it came over the wire.
    pub fn apply(&mut self, column: Column, delta: i64) {
        let index = index(column);
        let stored = self.stored(index).wrapping_add_signed(delta);
        self.low[index] = stored as u32;
        let upper = (stored >> 32) as u32;
        if let Some(high) = &mut self.high {
            high[index] = upper;
        } else if upper != 0 {
            let mut high = Box::new([0; COLUMN_COUNT]);
            high[index] = upper;
            self.high = Some(high);
        }
    }

    pub fn set(&mut self, column: Column, value: Option<u64>) {
        let stored = value.map_or(0, |value| value.saturating_add(1));
        let before = self.stored(index(column));
        self.apply(column, stored.wrapping_sub(before) as i64);
    }

    /// Whether no metric is known.
    pub fn is_empty(&self) -> bool {
        let zero = |half: &[u32; COLUMN_COUNT]| half.iter().all(|value| *value == 0);
        zero(&self.low) && self.high.as_deref().is_none_or(zero)
    }

    fn stored(&self, index: usize) -> u64 {
        let upper = self.high.as_ref().map_or(0, |high| high[index]);
        u64::from(upper) << 32 | u64::from(self.low[index])
    }
}

fn index(column: Column) -> usize {
    column.id() as usize - 1
}

#[cfg(test)]
mod tests {
    use procmon_common::columns::{COLUMNS, Row};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_says_what_a_whole_row_says(changes in proptest::collection::vec((0..COLUMN_COUNT, any::<i64>()), 0..40)) {
            let (mut compact, mut whole) = (CompactRow::default(), Row::default());
            for (index, delta) in changes {
                compact.apply(COLUMNS[index], delta);
                whole.apply(COLUMNS[index], delta);
                for column in COLUMNS {
                    prop_assert_eq!(compact.get(column), whole.get(column));
                }
                prop_assert_eq!(compact.is_empty(), whole == Row::default());
            }
        }
    }
}
