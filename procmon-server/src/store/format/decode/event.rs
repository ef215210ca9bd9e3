//! Events, and the tables of what some kinds of them add.

use std::sync::Arc;

use procmon_common::ids::{ProcessId, Start};

use super::life::reference;
use crate::batch::{Event, EventKind, Exit, Killer, Life, Loss, Oom, Operation, SlowIo};
use crate::store::format::container::Sections;
use crate::store::format::strings::Strings;
use crate::store::format::table::{ColumnReader, Table};
use crate::store::format::{FormatError, column, section};

pub(super) fn read_events(
    sections: &Sections<'_>,
    strings: &Strings<'_>,
    lives: &[Arc<Life>],
) -> Result<Vec<Event>, FormatError> {
    use column::event::{KIND, LIFE, SAMPLED, TS_NS};
    let bytes = sections.read(section::EVENTS)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(&bytes, TS_NS)?;
    let (exits, slow_io, losses, ooms) = (
        sections.read(section::EXITS)?,
        sections.read(section::SLOW_IO)?,
        sections.read(section::LOSSES)?,
        sections.read(section::OOMS)?,
    );
    let mut exits = read_exits(&exits, strings)?.into_iter();
    let mut ooms = read_ooms(&ooms, strings)?.into_iter();
    let mut slow_io = read_slow_io(&slow_io, strings)?.into_iter();
    let mut losses = read_losses(&losses, strings)?.into_iter();
    let (mut ts, mut kind, mut life) =
        (table.column(TS_NS), table.column(KIND), table.column(LIFE));
    let mut events = Vec::with_capacity(table.rows);
    let mut ts_ns = 0_i64;
    for _ in 0..table.rows {
        ts_ns = ts_ns.wrapping_add(ts.signed()?);
        let (kind, life) = (kind.next()?, life.known()?);
        let exhausted = FormatError::Reference;
        let known = match kind & (SAMPLED - 1) {
            0 => EventKind::Fork,
            1 => EventKind::Exec,
            2 => EventKind::Exit(Box::new(exits.next().ok_or(exhausted)?)),
            3 => EventKind::SlowIo(Box::new(slow_io.next().ok_or(exhausted)?)),
            4 => EventKind::Loss(Box::new(losses.next().ok_or(exhausted)?)),
            5 => EventKind::Oom(Box::new(ooms.next().ok_or(exhausted)?)),
            _ => continue,
        };
        events.push(Event {
            ts_ns,
            life: life.map(|number| reference(lives, number)).transpose()?,
            sampled: kind & SAMPLED != 0,
            kind: known,
        });
    }
    Ok(events)
}

fn read_exits(bytes: &[u8], strings: &Strings<'_>) -> Result<Vec<Exit>, FormatError> {
    use column::exit::{CODE, CORE_DUMPED, FIRST_TOTAL, FLAGS, OOM_KILLED, SIGNAL, TOTALS_FINAL};
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, FLAGS)?;
    let (mut flags, mut code, mut signal) = (
        table.column(FLAGS),
        table.column(CODE),
        table.column(SIGNAL),
    );
    let mut totals: [ColumnReader<'_>; 14] =
        std::array::from_fn(|index| table.column(FIRST_TOTAL + index as u64));
    let mut oom_killed = table.column(OOM_KILLED);
    let mut killers = KillerReader::new(&table);
    let mut exits = Vec::with_capacity(table.rows);
    for _ in 0..table.rows {
        let flags = flags.next()?;
        let mut exit = Exit {
            code: code.known_u32()?,
            signal: signal.known_u32()?,
            core_dumped: flags & CORE_DUMPED != 0,
            totals_final: flags & TOTALS_FINAL != 0,
            oom_killed: oom_killed.known()?.map(|killed| killed != 0),
            killed_by: killers.next(strings)?.map(Box::new),
            ..Exit::default()
        };
        for (total, column) in exit.totals_mut().into_iter().zip(&mut totals) {
            *total = column.known()?;
        }
        exits.push(exit);
    }
    Ok(exits)
}

struct KillerReader<'a> {
    pid: ColumnReader<'a>,
    start: ColumnReader<'a>,
    boot: ColumnReader<'a>,
    name: ColumnReader<'a>,
    uid: ColumnReader<'a>,
}

