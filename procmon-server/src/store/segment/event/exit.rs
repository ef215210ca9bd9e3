//! The table of exits. Totals that are known stand in a column each, divided by the power of two that all of the block have
//! in common; user and system time are written by what the other times leave open.

use procmon_common::ids::{ProcessId, Start};

use super::ticks::{ticks, user_of_ticks};
use crate::batch::{Exit, Killer};
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, BlockWriter, Values};
use crate::store::segment::strings::{WordWriter, Words};

/// Numbers of columns, for ever.
mod column {
    pub(super) const FLAGS: u64 = 1;
    /// Which totals are known.
    pub(super) const KNOWN: u64 = 2;
    /// + 1, 0 for none.
    pub(super) const CODE: u64 = 3;
    pub(super) const SIGNAL: u64 = 4;
    pub(super) const KILLER_PID: u64 = 5;
    pub(super) const KILLER_START: u64 = 6;
    pub(super) const KILLER_BOOT: u64 = 7;
    pub(super) const KILLER_NAME: u64 = 8;
    pub(super) const KILLER_UID: u64 = 9;
    /// Of how many ticks user and system time were shares, 0 where they do not look like it: a value where CPU and user time
    /// are known. Since version 2.
    pub(super) const TICKS: u64 = 10;
    /// How many of them were the system's.
    pub(super) const SYSTEM_TICKS: u64 = 11;
    /// The totals, in the order of `totals`; each column begins with the power of two.
    pub(super) const FIRST_TOTAL: u64 = 16;

    pub(super) const CORE_DUMPED: u64 = 1;
    pub(super) const TOTALS_FINAL: u64 = 2;
    pub(super) const OOM_KNOWN: u64 = 4;
    pub(super) const OOM_KILLED: u64 = 8;
    pub(super) const KILLED_BY: u64 = 16;
    pub(super) const KILLER_UPLOADED: u64 = 32;
}

const TOTALS: usize = Exit::TOTALS;
const CPU_TIME: usize = 0;
const USER_TIME: usize = 1;
const SYSTEM_TIME: usize = 2;

/// What of a total is written, given those before it: user time is often none or all of the CPU time, and system time is
/// the rest.
fn coded(index: usize, value: u64, totals: &[Option<u64>; TOTALS]) -> u64 {
    let cpu = totals[CPU_TIME].unwrap_or(0);
    match index {
        USER_TIME if value == cpu => 0,
        USER_TIME => swap_zero(value.wrapping_add(1), cpu),
        SYSTEM_TIME => cpu
            .wrapping_sub(totals[USER_TIME].unwrap_or(0))
            .wrapping_sub(value),
        _ => value,
    }
}

fn decoded(index: usize, coded: u64, totals: &[Option<u64>; TOTALS]) -> u64 {
    let cpu = totals[CPU_TIME].unwrap_or(0);
    match index {
        USER_TIME if coded == 0 => cpu,
        USER_TIME => swap_zero(coded, cpu).wrapping_sub(1),
        SYSTEM_TIME => cpu
            .wrapping_sub(totals[USER_TIME].unwrap_or(0))
            .wrapping_sub(coded),
        _ => coded,
    }
}

/// 0 stands for all of the CPU time, so that time + 1 is what nothing else stands for.
fn swap_zero(value: u64, cpu: u64) -> u64 {
    if value == 0 {
        cpu.wrapping_add(1)
    } else if value == cpu.wrapping_add(1) {
        0
    } else {
        value
    }
}

#[derive(Debug, Default)]
pub(super) struct ExitWriter {
    block: BlockWriter,
    totals: [Vec<u64>; TOTALS],
}

impl ExitWriter {
    pub(super) fn push(&mut self, exit: &Exit, words: &mut WordWriter) {
        use column as id;
        self.flags(exit);
        let all = exit.totals();
        let mut known = 0_u64;
        for (index, value) in all.iter().enumerate() {
            let Some(value) = value else { continue };
            known |= 1 << index;
            if index == USER_TIME
                && let Some(cpu_ns) = all[CPU_TIME]
            {
                let (ticks, system) = ticks(cpu_ns, *value).unwrap_or((0, 0));
                self.block.put(id::TICKS, ticks);
                if ticks > 0 {
                    self.block.put(id::SYSTEM_TICKS, system);
                    continue;
                }
            }
            self.totals[index].push(coded(index, *value, &all));
        }
        self.block.put(id::KNOWN, known);
        let number = |value: Option<u32>| value.map_or(0, |value| u64::from(value) + 1);
        self.block.put(id::CODE, number(exit.code));
        self.block.put(id::SIGNAL, number(exit.signal));
        if let Some(killer) = exit.killed_by.as_deref() {
            self.killer(killer, words);
        }
        self.block.rows += 1;
    }

