//! Batch to bytes.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::ids::Start;

use super::bytes::{put, put_signed};
use super::container::pack;
use super::strings::Interner;
use super::table::TableWriter;
use super::{column, section, span};
use crate::batch::{Batch, Credentials, Event, EventKind, Exit, Frame, Image, Life, Totals};

/// A batch in the storage format.
pub fn encode(batch: &Batch) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut events = TableWriter::default();
    let mut before_ns = 0_i64;
    for event in &batch.events {
        writer.event(event, before_ns, &mut events);
        before_ns = event.ts_ns;
    }
    let mut sections = vec![(section::SPAN, writer.span(batch))];
    if let Some(frame) = &batch.frame {
        sections.push((section::FRAME, encode_frame(frame)));
        if !frame.ports.is_empty() {
            sections.push((section::PORTS, encode_ports(frame)));
        }
    }
    if let Some(totals) = &batch.totals {
        sections.push((section::TOTALS, encode_totals(totals)));
    }
    let tables = [
        (section::LIVES, writer.lives),
        (section::EVENTS, events),
        (section::EXITS, writer.exits),
        (section::SLOW_IO, writer.slow_io),
        (section::LOSSES, writer.losses),
    ];
    for (id, table) in tables {
        if !table.is_empty() {
            sections.push((id, table.finish()));
        }
    }
    if !writer.strings.is_empty() {
        sections.push((section::STRINGS, writer.strings.finish()));
    }
    pack(&sections)
}

#[derive(Default)]
struct Writer<'a> {
    strings: Interner<'a>,
    lives: TableWriter,
    /// By address: the events of one life share it.
    numbers: HashMap<*const Life, u64, foldhash::fast::RandomState>,
    last_start: i64,
    last_started_ns: i64,
    exits: TableWriter,
    slow_io: TableWriter,
    losses: TableWriter,
}

impl<'a> Writer<'a> {
    fn event(&mut self, event: &'a Event, before_ns: i64, events: &mut TableWriter) {
        use column::event::{KIND, LIFE, SAMPLED, TS_NS};
        let life = event.life.as_ref().map(|life| self.life(life));
        let sampled = if event.sampled { SAMPLED } else { 0 };
        events
            .row()
            .put_signed(TS_NS, event.ts_ns.wrapping_sub(before_ns))
            .put(KIND, u64::from(event.kind.number()) + sampled)
            .put_known(LIFE, life);
        match &event.kind {
            EventKind::Fork | EventKind::Exec => {}
            EventKind::Exit(exit) => encode_exit(exit, &mut self.exits),
            EventKind::SlowIo(io) => {
                use column::slow_io::{
                    BYTES, DEVICE, LATENCY_NS, MAJOR, MINOR, OPERATION, WRITEBACK,
                };
                let device = self.strings.intern(io.device.as_bytes());
                self.slow_io
                    .row()
                    .put(MAJOR, u64::from(io.major))
                    .put(MINOR, u64::from(io.minor))
                    .put(DEVICE, device)
                    .put(OPERATION, io.operation as u64)
                    .put(BYTES, io.bytes)
                    .put(LATENCY_NS, io.latency_ns)
                    .put(WRITEBACK, u64::from(io.writeback));
            }
            EventKind::Loss(loss) => {
                use column::loss::{COUNT, FROM_NS, KIND, REASON};
                let kind = self.strings.intern(loss.kind.as_bytes());
                let reason = self.strings.intern(loss.reason.as_bytes());
                self.losses
                    .row()
                    .put(KIND, kind)
                    .put(REASON, reason)
                    .put(COUNT, loss.count)
                    .put_signed(FROM_NS, loss.from_ns);
            }
        }
    }

    /// The number of a life in the table of lives.
    fn life(&mut self, life: &'a Arc<Life>) -> u64 {
        let next = self.numbers.len() as u64;
        let address = Arc::as_ptr(life);
        if let Some(number) = self.numbers.get(&address) {
            return *number;
        }
        self.numbers.insert(address, next);
        self.add_life(life);
        next
    }

