//! `sched_process_fork(parent, child)`: a thread group begins. Runs in the parent, before the child does.

use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{ForkRecord, Kind};

use crate::cgroup::cgroup_id;
use crate::emit::{self, emit_of};
use crate::log::log;
use crate::offsets::{Object, load_object, load_u32};
use crate::task::{innermost_pid, write_comm, write_header};

#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn process_fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: argument 1 of this tracepoint is the child.
    unsafe {
        let child = *ctx.as_ptr().cast::<Object>().add(1);
        if load_u32!(child, task_pid) == load_u32!(child, task_tgid) {
            log!(&ctx, "fork: pid {}", load_u32!(child, task_pid));
            emit_of::<ForkRecord>(Kind::Fork, emit::task(child), |record| {
                write_fork(record, child)
            });
        }
    }
    0
}

#[inline(always)]
fn write_fork(record: *mut ForkRecord, child: Object) {
    // SAFETY: the record is reserved in the ring, the child is alive.
    unsafe {
        write_header(
            &raw mut (*record).header,
            Kind::Fork,
            size_of::<ForkRecord>() as u32,
            child,
        );
        let cred = load_object!(child, task_real_cred);
        (*record).uid = load_u32!(cred, cred_uid);
        (*record).euid = load_u32!(cred, cred_euid);
        (*record).gid = load_u32!(cred, cred_gid);
        (*record).padding = 0;
        let (namespace, pid) = innermost_pid(child, &raw mut (*record).cgroup_id);
        (*record).pid_namespace = namespace;
        (*record).namespace_pid = pid;
        (*record).cgroup_id = cgroup_id(child);
        write_comm(&raw mut (*record).comm, child);
    }
}