    /// They come first: the first column of a table is there even where it is all zeros.
    fn flags(&mut self, exit: &Exit) {
        use column as id;
        let killer = exit.killed_by.as_deref();
        let uploaded = killer.is_some_and(|killer| matches!(killer.id.start, Start::Upload { .. }));
        let flags = [
            (exit.core_dumped, id::CORE_DUMPED),
            (exit.totals_final, id::TOTALS_FINAL),
            (exit.oom_killed.is_some(), id::OOM_KNOWN),
            (exit.oom_killed == Some(true), id::OOM_KILLED),
            (killer.is_some(), id::KILLED_BY),
            (uploaded, id::KILLER_UPLOADED),
        ];
        let set = flags.iter().filter(|(set, _)| *set);
        self.block.put(id::FLAGS, set.map(|(_, flag)| flag).sum());
    }

    fn killer(&mut self, killer: &Killer, words: &mut WordWriter) {
        use column as id;
        let (start, boot) = match killer.id.start {
            Start::Booted { ticks, boot } => (ticks, boot),
            Start::Upload { first_seen_ms } => (first_seen_ms as u64, 0),
        };
        self.block.put(id::KILLER_PID, u64::from(killer.id.pid));
        self.block.put(id::KILLER_START, start);
        self.block.put(id::KILLER_BOOT, u64::from(boot));
        let name = words.number(&killer.name);
        self.block.put(id::KILLER_NAME, u64::from(name));
        self.block.put(id::KILLER_UID, u64::from(killer.uid));
    }

    /// The table with all that was pushed; then it begins anew.
    pub(super) fn block(&mut self) -> &mut BlockWriter {
        for (index, values) in self.totals.iter_mut().enumerate() {
            // A column of zeros is left out, and its power of two with it.
            let all = values.iter().fold(0, |all, value| all | value);
            if all > 0 {
                let shift = all.trailing_zeros();
                let coded = values.iter().map(|value| value >> shift);
                let id = column::FIRST_TOTAL + index as u64;
                let coded = std::iter::once(u64::from(shift)).chain(coded);
                self.block.put_all(id, coded);
            }
            values.clear();
        }
        &mut self.block
    }
}

