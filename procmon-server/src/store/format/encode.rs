//! Batch to bytes.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::ids::Start;

use super::bytes::{put, put_signed};
use super::container::pack;
use super::encode_kinds::{
    encode_block_latency, encode_exit, encode_loss, encode_oom, encode_short_lived, encode_slow_io,
};
use super::strings::Interner;
use super::table::TableWriter;
use super::{column, section, span};
use crate::batch::{Batch, Credentials, Event, EventKind, Frame, Image, Life, Totals};

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
        writer.interval(frame);
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
        (section::OOMS, writer.ooms),
        (section::SHORT_LIVED, writer.short_lived),
        (section::BLOCK_LATENCY, writer.block_latency),
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
    ooms: TableWriter,
    short_lived: TableWriter,
    block_latency: TableWriter,
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
            EventKind::Exit(exit) => encode_exit(exit, &mut self.strings, &mut self.exits),
            EventKind::SlowIo(io) => encode_slow_io(io, &mut self.strings, &mut self.slow_io),
            EventKind::Loss(loss) => encode_loss(loss, &mut self.strings, &mut self.losses),
            EventKind::Oom(oom) => encode_oom(oom, &mut self.strings, &mut self.ooms),
        }
    }

    /// What completed and ended between the samples.
    fn interval(&mut self, frame: &'a Frame) {
        for group in &frame.short_lived {
            encode_short_lived(group, &mut self.strings, &mut self.short_lived);
        }
        for latency in &frame.block_latency {
            encode_block_latency(latency, &mut self.strings, &mut self.block_latency);
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
        let looks_cut = life.image.as_deref().is_some_and(looks_cut);
        let tells_cut = life.image.as_ref().is_some_and(|image| image.args_cut);
        let mut flags = 0;
        for (set, flag) in [
            (life.started_ns.is_some(), id::HAS_STARTED),
            (has_image, id::HAS_IMAGE),
            (has_credentials, id::HAS_CREDENTIALS),
            (life.baseline, id::IS_BASELINE),
            (tells_cut && !looks_cut, id::ARGS_ARE_CUT),
            (!tells_cut && looks_cut, id::ARGS_ARE_WHOLE),
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
        let image = life.image.as_deref();
        let name = text(image.map(|image| &*image.name));
        let exe = text(image.map(|image| &*image.exe));
        let args = text(image.map(|image| &*image.args));
        let username = text(life.username().map(str::as_bytes));
        let cgroup = text(life.cgroup.as_deref().map(str::as_bytes));
        let container = text(life.container_id.as_deref().map(str::as_bytes));
        let unit = text(life.systemd_unit.as_deref().map(str::as_bytes));
        let image = image.unwrap_or(empty.0);
        let credentials = life.credentials.as_deref().unwrap_or(empty.1);
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
            .put_known(id::NAMESPACE_PID, wide(life.namespace_pid))
            .put(
                id::ARGS_GROWN,
                (image.args.len() as u64).saturating_sub(image.args_bytes),
            )
            .put_known(id::SYSTEMD_UNIT, unit);
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

/// What the lengths of argv say of it, where nothing was replaced in it.
fn looks_cut(image: &Image) -> bool {
    image.args_bytes > image.args.len() as u64
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
