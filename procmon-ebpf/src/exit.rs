//! The end of a thread group, in two records: `sched_process_exit` of its last thread tells that and how it ended, with
//! provisional totals; `sched_process_free` of its leader tells the final ones.

use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{ExitRecord, FreeRecord, Kind};

use crate::cgroup::cgroup_id;
use crate::emit::{self, emit_of};
use crate::log::log;
use crate::offsets::{Object, load_object, load_u32, load_u64, offset};
use crate::rss::{add_own_cpu_deltas, counted_pages};
use crate::signal::take_killer;
use crate::task::{
    add_thread_totals, write_comm, write_header, write_header_of_orphan, write_signal_totals,
};

/// `SIGNAL_GROUP_EXIT`: `group_exit_code` is the status of the whole group.
const SIGNAL_GROUP_EXIT: u32 = 4;

#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn process_exit(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the exiting task; argument 1, where the kernel has it, is `group_dead`.
    unsafe {
        let arguments = ctx.as_ptr().cast::<Object>();
        let task = *arguments;
        let signal = load_object!(task, task_signal);
        let last = if offset!(exit_has_group_dead) != 0 {
            *arguments.add(1) as u64 & 1 != 0
        } else {
            // Two threads may both see 0 here: the agent keeps the first record of a life.
            load_u32!(signal, signal_live) == 0
        };
        if last {
            log!(&ctx, "exit: pid {}", load_u32!(task, task_tgid));
            let leader = load_object!(task, task_group_leader);
            emit_of::<ExitRecord>(Kind::Exit, emit::task(leader), |record| {
                write_exit(record, task, signal)
            });
        }
    }
    0
}

#[btf_tracepoint(function = "sched_process_free")]
pub(crate) fn process_free(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the task, which still holds its `signal`.
    unsafe {
        let task = *ctx.as_ptr().cast::<Object>();
        if load_u32!(task, task_pid) == load_u32!(task, task_tgid) {
            log!(&ctx, "free: pid {}", load_u32!(task, task_tgid));
            emit_of::<FreeRecord>(Kind::Free, emit::task(task), |record| {
                write_free(record, task)
            });
        }
    }
    0
}

#[inline(always)]
fn write_free(record: *mut FreeRecord, task: Object) {
    // SAFETY: the record is reserved in the ring.
    unsafe {
        write_header_of_orphan(
            &raw mut (*record).header,
            Kind::Free,
            size_of::<FreeRecord>() as u32,
            task,
        );
        write_signal_totals(&raw mut (*record).totals, load_object!(task, task_signal));
    }
}

#[inline(always)]
fn write_exit(record: *mut ExitRecord, task: Object, signal: Object) {
    // SAFETY: the record is reserved in the ring; the group's leader outlives its last thread.
    unsafe {
        let leader = load_object!(task, task_group_leader);
        write_header(
            &raw mut (*record).header,
            Kind::Exit,
            size_of::<ExitRecord>() as u32,
            leader,
        );
        let cred = load_object!(task, task_real_cred);
        (*record).uid = load_u32!(cred, cred_uid);
        (*record).wait_status = if load_u32!(signal, signal_flags) & SIGNAL_GROUP_EXIT != 0 {
            load_u32!(signal, signal_group_exit_code)
        } else {
            load_u32!(leader, task_exit_code)
        };
        (*record).cgroup_id = cgroup_id(task);
        (*record).max_rss_pages = load_u64!(signal, signal_maxrss);
        (*record).own_rss_pages = own_rss_pages(task);
        take_killer(
            &raw mut (*record).killer,
            (*record).header.pid,
            (*record).header.start_boot_ns,
            (*record).wait_status & 0x7f,
        );
        let totals = &raw mut (*record).totals;
        write_signal_totals(totals, signal);
        add_thread_totals(totals, task);
        if load_u32!(task, task_pid) != load_u32!(task, task_tgid) {
            // The leader died earlier and is a zombie: it is in nobody's sum yet.
            add_thread_totals(totals, leader);
        }
        write_comm(&raw mut (*record).comm, leader);
    }
}

/// The high-water mark of the memory that is exiting; 0 where the kernel let go of it before this hook (before 6.16).
#[inline(always)]
unsafe fn own_rss_pages(task: Object) -> u64 {
    let mm = load_object!(task, task_mm);
    if mm.is_null() || offset!(rss_is_percpu) == 0 {
        return 0;
    }
    let mut pages = counted_pages(mm);
    add_own_cpu_deltas(mm, &mut pages);
    let highest = load_u64!(mm, mm_hiwater_rss);
    // A sum below zero is a race with another CPU.
    if pages <= 0 || highest > pages as u64 {
        highest
    } else {
        pages as u64
    }
}
