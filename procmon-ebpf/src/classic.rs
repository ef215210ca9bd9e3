//! Classic tracepoints, for kernels without BTF: no structure of the kernel is read, only what helpers and the
//! tracepoints' own fields give. The agent adds the rest from `/proc`.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str,
};
use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};
use procmon_common::kernel::{
    ABI_VERSION, ClassicExecRecord, ClassicFields, ClassicRecord, Counter, EXE_MAX, Kind,
};

use crate::emit::{count, emit};

#[unsafe(no_mangle)]
pub(crate) static CLASSIC_FIELDS: ClassicFields = unsafe { core::mem::zeroed() };

/// Where a tracepoint's field is, as the verifier sees it: a known constant.
macro_rules! field {
    ($field:ident) => {
        core::ptr::read_volatile(&raw const CLASSIC_FIELDS.$field) as usize
    };
}

const CLONE_PARENT: u64 = 0x8000;
const CLONE_THREAD: u64 = 0x1_0000;

/// Unlike `sched_process_fork`, this tracepoint tells a thread from a process. Runs in the parent.
#[tracepoint]
pub(crate) fn classic_fork(ctx: TracePointContext) -> u32 {
    // SAFETY: the agent took the offsets from this tracepoint's format.
    let (pid, clone_flags) = unsafe {
        (
            ctx.read_at::<u32>(field!(task_newtask_pid)).unwrap_or(0),
            ctx.read_at::<u64>(field!(task_newtask_clone_flags))
                .unwrap_or(CLONE_THREAD),
        )
    };
    // Pid 0 is the idle task of a CPU that comes up.
    if pid == 0 || clone_flags & CLONE_THREAD != 0 {
        return 0;
    }
    emit::<ClassicRecord>(Kind::Fork, |record| {
        write_current(record, Kind::Fork, size_of::<ClassicRecord>());
        // SAFETY: the record is reserved in the ring.
        unsafe {
            // A child of the parent's parent: the agent finds out which.
            (*record).header.ppid = if clone_flags & CLONE_PARENT == 0 {
                (*record).header.pid
            } else {
                0
            };
            (*record).header.pid = pid;
            (*record).tid = pid;
        }
    });
    0
}

#[tracepoint]
pub(crate) fn classic_exec(ctx: TracePointContext) -> u32 {
    // SAFETY: as above.
    let location = unsafe { ctx.read_at::<u32>(field!(sched_process_exec_filename)) };
    let path = ctx.as_ptr() as usize + (location.unwrap_or(0) & 0xffff) as usize;
    emit::<ClassicExecRecord>(Kind::Exec, |exec| {
        // SAFETY: the record is reserved in the ring; the text is in the tracepoint's record.
        unsafe {
            write_current(
                &raw mut (*exec).record,
                Kind::Exec,
                size_of::<ClassicExecRecord>(),
            );
            let exe = (&raw mut (*exec).exe).cast::<u8>();
            *exe = 0;
            if bpf_probe_read_kernel_str(exe.cast(), EXE_MAX as u32, path as *const _) < 0 {
                count(Counter::ReadFailed, Kind::Exec);
            }
        }
    });
    0
}

/// Every thread's end where the kernel does not say which is the last one: the agent finds out.
#[tracepoint]
pub(crate) fn classic_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: a frozen constant.
    let group_dead = unsafe { field!(sched_process_exit_group_dead) };
    // SAFETY: as above.
    let last = group_dead != 0 && unsafe { ctx.read_at::<u8>(group_dead) }.unwrap_or(0) != 0;
    if last || group_dead == 0 {
        emit::<ClassicRecord>(Kind::Exit, |record| {
            write_current(record, Kind::Exit, size_of::<ClassicRecord>());
            // SAFETY: the record is reserved in the ring.
            unsafe { (*record).group_dead = u32::from(last) };
        });
    }
    0
}

/// What helpers know of the current thread.
#[inline(always)]
fn write_current(record: *mut ClassicRecord, kind: Kind, len: usize) {
    // SAFETY: the record is reserved in the ring.
    unsafe {
        let (thread, ids) = (bpf_get_current_pid_tgid(), bpf_get_current_uid_gid());
        let header = &raw mut (*record).header;
        (*header).abi = ABI_VERSION;
        (*header).kind = kind as u16;
        (*header).len = len as u32;
        (*header).pid = (thread >> 32) as u32;
        (*header).ppid = 0;
        (*header).ts_boot_ns = bpf_ktime_get_boot_ns();
        (*header).start_boot_ns = 0;
        (*record).tid = thread as u32;
        (*record).uid = ids as u32;
        (*record).gid = (ids >> 32) as u32;
        (*record).group_dead = 0;
        (*record).cgroup_id = bpf_get_current_cgroup_id();
        let comm = &raw mut (*record).comm;
        // It cannot fail for a current task, and clears the buffer when it does.
        bpf_get_current_comm(comm.cast(), size_of_val(&*comm) as u32);
    }
}
