//! Events, and the tables of what some kinds of them add.

use std::sync::Arc;

use super::life::reference;
use crate::batch::{Event, EventKind, Exit, Life, Loss, Operation, SlowIo};
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
    let (exits, slow_io, losses) = (
        sections.read(section::EXITS)?,
        sections.read(section::SLOW_IO)?,
        sections.read(section::LOSSES)?,
    );
    let mut exits = read_exits(&exits)?.into_iter();
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

fn read_exits(bytes: &[u8]) -> Result<Vec<Exit>, FormatError> {
    use column::exit::{CODE, CORE_DUMPED, FIRST_TOTAL, FLAGS, SIGNAL, TOTALS_FINAL};
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
    let mut exits = Vec::with_capacity(table.rows);
    for _ in 0..table.rows {
        let flags = flags.next()?;
        let mut exit = Exit {
            code: code.known_u32()?,
            signal: signal.known_u32()?,
            core_dumped: flags & CORE_DUMPED != 0,
            totals_final: flags & TOTALS_FINAL != 0,
            ..Exit::default()
        };
        for (total, column) in exit_totals_mut(&mut exit).into_iter().zip(&mut totals) {
            *total = column.known()?;
        }
        exits.push(exit);
    }
    Ok(exits)
}

/// In the order of their column numbers.
fn exit_totals_mut(exit: &mut Exit) -> [&mut Option<u64>; 14] {
    [
        &mut exit.cpu_time_ns,
        &mut exit.user_time_ns,
        &mut exit.system_time_ns,
        &mut exit.max_rss_bytes,
        &mut exit.read_bytes,
        &mut exit.write_bytes,
        &mut exit.read_chars,
        &mut exit.write_chars,
        &mut exit.read_calls,
        &mut exit.write_calls,
        &mut exit.voluntary_switches,
        &mut exit.involuntary_switches,
        &mut exit.minor_faults,
        &mut exit.major_faults,
    ]
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
    use column::loss::{COUNT, FROM_NS, KIND, REASON};
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, KIND)?;
    let (mut kind, mut reason) = (table.column(KIND), table.column(REASON));
    let (mut count, mut from_ns) = (table.column(COUNT), table.column(FROM_NS));
    (0..table.rows)
        .map(|_| {
            Ok(Loss {
                kind: strings.text(kind.next()?)?,
                reason: strings.text(reason.next()?)?,
                count: count.next()?,
                from_ns: from_ns.signed()?,
            })
        })
        .collect()
}
