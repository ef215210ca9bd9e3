//! The rows of one process that differ from the row before, packed: gap to the sample before, which columns, differences.

use procmon_common::columns::{COLUMN_COUNT, COLUMNS, Row};

use crate::store::format::bytes::{Reader, put, put_signed};
use crate::store::segment::SegmentError;

/// Rows in order of their samples.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct RowBuffer {
    packed: Vec<u8>,
    pub(in super::super) count: u32,
    next: u32,
}

/// One row that changed: by how much each column did.
#[derive(Clone, Debug)]
pub(in super::super) struct ChangedRow {
    pub(in super::super) sample: u32,
    pub(in super::super) deltas: [i64; COLUMN_COUNT],
}

/// Value + 1, where 0 is unknown.
pub(super) fn stored(row: &Row, column: usize) -> u64 {
    row.get(COLUMNS[column])
        .map_or(0, |value| value.wrapping_add(1))
}

impl RowBuffer {
    pub(in super::super) fn bytes(&self) -> usize {
        self.packed.len()
    }

    /// Notes the row of a sample, if it is another than the one before.
    pub(in super::super) fn push(&mut self, sample: u32, before: &Row, now: &Row) {
        if before == now {
            return;
        }
        let mut mask = 0_u64;
        let mut deltas = [0_i64; COLUMN_COUNT];
        for (column, delta) in deltas.iter_mut().enumerate() {
            *delta = stored(now, column).wrapping_sub(stored(before, column)) as i64;
            mask |= u64::from(*delta != 0) << column;
        }
        self.push_deltas(sample, mask, &deltas);
    }

    pub(super) fn push_deltas(&mut self, sample: u32, mask: u64, deltas: &[i64; COLUMN_COUNT]) {
        put(
            &mut self.packed,
            u64::from(sample.saturating_sub(self.next)),
        );
        put(&mut self.packed, mask);
        for (column, delta) in deltas.iter().enumerate() {
            if mask & (1 << column) != 0 {
                put_signed(&mut self.packed, *delta);
            }
        }
        self.next = sample.saturating_add(1);
        self.count += 1;
    }

    /// The rows, unpacked one by one.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = ChangedRow> + '_ {
        let mut reader = Reader::new(&self.packed);
        let mut next = 0_u32;
        std::iter::from_fn(move || {
            if reader.remaining() == 0 {
                return None;
            }
            // What was packed here is whole.
            let row = unpack(&mut reader, next).ok()?;
            next = row.sample.saturating_add(1);
            Some(row)
        })
    }
}

fn unpack(reader: &mut Reader<'_>, next: u32) -> Result<ChangedRow, SegmentError> {
    let sample = next.wrapping_add(reader.number()? as u32);
    let mask = reader.number()?;
    let mut deltas = [0; COLUMN_COUNT];
    for (column, delta) in deltas.iter_mut().enumerate() {
        if mask & (1 << column) != 0 {
            *delta = reader.signed()?;
        }
    }
    Ok(ChangedRow { sample, deltas })
}
