//! What several hooks read of a task.

use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel};
use procmon_common::kernel::{ABI_VERSION, Comm, Header, IoTotals, Kind, Totals};

use crate::memo::remembered_of;
use crate::offsets::{
    Object, load_object, load_u32, load_u64, number_of, offset, probe_u32, probe_u64,
};

/// `PROC_PID_INIT_INO`.
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;

/// The header of a record about the thread group of `leader`.
#[inline(always)]
pub(crate) unsafe fn write_header(header: *mut Header, kind: Kind, len: u32, leader: Object) {
    write_header_of_orphan(header, kind, len, leader);
    let parent = load_object!(leader, task_real_parent);
    (*header).ppid = load_u32!(parent, task_tgid);
}

/// The same without the parent, who may be gone when a task is freed.
#[inline(always)]
pub(crate) unsafe fn write_header_of_orphan(
    header: *mut Header,
    kind: Kind,
    len: u32,
    leader: Object,
) {
    (*header).abi = ABI_VERSION;
    (*header).kind = kind as u16;
    (*header).len = len;
    (*header).pid = load_u32!(leader, task_tgid);
    (*header).ppid = 0;
    (*header).start_boot_ns = load_u64!(leader, task_start_boottime);
    (*header).ts_boot_ns = if matches!(kind, Kind::Fork) {
        // The kernel has just read the clock for it.
        (*header).start_boot_ns
    } else {
        bpf_ktime_get_boot_ns()
    };
}

#[inline(always)]
pub(crate) unsafe fn write_comm(comm: *mut Comm, task: Object) {
    let words = comm.cast::<u64>();
    *words = load_u64!(task, task_comm);
    *words.add(1) = load_u64!(task, task_comm_tail);
}

/// The innermost PID namespace (its inode) and the pid there. On the host itself both are known. `numbers[level]` of a
/// deeper one is a variable offset, which only a helper may read.
#[inline(always)]
pub(crate) unsafe fn innermost_pid(task: Object, spill: *mut u64) -> (u32, u32) {
    let pid = load_object!(task, task_thread_pid);
    let level = load_u32!(pid, pid_level) as usize;
    if level == 0 {
        return (INITIAL_PID_NAMESPACE, load_u32!(task, task_tgid));
    }
    let upid =
        number_of(pid, spill) as usize + offset!(pid_numbers) + (level & 31) * offset!(upid_size);
    let [number, namespace] = read_upid(upid);
    let inode = remembered_of(namespace, || {
        u64::from(probe_u32(namespace as usize + offset!(pid_namespace_inum)))
    });
    (inode as u32, number as u32)
}

/// The pid and the address of its namespace: one read where they are side by side, as on every supported kernel.
#[inline(always)]
unsafe fn read_upid(upid: usize) -> [u64; 2] {
    if offset!(upid_nr) == 0 && offset!(upid_ns) == 8 {
        return bpf_probe_read_kernel(upid as *const [u64; 2]).unwrap_or_default();
    }
    [
        u64::from(probe_u32(upid + offset!(upid_nr))),
        probe_u64(upid + offset!(upid_ns)),
    ]
}

/// By words, because the target's `memset` is a loop over bytes.
#[inline(always)]
pub(crate) unsafe fn zero<T>(record: *mut T) {
    let words = record.cast::<u64>();
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        *words.add(word) = 0;
        word += 1;
    }
}

/// What `signal` has collected from the threads that were released.
#[inline(always)]
pub(crate) unsafe fn write_signal_totals(totals: *mut Totals, signal: Object) {
    (*totals).cpu_time_ns = load_u64!(signal, signal_sum_sched_runtime);
    (*totals).utime_ns = load_u64!(signal, signal_utime);
    (*totals).stime_ns = load_u64!(signal, signal_stime);
    (*totals).voluntary_switches = load_u64!(signal, signal_nvcsw);
    (*totals).involuntary_switches = load_u64!(signal, signal_nivcsw);
    (*totals).minor_faults = load_u64!(signal, signal_min_flt);
    (*totals).major_faults = load_u64!(signal, signal_maj_flt);
    let io = &raw mut (*totals).io;
    (*io).read_chars = load_u64!(signal, signal_ioac_rchar);
    (*io).write_chars = load_u64!(signal, signal_ioac_wchar);
    (*io).read_calls = load_u64!(signal, signal_ioac_syscr);
    (*io).write_calls = load_u64!(signal, signal_ioac_syscw);
    (*io).read_bytes = load_u64!(signal, signal_ioac_read_bytes);
    (*io).write_bytes = load_u64!(signal, signal_ioac_write_bytes);
}

/// Adds a thread that is not released yet.
#[inline(always)]
pub(crate) unsafe fn add_thread_totals(totals: *mut Totals, task: Object) {
    (*totals).cpu_time_ns += load_u64!(task, task_sum_exec_runtime);
    (*totals).utime_ns += load_u64!(task, task_utime);
    (*totals).stime_ns += load_u64!(task, task_stime);
    (*totals).voluntary_switches += load_u64!(task, task_nvcsw);
    (*totals).involuntary_switches += load_u64!(task, task_nivcsw);
    (*totals).minor_faults += load_u64!(task, task_min_flt);
    (*totals).major_faults += load_u64!(task, task_maj_flt);
    add_thread_io(&raw mut (*totals).io, task);
}

#[inline(always)]
unsafe fn add_thread_io(io: *mut IoTotals, task: Object) {
    (*io).read_chars += load_u64!(task, task_ioac_rchar);
    (*io).write_chars += load_u64!(task, task_ioac_wchar);
    (*io).read_calls += load_u64!(task, task_ioac_syscr);
    (*io).write_calls += load_u64!(task, task_ioac_syscw);
    (*io).read_bytes += load_u64!(task, task_ioac_read_bytes);
    (*io).write_bytes += load_u64!(task, task_ioac_write_bytes);
}
