//! What some kinds of events, and the time between two samples, add to a batch: rows of tables of their own.

use procmon_common::ids::Start;

use super::column;
use super::strings::Interner;
use super::table::TableWriter;
use crate::batch::{BlockLatency, BlockSource, Exit, Loss, Oom, ShortLived, SlowIo};

pub(super) fn encode_exit<'a>(exit: &'a Exit, strings: &mut Interner<'a>, exits: &mut TableWriter) {
    use column::exit::{
        CODE, CORE_DUMPED, FIRST_TOTAL, FLAGS, KILLER_BOOT, KILLER_NAME, KILLER_PID, KILLER_START,
        KILLER_UID, OOM_KILLED, SIGNAL, TOTALS_FINAL,
    };
    let core_dumped = if exit.core_dumped { CORE_DUMPED } else { 0 };
    let totals_final = if exit.totals_final { TOTALS_FINAL } else { 0 };
    let mut row = exits.row();
    row.put(FLAGS, core_dumped + totals_final)
        .put_known(CODE, exit.code.map(u64::from))
        .put_known(SIGNAL, exit.signal.map(u64::from));
    for (id, total) in (FIRST_TOTAL..).zip(exit.totals()) {
        row.put_known(id, total);
    }
    let killer = exit.killed_by.as_deref();
    let (start, boot) = match killer.map(|killer| killer.id.start) {
        Some(Start::Booted { ticks, boot }) => (ticks, u64::from(boot)),
        _ => (0, 0),
    };
    row.put_known(OOM_KILLED, exit.oom_killed.map(u64::from))
        .put_known(KILLER_PID, killer.map(|killer| u64::from(killer.id.pid)))
        .put(KILLER_START, start)
        .put(KILLER_BOOT, boot)
        .put_known(
            KILLER_NAME,
            killer.map(|killer| strings.intern(&killer.name)),
        )
        .put(KILLER_UID, killer.map_or(0, |killer| u64::from(killer.uid)));
}

pub(super) fn encode_slow_io<'a>(
    io: &'a SlowIo,
    strings: &mut Interner<'a>,
    table: &mut TableWriter,
) {
    use column::slow_io::{BYTES, DEVICE, LATENCY_NS, MAJOR, MINOR, OPERATION, WRITEBACK};
    table
        .row()
        .put(MAJOR, u64::from(io.major))
        .put(MINOR, u64::from(io.minor))
        .put(DEVICE, strings.intern(io.device.as_bytes()))
        .put(OPERATION, io.operation as u64)
        .put(BYTES, io.bytes)
        .put(LATENCY_NS, io.latency_ns)
        .put(WRITEBACK, u64::from(io.writeback));
}

pub(super) fn encode_loss<'a>(loss: &'a Loss, strings: &mut Interner<'a>, table: &mut TableWriter) {
    use column::loss::{CGROUP, COMMAND, COUNT, FROM_NS, KIND, REASON};
    let command = loss.command.as_ref().map(|command| strings.intern(command));
    table
        .row()
        .put(KIND, strings.intern(loss.kind.as_bytes()))
        .put(REASON, strings.intern(loss.reason.as_bytes()))
        .put(COUNT, loss.count)
        .put_signed(FROM_NS, loss.from_ns)
        .put_known(COMMAND, command)
        .put_known(CGROUP, text(strings, loss.cgroup.as_deref()));
}

pub(super) fn encode_oom<'a>(oom: &'a Oom, strings: &mut Interner<'a>, table: &mut TableWriter) {
    use column::oom::{FLAGS, HAS_SCORE_ADJ, MEMORY_CGROUP, RSS_BYTES, SCORE_ADJ};
    let flags = if oom.oom_score_adj.is_some() {
        HAS_SCORE_ADJ
    } else {
        0
    };
    table
        .row()
        .put(FLAGS, flags)
        .put_known(MEMORY_CGROUP, text(strings, oom.memory_cgroup.as_deref()))
        .put_known(RSS_BYTES, oom.rss_bytes)
        .put_signed(SCORE_ADJ, oom.oom_score_adj.map_or(0, i64::from));
}

pub(super) fn encode_short_lived<'a>(
    group: &'a ShortLived,
    strings: &mut Interner<'a>,
    table: &mut TableWriter,
) {
    use column::short_lived as id;
    let name = group.name.as_ref().map(|name| strings.intern(name));
    table
        .row()
        .put(id::LIVES, u64::from(group.lives))
        .put_known(id::NAME, name)
        .put_known(id::UID, group.uid.map(u64::from))
        .put_known(id::USERNAME, text(strings, group.username.as_deref()))
        .put_known(id::CGROUP, text(strings, group.cgroup.as_deref()))
        .put_known(id::CONTAINER, text(strings, group.container_id.as_deref()))
        .put(id::CPU_TIME_NS, group.cpu_time_ns)
        .put(id::READ_BYTES, group.read_bytes)
        .put(id::WRITE_BYTES, group.write_bytes)
        .put(id::MINOR_FAULTS, group.minor_faults)
        .put(id::MAJOR_FAULTS, group.major_faults);
}

pub(super) fn encode_block_latency<'a>(
    latency: &'a BlockLatency,
    strings: &mut Interner<'a>,
    table: &mut TableWriter,
) {
    use column::block_latency as id;
    let nothing = (0, 0, 0, 0);
    let (source, (major, minor, name, issuer)) = match &latency.of {
        BlockSource::Device { major, minor, name } => {
            let name = strings.intern(name.as_bytes());
            (0, (u64::from(*major), u64::from(*minor), name, 0))
        }
        BlockSource::Issuer(handle) => (1, (0, 0, 0, u64::from(*handle))),
        BlockSource::Writeback => (2, nothing),
    };
    let mut row = table.row();
    row.put(id::SOURCE, source)
        .put(id::MAJOR, major)
        .put(id::MINOR, minor)
        .put(id::NAME, name)
        .put(id::ISSUER, issuer)
        .put(id::OPERATION, latency.operation as u64)
        .put(id::BYTES, latency.histogram.bytes)
        .put(id::LATENCY_SUM_NS, latency.histogram.latency_sum_ns);
    for (id, bucket) in (id::FIRST_BUCKET..).zip(latency.histogram.buckets) {
        row.put(id, bucket);
    }
}

fn text<'a>(strings: &mut Interner<'a>, text: Option<&'a str>) -> Option<u64> {
    text.map(|text| strings.intern(text.as_bytes()))
}
