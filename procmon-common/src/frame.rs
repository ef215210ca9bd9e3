//! A sample as columns of changes: what the agent encodes and the server applies.

use crate::columns::{COLUMNS, Column, Row};
use crate::wire;

/// Collects the changed values of one sample.
#[derive(Debug)]
pub struct FrameEncoder {
    columns: Vec<ColumnBuilder>,
}

#[derive(Debug, Default)]
struct ColumnBuilder {
    last_handle: u32,
    handle_gaps: Vec<u32>,
    deltas: Vec<i64>,
}

impl Default for FrameEncoder {
    fn default() -> Self {
        Self {
            columns: COLUMNS.iter().map(|_| ColumnBuilder::default()).collect(),
        }
    }
}

impl FrameEncoder {
    /// Adds what changed from `before` to `now`. Handles must ascend from call to call.
    pub fn push(&mut self, handle: u32, before: &Row, now: &Row) {
        if before == now {
            return;
        }
        for (column, builder) in COLUMNS.iter().zip(&mut self.columns) {
            let delta = now.stored(*column).wrapping_sub(before.stored(*column)) as i64;
            if delta != 0 {
                builder.handle_gaps.push(handle - builder.last_handle);
                builder.deltas.push(delta);
                builder.last_handle = handle;
            }
        }
    }

    /// The columns that have any change.
    pub fn finish(self) -> Vec<wire::Column> {
        let numbered = COLUMNS.iter().zip(self.columns);
        numbered
            .filter(|(_, builder)| !builder.deltas.is_empty())
            .map(|(column, builder)| wire::Column {
                id: column.id(),
                handle_gaps: builder.handle_gaps,
                deltas: builder.deltas,
            })
            .collect()
    }
}

/// The columns of a frame do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("column {id}: {handles} handles for {values} values")]
    Lengths {
        id: u32,
        handles: usize,
        values: usize,
    },
    #[error("column {id}: handles exceed 32 bits")]
    HandleOverflow { id: u32 },
}

/// Calls `change(handle, column, delta)` for each change; columns of newer versions are skipped.
pub fn for_each_change(
    columns: &[wire::Column],
    mut change: impl FnMut(u32, Column, i64),
) -> Result<(), FrameError> {
    for encoded in columns {
        let id = encoded.id;
        if encoded.handle_gaps.len() != encoded.deltas.len() {
            let (handles, values) = (encoded.handle_gaps.len(), encoded.deltas.len());
            return Err(FrameError::Lengths {
                id,
                handles,
                values,
            });
        }
        let Some(column) = Column::from_id(id) else {
            continue;
        };
        let mut handle = 0_u32;
        for (gap, delta) in encoded.handle_gaps.iter().zip(&encoded.deltas) {
            handle = handle
                .checked_add(*gap)
                .ok_or(FrameError::HandleOverflow { id })?;
            change(handle, column, *delta);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn rows() -> impl Strategy<Value = BTreeMap<u32, Vec<Option<u64>>>> {
        let value = proptest::option::of(0..u64::MAX - 1);
        proptest::collection::btree_map(
            any::<u32>(),
            proptest::collection::vec(value, COLUMNS.len()),
            0..20,
        )
    }

    fn row(values: &[Option<u64>]) -> Row {
        let mut row = Row::default();
        for (column, value) in COLUMNS.iter().zip(values) {
            row.set(*column, *value);
        }
        row
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_applied(before in rows(), now in rows()) {
            let mut state: BTreeMap<u32, Row> = before.iter().map(|(handle, values)| (*handle, row(values))).collect();
            let mut encoder = FrameEncoder::default();
            for (handle, values) in &now {
                encoder.push(*handle, &state.get(handle).copied().unwrap_or_default(), &row(values));
            }
            for_each_change(&encoder.finish(), |handle, column, delta| {
                state.entry(handle).or_default().apply(column, delta);
            }).expect("a frame that was just encoded");
            for (handle, values) in &now {
                prop_assert_eq!(state.get(handle).copied().unwrap_or_default(), row(values));
            }
        }
    }

    #[test]
    fn mismatched_columns_are_an_error() {
        let column = wire::Column {
            id: 3,
            handle_gaps: vec![1, 2],
            deltas: vec![5],
        };
        assert_eq!(
            for_each_change(&[column], |_, _, _| {}),
            Err(FrameError::Lengths {
                id: 3,
                handles: 2,
                values: 1
            })
        );
        let column = wire::Column {
            id: 3,
            handle_gaps: vec![u32::MAX, 1],
            deltas: vec![5, 5],
        };
        assert_eq!(
            for_each_change(&[column], |_, _, _| {}),
            Err(FrameError::HandleOverflow { id: 3 })
        );
    }
}
