//! `sched_process_exec(task, old_pid, bprm)`: a process has replaced its image; its new argv is in its memory.

use aya_ebpf::helpers::generated::{
    bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_ringbuf_output,
};
use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{ARGS_MAX, Counter, EXE_MAX, ExecRecord, Kind};

use crate::cgroup::cgroup_id;
use crate::emit::{self, count, lose, wakeup_flags};
use crate::maps::{EVENTS, SCRATCH, SCRATCH_BYTES};
use crate::offsets::{Object, load_object, load_u32, load_u64};
use crate::task::{innermost_pid, write_comm, write_header};

#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn process_exec(ctx: BtfTracePointContext) -> i32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the arguments are a task, a pid and a linux_binprm; the scratch buffer is this CPU's own.
    unsafe {
        let arguments = ctx.as_ptr().cast::<Object>();
        let task = *arguments;
        let old_pid = *arguments.add(1) as u32;
        let bprm = *arguments.add(2);
        let buffer = scratch.cast::<u8>();
        let record = buffer.cast::<ExecRecord>();
        let body = buffer.add(size_of::<ExecRecord>());

        let exe_len = read_exe(body, bprm);
        let mm = load_object!(task, task_mm);
        let args_start = load_u64!(mm, mm_arg_start);
        let args_bytes = load_u64!(mm, mm_arg_end).wrapping_sub(args_start);
        let args_len = read_args(body.add(exe_len as usize), args_start, args_bytes);

        let len = size_of::<ExecRecord>() as u64 + exe_len + args_len;
        write_header(&raw mut (*record).header, Kind::Exec, len as u32, task);
        (*record).exe_len = exe_len as u32;
        (*record).args_len = args_len as u32;
        (*record).args_bytes = args_bytes;
        (*record).old_pid = old_pid;
        write_exec(record, task);
        if len > SCRATCH_BYTES as u64 {
            count(Counter::TooLong, Kind::Exec);
            return 0;
        }
        let ring = (&raw const EVENTS).cast_mut().cast();
        if bpf_ringbuf_output(ring, buffer.cast(), len, wakeup_flags()) == 0 {
            count(Counter::Emitted, Kind::Exec);
        } else {
            lose(Kind::Exec, emit::task(task));
        }
    }
    0
}

/// The path given to exec, with its NUL; the length.
#[inline(always)]
unsafe fn read_exe(body: *mut u8, bprm: Object) -> u64 {
    let filename = load_object!(bprm, bprm_filename);
    let read = bpf_probe_read_kernel_str(body.cast(), EXE_MAX as u32, filename.cast());
    if read < 0 {
        count(Counter::ReadFailed, Kind::Exec);
        return 0;
    }
    // Bounded by a mask as well as by the helper, so that 6.1's verifier sees it.
    let read = read as u64;
    if read > EXE_MAX as u64 {
        EXE_MAX as u64
    } else {
        read
    }
}

/// Up to `ARGS_MAX` bytes of argv; the length. A page that is not there is counted: the agent reads `/proc` instead.
#[inline(always)]
unsafe fn read_args(body: *mut u8, start: u64, bytes: u64) -> u64 {
    let len = if bytes > ARGS_MAX as u64 {
        ARGS_MAX as u64
    } else {
        bytes
    };
    if bpf_probe_read_user(body.cast(), len as u32, start as *const _) != 0 {
        count(Counter::ReadFailed, Kind::Exec);
        return 0;
    }
    len
}

#[inline(always)]
unsafe fn write_exec(record: *mut ExecRecord, task: Object) {
    let cred = load_object!(task, task_real_cred);
    (*record).uid = load_u32!(cred, cred_uid);
    (*record).euid = load_u32!(cred, cred_euid);
    (*record).gid = load_u32!(cred, cred_gid);
    let (namespace, pid) = innermost_pid(task, &raw mut (*record).cgroup_id);
    (*record).pid_namespace = namespace;
    (*record).namespace_pid = pid;
    (*record).cgroup_id = cgroup_id(task);
    let signal = load_object!(task, task_signal);
    (*record).max_rss_pages_before = load_u64!(signal, signal_maxrss);
    write_comm(&raw mut (*record).comm, task);
}