impl<'a> KillerReader<'a> {
    fn new(table: &Table<'a>) -> Self {
        use column::exit::{KILLER_BOOT, KILLER_NAME, KILLER_PID, KILLER_START, KILLER_UID};
        Self {
            pid: table.column(KILLER_PID),
            start: table.column(KILLER_START),
            boot: table.column(KILLER_BOOT),
            name: table.column(KILLER_NAME),
            uid: table.column(KILLER_UID),
        }
    }

    fn next(&mut self, strings: &Strings<'_>) -> Result<Option<Killer>, FormatError> {
        let pid = self.pid.known_u32()?;
        let (ticks, boot) = (self.start.next()?, self.boot.next()? as u32);
        let (name, uid) = (self.name.known()?, self.uid.next()? as u32);
        let Some(pid) = pid else {
            return Ok(None);
        };
        Ok(Some(Killer {
            id: ProcessId {
                pid,
                start: Start::Booted { ticks, boot },
            },
            name: match name {
                Some(number) => strings.bytes(number)?.into(),
                None => Box::default(),
            },
            uid,
        }))
    }
}

fn read_slow_io(bytes: &[u8], strings: &Strings<'_>) -> Result<Vec<SlowIo>, FormatError> {
    use column::slow_io::{BYTES, DEVICE, LATENCY_NS, MAJOR, MINOR, OPERATION, WRITEBACK};
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, MAJOR)?;
    let (mut major, mut minor, mut device) = (
        table.column(MAJOR),
        table.column(MINOR),
        table.column(DEVICE),
    );
    let (mut operation, mut size) = (table.column(OPERATION), table.column(BYTES));
    let (mut latency, mut writeback) = (table.column(LATENCY_NS), table.column(WRITEBACK));
    (0..table.rows)
        .map(|_| {
            Ok(SlowIo {
                major: major.next()? as u32,
                minor: minor.next()? as u32,
                device: strings.text(device.next()?)?,
                operation: Operation::from_number(operation.next()?),
                bytes: size.next()?,
                latency_ns: latency.next()?,
                writeback: writeback.next()? != 0,
            })
        })
        .collect()
}

fn read_losses(bytes: &[u8], strings: &Strings<'_>) -> Result<Vec<Loss>, FormatError> {
    use column::loss::{CGROUP, COMMAND, COUNT, FROM_NS, KIND, REASON};
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, KIND)?;
    let (mut kind, mut reason) = (table.column(KIND), table.column(REASON));
    let (mut count, mut from_ns) = (table.column(COUNT), table.column(FROM_NS));
    let (mut command, mut cgroup) = (table.column(COMMAND), table.column(CGROUP));
    (0..table.rows)
        .map(|_| {
            Ok(Loss {
                kind: strings.text(kind.next()?)?,
                reason: strings.text(reason.next()?)?,
                count: count.next()?,
                from_ns: from_ns.signed()?,
                command: known_bytes(command.known()?, strings)?,
                cgroup: known_text(cgroup.known()?, strings)?,
            })
        })
        .collect()
}

fn read_ooms(bytes: &[u8], strings: &Strings<'_>) -> Result<Vec<Oom>, FormatError> {
    use column::oom::{FLAGS, HAS_SCORE_ADJ, MEMORY_CGROUP, RSS_BYTES, SCORE_ADJ};
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, FLAGS)?;
    let (mut flags, mut cgroup) = (table.column(FLAGS), table.column(MEMORY_CGROUP));
    let (mut rss, mut score) = (table.column(RSS_BYTES), table.column(SCORE_ADJ));
    (0..table.rows)
        .map(|_| {
            let has_score = flags.next()? & HAS_SCORE_ADJ != 0;
            let score = score.signed()? as i32;
            Ok(Oom {
                memory_cgroup: known_text(cgroup.known()?, strings)?,
                rss_bytes: rss.known()?,
                oom_score_adj: has_score.then_some(score),
            })
        })
        .collect()
}

pub(super) fn known_text(
    number: Option<u64>,
    strings: &Strings<'_>,
) -> Result<Option<Box<str>>, FormatError> {
    number.map(|number| strings.text(number)).transpose()
}

pub(super) fn known_bytes(
    number: Option<u64>,
    strings: &Strings<'_>,
) -> Result<Option<Box<[u8]>>, FormatError> {
    number
        .map(|number| strings.bytes(number).map(Box::from))
        .transpose()
}
