//! Where the fields of kernel structures are on the running kernel: resolved from its BTF by the agent, frozen into the
//! programs before they are verified.

use bytemuck::{Pod, Zeroable};

/// Where the offsets of the loads that the agent completes begin: no other load of the programs has one as large.
pub const OFFSET_SITES: i16 = 0x6000;

/// What a load has for an offset until the agent puts that of the field in its place. `place`: where the field's offset is in
/// [`Offsets`], in bytes.
#[must_use]
pub const fn offset_site(place: usize) -> i16 {
    OFFSET_SITES + (place / size_of::<u32>()) as i16
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Byte offsets, unless a field says otherwise.
        #[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
        #[repr(C)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }
    };
}

offsets! {
    task_pid,
    task_tgid,
    task_real_parent,
    task_group_leader,
    task_start_boottime,
    task_exit_code,
    task_real_cred,
    task_mm,
    task_signal,
    task_thread_pid,
    task_cgroups,
    task_utime,
    task_stime,
    task_sum_exec_runtime,
    task_comm,
    /// The second half of `comm`.
    task_comm_tail,
    task_flags,
    task_ioac_rchar,
    task_ioac_wchar,
    task_ioac_syscr,
    task_ioac_syscw,
    task_ioac_read_bytes,
    task_ioac_write_bytes,
    task_nvcsw,
    task_nivcsw,
    task_min_flt,
    task_maj_flt,
    task_files,
    task_state,
    task_exit_state,
    /// Counts that a thread has not handed to its `mm` yet (before 6.2); 0 where the kernel has none.
    task_rss_stat_count,

    signal_live,
    signal_flags,
    signal_group_exit_code,
    signal_maxrss,
    signal_utime,
    signal_stime,
    signal_sum_sched_runtime,
    signal_ioac_rchar,
    signal_ioac_wchar,
    signal_ioac_syscr,
    signal_ioac_syscw,
    signal_ioac_read_bytes,
    signal_ioac_write_bytes,
    signal_nvcsw,
    signal_nivcsw,
    signal_min_flt,
    signal_maj_flt,
    signal_nr_threads,
    signal_oom_score_adj,

    mm_arg_start,
    mm_arg_end,
    mm_hiwater_rss,
    mm_rss_stat,
    /// Shared counts of `rss_stat` and, of two of them, what the CPUs hold back; 0 before 6.2.
    mm_file_pages,
    mm_anon_pages,
    mm_shmem_pages,
    mm_file_deltas,
    mm_shmem_deltas,
    mm_total_vm,

    files_count,
    files_fdt,
    fdtable_max_fds,
    fdtable_fd,
    fdtable_open_fds,
    file_f_op,
    file_private_data,
    /// `file`, with `sk` after it; 0 where they are elsewhere.
    socket_file,
    socket_sk,
    sock_family,
    /// `skc_dport`, with `skc_num` in the 16 bits after it.
    sock_ports,
    sock_state,
    sock_protocol,

    cred_uid,
    cred_euid,
    cred_gid,

    css_set_dfl_cgrp,
    css_set_subsys,
    css_cgroup,
    cgroup_kn,
    kernfs_node_id,

    pid_level,
    pid_numbers,
    upid_nr,
    upid_ns,
    /// Size of `struct upid`.
    upid_size,
    pid_namespace_inum,

    bprm_filename,

    request_q,
    request_cmd_flags,
    request_data_len,
    request_queue_disk,
    gendisk_major,
    gendisk_first_minor,

    bpf_array_pptrs,

    siginfo_code,

    /// 1: `rss_stat` is an array of `percpu_counter` (6.2 and later); 0: an array of `atomic_long_t`.
    rss_is_percpu,
    /// 1: `sched_process_exit` has the argument `group_dead`.
    exit_has_group_dead,
    /// 1: `mark_victim` has the task as its argument (6.9 and later); 0: its pid.
    oom_victim_is_task,
    /// Index in `css_set.subsys` + 1 of the controller that says more than the unified hierarchy; 0: none.
    legacy_controller,
    /// Index in `css_set.subsys` + 1 of the memory controller; 0: none.
    memory_controller,
    /// Highest possible CPU number + 1.
    cpus,
}