/// Whether one of the exits has a code and a signal, by their columns alone.
pub(super) fn has_exit(
    block: &Block<'_>,
    code: Option<u32>,
    signal: Option<u32>,
) -> Result<bool, SegmentError> {
    require_rows(block)?;
    let (mut codes, mut signals) = (block.column(column::CODE)?, block.column(column::SIGNAL)?);
    let is = |stored: u64, wanted: Option<u32>| {
        wanted.is_none_or(|wanted| stored == u64::from(wanted) + 1)
    };
    for _ in 0..block.rows {
        let (found_code, found_signal) = (codes.next()?, signals.next()?);
        if is(found_code, code) && is(found_signal, signal) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where no exit had a flag the column was left out by earlier servers, if they knew its user time.
fn require_rows(block: &Block<'_>) -> Result<(), SegmentError> {
    let flags = block.require_rows(column::FLAGS);
    flags.or_else(|_| block.require_rows(column::KNOWN))
}

/// Codes and signals of all exits, by their columns alone.
pub(super) fn each_end(
    block: &Block<'_>,
    mut each: impl FnMut(Option<u64>, Option<u64>),
) -> Result<(), SegmentError> {
    require_rows(block)?;
    let (mut codes, mut signals) = (block.column(column::CODE)?, block.column(column::SIGNAL)?);
    for _ in 0..block.rows {
        each(codes.next()?.checked_sub(1), signals.next()?.checked_sub(1));
    }
    Ok(())
}

#[derive(Debug)]
pub(super) struct ExitReader {
    flags: Values,
    known: Values,
    code: Values,
    signal: Values,
    killer: [Values; 5],
    ticks: Values,
    system_ticks: Values,
    totals: Vec<(u32, Values)>,
}

impl ExitReader {
    pub(super) fn new(block: &Block<'_>) -> Result<Self, SegmentError> {
        use column as id;
        let mut totals = Vec::with_capacity(TOTALS);
        for index in 0..TOTALS as u64 {
            let mut values = block.column(id::FIRST_TOTAL + index)?;
            let shift = values.next()?;
            if shift > 63 {
                return Err(SegmentError::Lengths);
            }
            totals.push((shift as u32, values));
        }
        Ok(Self {
            flags: block.column(id::FLAGS)?,
            known: block.column(id::KNOWN)?,
            code: block.column(id::CODE)?,
            signal: block.column(id::SIGNAL)?,
            killer: [
                block.column(id::KILLER_PID)?,
                block.column(id::KILLER_START)?,
                block.column(id::KILLER_BOOT)?,
                block.column(id::KILLER_NAME)?,
                block.column(id::KILLER_UID)?,
            ],
            ticks: block.column(id::TICKS)?,
            system_ticks: block.column(id::SYSTEM_TICKS)?,
            totals,
        })
    }

    pub(super) fn next(&mut self, words: &Words) -> Result<Exit, SegmentError> {
        use column as id;
        let (flags, known) = (self.flags.next()?, self.known.next()?);
        let number = |stored: u64| stored.checked_sub(1).map(|value| value as u32);
        let mut exit = Exit {
            code: number(self.code.next()?),
            signal: number(self.signal.next()?),
            core_dumped: flags & id::CORE_DUMPED != 0,
            totals_final: flags & id::TOTALS_FINAL != 0,
            oom_killed: (flags & id::OOM_KNOWN != 0).then_some(flags & id::OOM_KILLED != 0),
            ..Exit::default()
        };
        let mut totals = [None; TOTALS];
        for (index, (shift, values)) in self.totals.iter_mut().enumerate() {
            if known & (1 << index) == 0 {
                continue;
            }
            if index == USER_TIME
                && let Some(cpu_ns) = totals[CPU_TIME]
            {
                let ticks = self.ticks.next()?;
                if ticks > 0 {
                    let system = self.system_ticks.next()?;
                    totals[index] = Some(user_of_ticks(cpu_ns, ticks, system));
                    continue;
                }
            }
            let coded = values.next()? << *shift;
            totals[index] = Some(decoded(index, coded, &totals));
        }
        for (total, value) in exit.totals_mut().into_iter().zip(totals) {
            *total = value;
        }
        if flags & id::KILLED_BY != 0 {
            exit.killed_by = Some(Box::new(self.killer(flags, words)?));
        }
        Ok(exit)
    }

    fn killer(&mut self, flags: u64, words: &Words) -> Result<Killer, SegmentError> {
        let [pid, start, boot, name, uid] = &mut self.killer;
        let (pid, start, boot) = (pid.next()? as u32, start.next()?, boot.next()? as u32);
        let start = if flags & column::KILLER_UPLOADED != 0 {
            Start::Upload {
                first_seen_ms: start as i64,
            }
        } else {
            Start::Booted { ticks: start, boot }
        };
        Ok(Killer {
            id: ProcessId { pid, start },
            name: words.bytes(name.next()? as u32)?.into(),
            uid: uid.next()? as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::segment::container::Effort;

    #[test]
    fn exits_without_flags_are_found() {
        let (mut words, mut written) = (WordWriter::default(), ExitWriter::default());
        let mut exit = Exit {
            code: Some(3),
            ..Exit::default()
        };
        for index in [CPU_TIME, USER_TIME] {
            *exit.totals_mut()[index] = Some(5);
        }
        written.push(&exit, &mut words);
        let mut before = BlockWriter::default();
        before.put(column::TICKS, 0);
        before.put(column::FLAGS, 0);
        before.put(column::KNOWN, 3);
        before.put(column::CODE, 4);
        before.rows = 1;
        for block in [written.block(), &mut before] {
            let mut bytes = Vec::new();
            block.finish(Effort::Light, &mut bytes);
            let block = Block::open(&bytes).expect("just written");
            assert_eq!(has_exit(&block, Some(3), None), Ok(true));
            assert_eq!(has_exit(&block, Some(4), None), Ok(false));
        }
    }

    proptest! {
        #[test]
        fn times_are_told_by_each_other(cpu in 0..4_u64, user in 0..4_u64, system in any::<u64>(), high in any::<bool>()) {
            let lift = |value: u64| if high { u64::MAX - value } else { value };
            let mut all = [None; TOTALS];
            all[CPU_TIME] = Some(lift(cpu));
            all[USER_TIME] = Some(lift(user));
            all[SYSTEM_TIME] = Some(system);
            for index in [USER_TIME, SYSTEM_TIME] {
                let value = all[index].unwrap_or(0);
                prop_assert_eq!(decoded(index, coded(index, value, &all), &all), value);
            }
        }
    }
}
