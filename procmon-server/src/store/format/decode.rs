//! Bytes to batch.

use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::{ProcessId, Start};

use super::bytes::Reader;
use super::container::Sections;
use super::strings::Strings;
use super::table::{ColumnReader, Table};
use super::{FormatError, column, section, span};
use crate::batch::{
    Batch, ColumnChanges, Credentials, Event, EventKind, Exit, Frame, Image, Life, Loss, Operation,
    SlowIo, Totals,
};

/// All of a stored batch.
pub fn decode(bytes: &[u8]) -> Result<Batch, FormatError> {
    let sections = Sections::open(bytes)?;
    let dictionary = sections.read(section::STRINGS)?;
    let strings = Strings::read(&dictionary)?;
    let lives = read_lives(&sections.read(section::LIVES)?, &strings)?;
    let mut batch = Batch {
        events: read_events(&sections, &strings, &lives)?,
        ..Batch::default()
    };
    read_span(&sections.read(section::SPAN)?, &lives, &mut batch)?;
    batch.frame = read_frame(
        &sections.read(section::FRAME)?,
        &sections.read(section::PORTS)?,
    )?;
    batch.totals = read_totals(&sections.read(section::TOTALS)?)?;
    Ok(batch)
}

/// The events of a stored batch, without its sample.
pub fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, FormatError> {
    let sections = Sections::open(bytes)?;
    let dictionary = sections.read(section::STRINGS)?;
    let strings = Strings::read(&dictionary)?;
    let lives = read_lives(&sections.read(section::LIVES)?, &strings)?;
    read_events(&sections, &strings, &lives)
}

fn read_lives(bytes: &[u8], strings: &Strings<'_>) -> Result<Vec<Arc<Life>>, FormatError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, column::life::FLAGS)?;
    let mut reader = LifeReader::new(&table);
    (0..table.rows)
        .map(|_| reader.next(strings).map(Arc::new))
        .collect()
}

struct LifeReader<'a> {
    columns: [ColumnReader<'a>; 19],
    start: i64,
    started_ns: i64,
}

impl<'a> LifeReader<'a> {
    fn new(table: &Table<'a>) -> Self {
        Self {
            columns: std::array::from_fn(|index| table.column(index as u64 + 1)),
            start: 0,
            started_ns: 0,
        }
    }

    fn column(&mut self, id: u64) -> &mut ColumnReader<'a> {
        &mut self.columns[id as usize - 1]
    }

    fn next(&mut self, strings: &Strings<'_>) -> Result<Life, FormatError> {
        use column::life as id;
        let flags = self.column(id::FLAGS).next()?;
        let pid = self.column(id::PID).known_u32()?;
        self.start = self.start.wrapping_add(self.column(id::START).signed()?);
        let start = match self.column(id::BOOT).known_u32()? {
            Some(boot) => Start::Booted {
                ticks: self.start as u64,
                boot,
            },
            None => Start::Upload {
                first_seen_ms: self.start,
            },
        };
        let started_delta = self.column(id::STARTED_NS).signed()?;
        self.started_ns = self.started_ns.wrapping_add(started_delta);
        let image = self.image(strings, flags & id::HAS_IMAGE != 0)?;
        let credentials = self.credentials(strings)?;
        let parent = self.column(id::PPID).known_u32()?;
        let mut text = |id| -> Result<Option<Box<str>>, FormatError> {
            let number = self.columns[id as usize - 1].known()?;
            number.map(|number| strings.text(number)).transpose()
        };
        Ok(Life {
            cgroup: text(id::CGROUP)?,
            container_id: text(id::CONTAINER)?,
            id: pid.map(|pid| ProcessId { pid, start }),
            ppid: parent,
            started_ns: (flags & id::HAS_STARTED != 0).then_some(self.started_ns),
            image,
            credentials: (flags & id::HAS_CREDENTIALS != 0).then_some(credentials),
            pid_namespace: self.column(id::PID_NAMESPACE).known_u32()?,
            namespace_pid: self.column(id::NAMESPACE_PID).known_u32()?,
            baseline: flags & id::IS_BASELINE != 0,
        })
    }

    fn image(&mut self, strings: &Strings<'_>, known: bool) -> Result<Option<Image>, FormatError> {
        use column::life as id;
        let seq = self.column(id::IMAGE_SEQ).next()? as u32;
        let name = self.column(id::NAME).next()?;
        let exe = self.column(id::EXE).next()?;
        let args = self.column(id::ARGS).next()?;
        let cut = self.column(id::ARGS_CUT).next()?;
        if !known {
            return Ok(None);
        }
        let args = strings.bytes(args)?;
        Ok(Some(Image {
            seq,
            name: strings.bytes(name)?.into(),
            exe: strings.bytes(exe)?.into(),
            args: args.into(),
            args_bytes: cut.saturating_add(args.len() as u64),
        }))
    }

    fn credentials(&mut self, strings: &Strings<'_>) -> Result<Credentials, FormatError> {
        use column::life as id;
        let username = self.column(id::USERNAME).known()?;
        Ok(Credentials {
            uid: self.column(id::UID).known_u32()?,
            euid: self.column(id::EUID).known_u32()?,
            gid: self.column(id::GID).known_u32()?,
            username: username.map(|number| strings.text(number)).transpose()?,
        })
    }
}

