//! Fills `Offsets` from the running kernel's BTF, with the differences between kernels that procmon supports.

use anyhow::{Context, Result};
use procmon_common::kernel::Offsets;

use super::btf::{Btf, KIND_ARRAY};
use crate::enrich::cgroup::legacy_hierarchy;

/// `MM_FILEPAGES`, `MM_ANONPAGES` and `MM_SHMEMPAGES`, places in `rss_stat`.
const PAGE_COUNTERS: [u32; 3] = [0, 1, 3];

/// Offsets for the running kernel. An error names the first field that this kernel does not have.
pub fn resolve(btf: &Btf) -> Result<Offsets> {
    let of = |name: &str, path: &str| {
        btf.offset(name, path)
            .with_context(|| format!("this kernel's BTF has no {name}.{path}"))
    };
    let size = |name: &str| {
        btf.size(name)
            .with_context(|| format!("this kernel's BTF has no struct {name}"))
    };
    let mut offsets = Offsets::default();
    macro_rules! fields {
        ($name:literal: $($field:ident = $path:literal),* $(,)?) => { $(offsets.$field = of($name, $path)?;)* };
    }
    fields!("task_struct": task_pid = "pid", task_tgid = "tgid", task_real_parent = "real_parent",
        task_group_leader = "group_leader", task_exit_code = "exit_code", task_real_cred = "real_cred",
        task_mm = "mm", task_signal = "signal", task_thread_pid = "thread_pid",
        task_cgroups = "cgroups", task_utime = "utime", task_stime = "stime",
        task_sum_exec_runtime = "se.sum_exec_runtime", task_comm = "comm", task_flags = "flags",
        task_ioac_rchar = "ioac.rchar", task_ioac_wchar = "ioac.wchar", task_ioac_syscr = "ioac.syscr",
        task_ioac_syscw = "ioac.syscw", task_ioac_read_bytes = "ioac.read_bytes",
        task_ioac_write_bytes = "ioac.write_bytes",
        task_nvcsw = "nvcsw", task_nivcsw = "nivcsw", task_min_flt = "min_flt", task_maj_flt = "maj_flt",
        task_files = "files", task_exit_state = "exit_state");
    // Renamed in 5.14.
    offsets.task_state = of("task_struct", "__state").or_else(|_| of("task_struct", "state"))?;
    // Gone since 6.2, when the counts of an mm became per CPU.
    offsets.task_rss_stat_count = btf.offset("task_struct", "rss_stat.count").unwrap_or(0);
    // Renamed in 5.5.
    offsets.task_start_boottime =
        of("task_struct", "start_boottime").or_else(|_| of("task_struct", "real_start_time"))?;
    fields!("signal_struct": signal_live = "live.counter", signal_flags = "flags",
        signal_group_exit_code = "group_exit_code", signal_maxrss = "maxrss", signal_utime = "utime",
        signal_stime = "stime", signal_sum_sched_runtime = "sum_sched_runtime",
        signal_ioac_rchar = "ioac.rchar", signal_ioac_wchar = "ioac.wchar", signal_ioac_syscr = "ioac.syscr",
        signal_ioac_syscw = "ioac.syscw", signal_ioac_read_bytes = "ioac.read_bytes",
        signal_ioac_write_bytes = "ioac.write_bytes",
        signal_nvcsw = "nvcsw", signal_nivcsw = "nivcsw", signal_min_flt = "min_flt", signal_maj_flt = "maj_flt",
        signal_nr_threads = "nr_threads", signal_oom_score_adj = "oom_score_adj");
    fields!("mm_struct": mm_arg_start = "arg_start", mm_arg_end = "arg_end", mm_hiwater_rss = "hiwater_rss",
        mm_rss_stat = "rss_stat", mm_total_vm = "total_vm");
    fields!("files_struct": files_count = "count.counter", files_fdt = "fdt");
    fields!("fdtable": fdtable_max_fds = "max_fds", fdtable_fd = "fd", fdtable_open_fds = "open_fds");
    fields!("file": file_f_op = "f_op", file_private_data = "private_data");
    fields!("socket": socket_file = "file", socket_sk = "sk");
    if offsets.socket_sk != offsets.socket_file + 8 {
        offsets.socket_file = 0;
    }
    fields!("sock": sock_family = "__sk_common.skc_family", sock_ports = "__sk_common.skc_dport",
        sock_state = "__sk_common.skc_state", sock_protocol = "sk_protocol");
    fields!("kernel_siginfo": siginfo_code = "si_code");
    fields!("cred": cred_uid = "uid", cred_euid = "euid", cred_gid = "gid");
    fields!("css_set": css_set_dfl_cgrp = "dfl_cgrp", css_set_subsys = "subsys");
    fields!("cgroup_subsys_state": css_cgroup = "cgroup");
    fields!("cgroup": cgroup_kn = "kn");
    fields!("kernfs_node": kernfs_node_id = "id");
    fields!("pid": pid_level = "level", pid_numbers = "numbers");
    fields!("upid": upid_nr = "nr", upid_ns = "ns");
    offsets.upid_size = size("upid")?;
    fields!("pid_namespace": pid_namespace_inum = "ns.inum");
    fields!("linux_binprm": bprm_filename = "filename");
    fields!("request": request_q = "q", request_cmd_flags = "cmd_flags", request_data_len = "__data_len");
    fields!("request_queue": request_queue_disk = "disk");
    fields!("gendisk": gendisk_major = "major", gendisk_first_minor = "first_minor");
    fields!("bpf_array": bpf_array_pptrs = "pptrs");
    offsets.task_comm_tail = offsets.task_comm + 8;
    // A struct before 6.2, an array of per-CPU counters since.
    if btf.member_kind("mm_struct", "rss_stat") == Some(KIND_ARRAY) {
        let (count, counters) = (
            of("percpu_counter", "count")?,
            of("percpu_counter", "counters")?,
        );
        let counter = size("percpu_counter")?;
        let [file, anon, shmem] = PAGE_COUNTERS.map(|index| offsets.mm_rss_stat + index * counter);
        offsets.rss_is_percpu = 1;
        (offsets.mm_file_pages, offsets.mm_anon_pages) = (file + count, anon + count);
        offsets.mm_shmem_pages = shmem + count;
        (offsets.mm_file_deltas, offsets.mm_shmem_deltas) = (file + counters, shmem + counters);
    }
    offsets.exit_has_group_dead =
        u32::from(btf.tracepoint_arguments("sched_process_exit") == Some(2));
    // A pid before 6.9, the task and its user since.
    offsets.oom_victim_is_task = u32::from(btf.tracepoint_arguments("mark_victim") == Some(2));
    let controller = |name: &str| {
        btf.enum_value("cgroup_subsys_id", &format!("{name}_cgrp_id"))
            .map_or(0, |index| index + 1)
    };
    offsets.memory_controller = controller("memory");
    offsets.legacy_controller =
        legacy_hierarchy().map_or(0, |hierarchy| controller(hierarchy.controller));
    offsets.cpus = possible_cpus();
    Ok(offsets)
}

/// Highest possible CPU number + 1.
fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text
        .trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|cpu| cpu.parse::<u32>().ok());
    last.map_or(0, |cpu| cpu + 1)
}
