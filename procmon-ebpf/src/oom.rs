//! `mark_victim`: the out-of-memory killer chose a process. `current` is only the task that wanted memory.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{ABI_VERSION, Kind, OomRecord};

use crate::cgroup::controller_cgroup_id;
use crate::emit::{self, emit_of};
use crate::log::log;
use crate::offsets::{Object, load_object, load_u16, offset};
use crate::rss::{add_cpu_deltas, counted_pages};
use crate::task::{write_comm, write_header, zero};

#[btf_tracepoint(function = "mark_victim")]
pub(crate) fn oom_victim(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 0 is the victim since 6.9, its pid before.
    unsafe {
        let arguments = ctx.as_ptr().cast::<Object>();
        log!(&ctx, "oom victim");
        if offset!(oom_victim_is_task) != 0 {
            let task = *arguments;
            emit_of::<OomRecord>(Kind::Oom, emit::task(task), |record| {
                write_victim(record, task)
            });
        } else {
            let pid = *arguments as u64 as u32;
            // Whose it is only the pid tells.
            emit_of::<OomRecord>(Kind::Oom, |_| (), |record| write_pid(record, pid));
        }
    }
    0
}

#[inline(always)]
fn write_victim(record: *mut OomRecord, task: Object) {
    // SAFETY: the record is reserved in the ring; the victim is held by its killer.
    unsafe {
        let leader = load_object!(task, task_group_leader);
        write_header(
            &raw mut (*record).header,
            Kind::Oom,
            size_of::<OomRecord>() as u32,
            leader,
        );
        let signal = load_object!(task, task_signal);
        (*record).known = 1;
        (*record).oom_score_adj = load_u16!(signal, signal_oom_score_adj) as i16 as i32;
        (*record).rss_pages = 0;
        let mm = load_object!(task, task_mm);
        if !mm.is_null() {
            let mut pages = counted_pages(mm);
            if offset!(rss_is_percpu) != 0 {
                add_cpu_deltas(mm, &mut pages);
            }
            (*record).rss_pages = if pages < 0 { 0 } else { pages as u64 };
        }
        (*record).memory_cgroup_id = match offset!(memory_controller) {
            0 => 0,
            controller => controller_cgroup_id(load_object!(task, task_cgroups), controller - 1),
        };
        write_comm(&raw mut (*record).comm, leader);
    }
}

#[inline(always)]
fn write_pid(record: *mut OomRecord, pid: u32) {
    // SAFETY: the record is reserved in the ring.
    unsafe {
        zero(record);
        let header = &raw mut (*record).header;
        (*header).abi = ABI_VERSION;
        (*header).kind = Kind::Oom as u16;
        (*header).len = size_of::<OomRecord>() as u32;
        (*header).pid = pid;
        (*header).ts_boot_ns = bpf_ktime_get_boot_ns();
    }
}