fn read_events(
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

fn reference(lives: &[Arc<Life>], number: u64) -> Result<Arc<Life>, FormatError> {
    usize::try_from(number)
        .ok()
        .and_then(|index| lives.get(index))
        .cloned()
        .ok_or(FormatError::Reference)
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

fn read_span(bytes: &[u8], lives: &[Arc<Life>], batch: &mut Batch) -> Result<(), FormatError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(bytes);
    let flags = reader.number()?;
    batch.key = flags & span::KEY != 0;
    batch.more = flags & span::MORE != 0;
    batch.continues = flags & span::CONTINUES != 0;
    for _ in 0..reader.count()? {
        batch.ended.push(reader.number()? as u32);
    }
    let mut handle = 0_i64;
    for _ in 0..reader.count()? {
        handle = handle.wrapping_add(reader.signed()?);
        let number = reader.number()?;
        batch.lives.push((handle as u32, reference(lives, number)?));
    }
    Ok(())
}

fn read_frame(bytes: &[u8], ports: &[u8]) -> Result<Option<Frame>, FormatError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let mut frame = Frame {
        ts_ns: reader.signed()?,
        ..Frame::default()
    };
    for _ in 0..reader.count()? {
        let id = reader.number()?;
        let mut block = reader.block()?;
        let Some(column) = u32::try_from(id).ok().and_then(Column::from_id) else {
            continue;
        };
        let count = block.count()?;
        let mut changes = Vec::with_capacity(count);
        let mut handle = 0_u64;
        for _ in 0..count {
            handle = handle.wrapping_add(block.number()?);
            changes.push((handle as u32, 0));
        }
        for change in &mut changes {
            change.1 = block.signed()?;
        }
        frame.columns.push(ColumnChanges { column, changes });
    }
    frame.ports = read_ports(ports)?;
    Ok(Some(frame))
}

fn read_ports(bytes: &[u8]) -> Result<Vec<(u32, Vec<u16>)>, FormatError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let handle = reader.number()? as u32;
        let count = reader.count()?;
        let ports = (0..count)
            .map(|_| Ok(reader.number()? as u16))
            .collect::<Result<_, _>>()?;
        all.push((handle, ports));
    }
    Ok(all)
}

fn read_totals(bytes: &[u8]) -> Result<Option<Totals>, FormatError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let table = Table::read(bytes, 1)?;
    if table.rows == 0 {
        return Ok(None);
    }
    let number = |id| table.column(id).next();
    Ok(Some(Totals {
        cpus: number(1)? as u32,
        memory_total_bytes: number(2)?,
        memory_available_bytes: number(3)?,
        swap_total_bytes: number(4)?,
        swap_used_bytes: number(5)?,
        boot_ns: table.column(6).signed()?,
        cpu_centipercent: table.column(7).known_u32()?,
        load_centi: [number(8)? as u32, number(9)? as u32, number(10)? as u32],
    }))
}
