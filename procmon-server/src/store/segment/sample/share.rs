//! The share of a core over the last interval. CPU time and the times of the samples tell it nearly: written is what they
//! leave open, since version 2. Whoever reads the column reads CPU time and the gaps, too.

use procmon_common::columns::{COLUMN_COUNT, Column};

use super::read::Part;
use crate::store::format::bytes::put_signed;
use crate::store::segment::SegmentError;
use crate::store::segment::block::Values;

/// Indices of columns; both are told by number, from 1 on.
pub(super) const SHARE: usize = Column::CpuCentipercent as usize - 1;
const CPU_TIME: usize = Column::CpuTimeMs as usize - 1;

const _: () = assert!(SHARE < COLUMN_COUNT && CPU_TIME < COLUMN_COUNT);

/// The two columns of a process as of its last row: value + 1, 0 for unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShareState {
    share: u64,
    cpu_time: u64,
}

impl ShareState {
    /// What stands for the share in a row: it, less what is expected.
    pub(super) fn code(&mut self, deltas: &[i64; COLUMN_COUNT], interval_ms: Option<i64>) -> i64 {
        let expected = self.expect(deltas[CPU_TIME], interval_ms);
        self.share = self.share.wrapping_add_signed(deltas[SHARE]);
        self.share.wrapping_sub(expected) as i64
    }

    /// By how much the share changed in a row.
    fn decode(&mut self, cpu_time_delta: i64, coded: i64, interval_ms: Option<i64>) -> i64 {
        let expected = self.expect(cpu_time_delta, interval_ms);
        let share = expected.wrapping_add_signed(coded);
        let before = std::mem::replace(&mut self.share, share);
        share.wrapping_sub(before) as i64
    }

    /// Hundredths of a percent are CPU milliseconds in ten seconds.
    fn expect(&mut self, cpu_time_delta: i64, interval_ms: Option<i64>) -> u64 {
        let before = self.cpu_time;
        self.cpu_time = before.wrapping_add_signed(cpu_time_delta);
        match interval_ms {
            Some(interval_ms)
                if interval_ms > 0
                    && before != 0
                    && self.cpu_time != 0
                    && (0..1 << 40).contains(&cpu_time_delta) =>
            {
                let share = (cpu_time_delta * 10_000 + interval_ms / 2) / interval_ms;
                share as u64 + 1
            }
            _ => self.share,
        }
    }
}

/// Milliseconds since the sample before.
pub(super) fn interval_ms(sample_ms: &[i64], sample: u32) -> Option<i64> {
    let sample = sample as usize;
    let before = sample_ms.get(sample.checked_sub(1)?)?;
    Some(sample_ms.get(sample)?.wrapping_sub(*before))
}

/// The differences of the share in the rows of a group.
pub(super) fn read(part: &Part<'_>, group: usize) -> Result<Values, SegmentError> {
    if !part.is_known(group, SHARE) {
        return Ok(Values::zeros());
    }
    let (mut gaps, mut coded) = (part.gaps(group)?, part.stored_column(group, SHARE)?);
    let mut cpu_times = part.stored_column(group, CPU_TIME)?;
    let mut plain = Vec::new();
    let first = part.processes.partition_point(|head| head.group < group);
    let members = part.processes[first..].iter();
    for head in members.take_while(|head| head.group == group) {
        let (mut state, mut next) = (ShareState::default(), head.first);
        for _ in 0..head.rows {
            let sample = next.wrapping_add(gaps.next()? as u32);
            next = sample.wrapping_add(1);
            let interval_ms = interval_ms(&part.sample_ms, sample);
            let delta = state.decode(cpu_times.signed()?, coded.signed()?, interval_ms);
            put_signed(&mut plain, delta);
        }
    }
    Ok(Values::of(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_coded_is_decoded(rows in proptest::collection::vec((any::<i64>(), 0..64_u32, any::<i64>(), proptest::option::of(any::<i64>())), 0..20)) {
            let (mut writer, mut reader) = (ShareState::default(), ShareState::default());
            for (cpu_time, shift, share, interval_ms) in rows {
                let mut deltas = [0; COLUMN_COUNT];
                (deltas[CPU_TIME], deltas[SHARE]) = (cpu_time >> shift, share >> shift);
                let coded = writer.code(&deltas, interval_ms);
                prop_assert_eq!(reader.decode(deltas[CPU_TIME], coded, interval_ms), deltas[SHARE]);
            }
        }
    }

    #[test]
    fn cpu_time_tells_the_share() {
        let mut state = ShareState::default();
        let mut deltas = [0; COLUMN_COUNT];
        (deltas[CPU_TIME], deltas[SHARE]) = (501, 4001);
        assert_eq!(state.code(&deltas, None), 4001);
        // 2.5 s of 10 s are 25.00 %.
        (deltas[CPU_TIME], deltas[SHARE]) = (2500, -1500);
        assert_eq!(state.code(&deltas, Some(10_000)), 0);
    }
}
