//! `iter/task`: one pass over all tasks of the host, threads included, written as a stream of samples. The reader runs
//! it by reading a file; nothing is attached to any hook.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::bpf_seq_write;
use procmon_common::kernel::{
    Files, NO_FILES, SampleHead, SampleKind, TaskSample, ThreadSample, Usage,
};

use crate::cgroup::cgroup_id;
use crate::files::walk_files;
use crate::maps::TASK_SAMPLE;
use crate::offsets::{Object, load_object, load_u32, load_u64, offset};
use crate::rss::{add_cpu_deltas, cached_pages, counted_pages};
use crate::task::write_comm;

/// `struct bpf_iter__task`.
#[repr(C)]
pub(crate) struct TaskContext {
    meta: Object,
    task: Object,
}

/// A `struct seq_file`.
pub(crate) type SeqFile = Object;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
extern "C" fn snapshot(context: *const TaskContext) -> i32 {
    // SAFETY: the context is the kernel's; `task` is null at the end of the pass.
    unsafe {
        let task = read_volatile(&raw const (*context).task);
        if task.is_null() {
            return 0;
        }
        let seq = read_volatile(read_volatile(&raw const (*context).meta).cast::<Object>());
        if load_u32!(task, task_pid) == load_u32!(task, task_tgid) {
            write_task(seq, task);
        } else {
            write_thread(seq, task);
        }
    }
    0
}

#[inline(always)]
unsafe fn write_task(seq: SeqFile, task: Object) {
    let pid = load_u32!(task, task_tgid);
    let files = walk_files(seq, task, pid);
    let Some(sample) = TASK_SAMPLE.get_ptr_mut(0) else {
        return;
    };
    let signal = load_object!(task, task_signal);
    let parent = load_object!(task, task_real_parent);
    let cred = load_object!(task, task_real_cred);
    (*sample).head = head(SampleKind::Task, size_of::<TaskSample>(), pid);
    (*sample).ppid = load_u32!(parent, task_tgid);
    (*sample).state = load_u32!(task, task_state) | load_u32!(task, task_exit_state);
    (*sample).flags = load_u32!(task, task_flags);
    (*sample).threads = load_u32!(signal, signal_nr_threads);
    (*sample).uid = load_u32!(cred, cred_uid);
    (*sample).euid = load_u32!(cred, cred_euid);
    (*sample).gid = load_u32!(cred, cred_gid);
    (*sample).start_boot_ns = load_u64!(task, task_start_boottime);
    (*sample).cgroup_id = cgroup_id(task);
    write_memory(sample, task);
    let usage = &raw mut (*sample).usage;
    write_usage(usage, task);
    add_group_usage(usage, signal);
    (*sample).files = files;
    write_comm(&raw mut (*sample).comm, task);
    bpf_seq_write(
        seq.cast_mut().cast(),
        sample.cast::<c_void>(),
        size_of::<TaskSample>() as u32,
    );
}

#[inline(always)]
unsafe fn write_memory(sample: *mut TaskSample, task: Object) {
    (*sample).rss_pages = 0;
    (*sample).virtual_pages = 0;
    (*sample).rss_exact = 1;
    let mm = load_object!(task, task_mm);
    if mm.is_null() {
        return;
    }
    (*sample).virtual_pages = load_u64!(mm, mm_total_vm);
    let mut pages = counted_pages(mm);
    if offset!(rss_is_percpu) == 0 {
        pages += cached_pages(task);
    } else if !add_cpu_deltas(mm, &mut pages) {
        (*sample).rss_exact = 0;
    }
    // Below zero: another CPU was between its two halves of a change.
    (*sample).rss_pages = if pages < 0 { 0 } else { pages as u64 };
}

#[inline(always)]
unsafe fn write_thread(seq: SeqFile, task: Object) {
    let pid = load_u32!(task, task_tgid);
    let leader = load_object!(task, task_group_leader);
    // A leader that exited before its threads left its files to them.
    let shared = load_u64!(task, task_files) == load_u64!(leader, task_files);
    let mut sample = ThreadSample {
        head: head(SampleKind::Thread, size_of::<ThreadSample>(), pid),
        files: Files {
            open_fds: NO_FILES,
            internet_fds: 0,
        },
        rss_pages: 0,
        usage: Usage::default(),
    };
    if !shared {
        sample.files = walk_files(seq, task, pid);
    }
    if offset!(rss_is_percpu) == 0 {
        sample.rss_pages = cached_pages(task);
    }
    write_usage(&raw mut sample.usage, task);
    bpf_seq_write(
        seq.cast_mut().cast(),
        (&raw mut sample).cast::<c_void>(),
        size_of::<ThreadSample>() as u32,
    );
}

#[inline(always)]
fn head(kind: SampleKind, len: usize, pid: u32) -> SampleHead {
    SampleHead {
        kind: kind as u16,
        len: len as u16,
        pid,
    }
}

#[inline(always)]
unsafe fn write_usage(usage: *mut Usage, task: Object) {
    (*usage).cpu_time_ns = load_u64!(task, task_sum_exec_runtime);
    (*usage).read_bytes = load_u64!(task, task_ioac_read_bytes);
    (*usage).write_bytes = load_u64!(task, task_ioac_write_bytes);
    (*usage).voluntary_switches = load_u64!(task, task_nvcsw);
    (*usage).involuntary_switches = load_u64!(task, task_nivcsw);
    (*usage).minor_faults = load_u64!(task, task_min_flt);
    (*usage).major_faults = load_u64!(task, task_maj_flt);
}

/// What threads that were released left with the group.
#[inline(always)]
unsafe fn add_group_usage(usage: *mut Usage, signal: Object) {
    (*usage).cpu_time_ns += load_u64!(signal, signal_sum_sched_runtime);
    (*usage).read_bytes += load_u64!(signal, signal_ioac_read_bytes);
    (*usage).write_bytes += load_u64!(signal, signal_ioac_write_bytes);
    (*usage).voluntary_switches += load_u64!(signal, signal_nvcsw);
    (*usage).involuntary_switches += load_u64!(signal, signal_nivcsw);
    (*usage).minor_faults += load_u64!(signal, signal_min_flt);
    (*usage).major_faults += load_u64!(signal, signal_maj_flt);
}
