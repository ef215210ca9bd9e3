//! `block_rq_insert`, `block_rq_issue` and `block_rq_complete`: the latency of a block request, with its issuer remembered,
//! because the completion runs in whatever task the interrupt met.

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_ktime_get_boot_ns};
use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{ABI_VERSION, BlockRequest, Counter, Kind, LostKey, SlowIoRecord};

use crate::emit::{count, emit_of};
use crate::latency::add_latency;
use crate::maps::REQUESTS;
use crate::offsets::{Object, load_object, load_u32, load_u64, setting};
use crate::task::write_comm;

/// A request enters a scheduler's queue: here `current` asked for it, while the issue may be left to a kernel worker.
#[btf_tracepoint(function = "block_rq_insert")]
pub(crate) fn block_insert(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the request.
    unsafe {
        let request = *ctx.as_ptr().cast::<Object>();
        let requeued = REQUESTS
            .get_ptr(request as u64)
            .is_some_and(|known| (*known).issued_boot_ns != 0);
        if !requeued {
            remember(request, 0);
        }
    }
    0
}

#[btf_tracepoint(function = "block_rq_issue")]
pub(crate) fn block_issue(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the request.
    unsafe {
        let request = *ctx.as_ptr().cast::<Object>();
        let now = bpf_ktime_get_boot_ns();
        match REQUESTS.get_ptr_mut(request as u64) {
            Some(known) => {
                (*known).issued_boot_ns = now;
                (*known).bytes = load_u32!(request, request_data_len);
            }
            None => remember(request, now),
        }
    }
    0
}

/// Notes `current` as who wants this request.
#[inline(always)]
unsafe fn remember(request: Object, issued_boot_ns: u64) {
    let task = bpf_get_current_task_btf() as Object;
    let leader = load_object!(task, task_group_leader);
    let parent = load_object!(leader, task_real_parent);
    let mut noted = core::mem::MaybeUninit::<BlockRequest>::uninit();
    let note = noted.as_mut_ptr();
    (*note).issued_boot_ns = issued_boot_ns;
    (*note).issuer_start_boot_ns = load_u64!(leader, task_start_boottime);
    (*note).issuer_pid = load_u32!(task, task_tgid);
    (*note).issuer_ppid = load_u32!(parent, task_tgid);
    (*note).issuer_flags = load_u32!(task, task_flags);
    (*note).bytes = load_u32!(request, request_data_len);
    write_comm(&raw mut (*note).issuer_comm, leader);
    if REQUESTS.insert(request as u64, &*note, 0).is_err() {
        count(Counter::TableFull, Kind::SlowIo);
    }
}

#[btf_tracepoint(function = "block_rq_complete")]
pub(crate) fn block_complete(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the request, which lives until this hook returns.
    unsafe {
        let request = *ctx.as_ptr().cast::<Object>();
        let key = request as u64;
        let Some(issue) = REQUESTS.get_ptr(key) else {
            return 0;
        };
        let now = bpf_ktime_get_boot_ns();
        let latency_ns = now.saturating_sub((*issue).issued_boot_ns);
        if latency_ns >= setting!(io_slow_threshold_ns) {
            let issuer = |key: *mut LostKey| (*key).comm = (*issue).issuer_comm;
            emit_of::<SlowIoRecord>(Kind::SlowIo, issuer, |record| {
                write_slow(record, issue, request, now, latency_ns)
            });
        }
        add_latency(request, issue, latency_ns);
        let _ = REQUESTS.remove(key);
    }
    0
}

#[inline(always)]
fn write_slow(
    record: *mut SlowIoRecord,
    issue: *const BlockRequest,
    request: Object,
    now: u64,
    latency_ns: u64,
) {
    // SAFETY: the record is reserved in the ring; the issue entry is removed only after this.
    unsafe {
        let header = &raw mut (*record).header;
        (*header).abi = ABI_VERSION;
        (*header).kind = Kind::SlowIo as u16;
        (*header).len = size_of::<SlowIoRecord>() as u32;
        (*header).pid = (*issue).issuer_pid;
        (*header).ppid = (*issue).issuer_ppid;
        (*header).ts_boot_ns = now;
        (*header).start_boot_ns = (*issue).issuer_start_boot_ns;
        (*record).latency_ns = latency_ns;
        let queue = load_object!(request, request_q);
        let disk = load_object!(queue, request_queue_disk);
        (*record).device_major = load_u32!(disk, gendisk_major);
        (*record).device_minor = load_u32!(disk, gendisk_first_minor);
        (*record).command_flags = load_u32!(request, request_cmd_flags);
        (*record).bytes = (*issue).bytes;
        (*record).issuer_flags = (*issue).issuer_flags;
        (*record).padding = 0;
        (*record).issuer_comm = (*issue).issuer_comm;
    }
}