    fn add_life(&mut self, life: &'a Life) {
        use column::life as id;
        let empty = (&Image::default(), &Credentials::default());
        // The empty defaults only fill columns whose flag says that they mean nothing.
        let (has_image, has_credentials) = (life.image.is_some(), life.credentials.is_some());
        let mut flags = 0;
        for (set, flag) in [
            (life.started_ns.is_some(), id::HAS_STARTED),
            (has_image, id::HAS_IMAGE),
            (has_credentials, id::HAS_CREDENTIALS),
            (life.baseline, id::IS_BASELINE),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let (start, boot) = match life.id.map(|id| id.start) {
            Some(Start::Booted { ticks, boot }) => (ticks as i64, Some(u64::from(boot))),
            Some(Start::Upload { first_seen_ms }) => (first_seen_ms, None),
            None => (self.last_start, None),
        };
        let start_delta = start.wrapping_sub(self.last_start);
        self.last_start = start;
        let started_ns = life.started_ns.unwrap_or(self.last_started_ns);
        let started_delta = started_ns.wrapping_sub(self.last_started_ns);
        self.last_started_ns = started_ns;
        let mut text = |bytes: Option<&'a [u8]>| bytes.map(|bytes| self.strings.intern(bytes));
        let image = life.image.as_ref();
        let name = text(image.map(|image| &*image.name));
        let exe = text(image.map(|image| &*image.exe));
        let args = text(image.map(|image| &*image.args));
        let username = text(life.username().map(str::as_bytes));
        let cgroup = text(life.cgroup.as_deref().map(str::as_bytes));
        let container = text(life.container_id.as_deref().map(str::as_bytes));
        let image = image.unwrap_or(empty.0);
        let credentials = life.credentials.as_ref().unwrap_or(empty.1);
        let wide = |value: Option<u32>| value.map(u64::from);
        self.lives
            .row()
            .put(id::FLAGS, flags)
            .put_known(id::PID, life.id.map(|id| u64::from(id.pid)))
            .put_signed(id::START, start_delta)
            .put_known(id::BOOT, boot)
            .put_known(id::PPID, wide(life.ppid))
            .put_signed(id::STARTED_NS, started_delta)
            .put(id::IMAGE_SEQ, u64::from(image.seq))
            .put(id::NAME, name.unwrap_or(0))
            .put(id::EXE, exe.unwrap_or(0))
            .put(id::ARGS, args.unwrap_or(0))
            .put(
                id::ARGS_CUT,
                image.args_bytes.saturating_sub(image.args.len() as u64),
            )
            .put_known(id::UID, wide(credentials.uid))
            .put_known(id::EUID, wide(credentials.euid))
            .put_known(id::GID, wide(credentials.gid))
            .put_known(id::USERNAME, username)
            .put_known(id::CGROUP, cgroup)
            .put_known(id::CONTAINER, container)
            .put_known(id::PID_NAMESPACE, wide(life.pid_namespace))
            .put_known(id::NAMESPACE_PID, wide(life.namespace_pid));
    }

    fn span(&mut self, batch: &'a Batch) -> Vec<u8> {
        let mut out = Vec::new();
        let flags = [
            (batch.key, span::KEY),
            (batch.more, span::MORE),
            (batch.continues, span::CONTINUES),
        ];
        let set = flags.iter().filter(|(set, _)| *set);
        put(&mut out, set.map(|(_, flag)| flag).sum());
        put(&mut out, batch.ended.len() as u64);
        for handle in &batch.ended {
            put(&mut out, u64::from(*handle));
        }
        put(&mut out, batch.lives.len() as u64);
        let mut before = 0;
        for (handle, life) in &batch.lives {
            put_signed(&mut out, i64::from(*handle) - before);
            before = i64::from(*handle);
            let number = self.life(life);
            put(&mut out, number);
        }
        out
    }
}

fn encode_exit(exit: &Exit, exits: &mut TableWriter) {
    use column::exit::{CODE, CORE_DUMPED, FIRST_TOTAL, FLAGS, SIGNAL, TOTALS_FINAL};
    let core_dumped = if exit.core_dumped { CORE_DUMPED } else { 0 };
    let totals_final = if exit.totals_final { TOTALS_FINAL } else { 0 };
    let mut row = exits.row();
    row.put(FLAGS, core_dumped + totals_final)
        .put_known(CODE, exit.code.map(u64::from))
        .put_known(SIGNAL, exit.signal.map(u64::from));
    for (id, total) in (FIRST_TOTAL..).zip(exit_totals(exit)) {
        row.put_known(id, total);
    }
}

/// In the order of their column numbers.
fn exit_totals(exit: &Exit) -> [Option<u64>; 14] {
    [
        exit.cpu_time_ns,
        exit.user_time_ns,
        exit.system_time_ns,
        exit.max_rss_bytes,
        exit.read_bytes,
        exit.write_bytes,
        exit.read_chars,
        exit.write_chars,
        exit.read_calls,
        exit.write_calls,
        exit.voluntary_switches,
        exit.involuntary_switches,
        exit.minor_faults,
        exit.major_faults,
    ]
}

fn encode_frame(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    put_signed(&mut out, frame.ts_ns);
    put(&mut out, frame.columns.len() as u64);
    for changes in &frame.columns {
        put(&mut out, u64::from(changes.column.id()));
        let mut column = Vec::with_capacity(changes.changes.len() * 3);
        put(&mut column, changes.changes.len() as u64);
        let mut before = 0;
        for (handle, _) in &changes.changes {
            put(&mut column, u64::from(*handle).wrapping_sub(before));
            before = u64::from(*handle);
        }
        for (_, delta) in &changes.changes {
            put_signed(&mut column, *delta);
        }
        put(&mut out, column.len() as u64);
        out.extend_from_slice(&column);
    }
    out
}

fn encode_ports(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, frame.ports.len() as u64);
    for (handle, ports) in &frame.ports {
        put(&mut out, u64::from(*handle));
        put(&mut out, ports.len() as u64);
        for port in ports {
            put(&mut out, u64::from(*port));
        }
    }
    out
}

fn encode_totals(totals: &Totals) -> Vec<u8> {
    let mut table = TableWriter::default();
    let mut row = table.row();
    row.put(1, u64::from(totals.cpus))
        .put(2, totals.memory_total_bytes)
        .put(3, totals.memory_available_bytes)
        .put(4, totals.swap_total_bytes)
        .put(5, totals.swap_used_bytes)
        .put_signed(6, totals.boot_ns)
        .put_known(7, totals.cpu_centipercent.map(u64::from));
    for (id, load) in (8..).zip(totals.load_centi) {
        row.put(id, u64::from(load));
    }
    table.finish()
}
