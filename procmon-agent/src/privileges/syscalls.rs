//! The system calls of the agent, by what they are for. What a library of the host may add (name services are loaded when
//! they are first asked) is here too, as far as it is harmless.

use libc::c_long;

/// A condition on one argument, of which the kernel looks at the low 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) mask: Option<u64>,
    pub(super) value: u64,
}

impl Argument {
    pub(super) const fn is(index: u8, value: u64) -> Self {
        Self {
            index,
            mask: None,
            value,
        }
    }

    /// All of these flags are set.
    const fn has(index: u8, flags: u64) -> Self {
        Self {
            index,
            mask: Some(flags),
            value: flags,
        }
    }
}

/// Calls that end the process: no path of the agent leads to them, so something else is in control of it.
pub(super) const FATAL: &[c_long] = &[
    // Running other programs, and meddling with other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // The kernel and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Mounts, roots and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    // Ways around a filter, or favourites of exploits.
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// Calls that this kernel is made to look too old for: `clone3` keeps its flags where no filter can see them, and libraries
/// fall back on `clone`. They make it with all signals blocked, so that it cannot be answered like others.
pub(super) const HIDDEN: &[c_long] = &[libc::SYS_clone3];

/// Calls that are allowed with any arguments.
pub(super) const ALLOWED: &[c_long] = &concat_all();

const COMMON: &[c_long] = &[
    // Memory. Executable mappings too: name services are libraries that are loaded late.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // Threads and time.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_gettid,
    libc::SYS_getcpu,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    // Signals of its own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // What it is.
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_capget,
    libc::SYS_getrusage,
    libc::SYS_getrlimit,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    // Reading: /proc, /sys, the configuration, cgroups by their number.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fadvise64,
    // Writing: the spool and the log.
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Talking to the server, to scrapers, and to name services.
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
];

/// Older calls of x86-64 that newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

const fn concat_all() -> [c_long; COMMON.len() + OLDER.len()] {
    let mut all = [0; COMMON.len() + OLDER.len()];
    let mut next = 0;
    while next < all.len() {
        all[next] = if next < COMMON.len() {
            COMMON[next]
        } else {
            OLDER[next - COMMON.len()]
        };
        next += 1;
    }
    all
}

/// Commands of bpf(2) that use what was loaded at the start. Loading programs, making maps and attaching to the older
/// kinds of hooks are not among them.
const BPF_MAP_LOOKUP_ELEM: u64 = 1;
const BPF_MAP_UPDATE_ELEM: u64 = 2;
const BPF_MAP_DELETE_ELEM: u64 = 3;
const BPF_MAP_GET_NEXT_KEY: u64 = 4;
const BPF_OBJ_GET_INFO_BY_FD: u64 = 15;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: u64 = 21;
const BPF_MAP_LOOKUP_BATCH: u64 = 24;
const BPF_MAP_LOOKUP_AND_DELETE_BATCH: u64 = 25;
/// For an iterator over the descriptors of one process.
const BPF_LINK_CREATE: u64 = 28;
const BPF_ITER_CREATE: u64 = 33;

const PR_SET_VMA: u64 = 0x5356_4d41;

// Their types differ between C libraries.
const FIONBIO: u64 = 0x5421;
const FIONREAD: u64 = 0x541b;
const FIOCLEX: u64 = 0x5451;
const TCGETS: u64 = 0x5401;
const TIOCGWINSZ: u64 = 0x5413;
const TCGETS2: u64 = 0x802c_542a;
/// The modes of the terminal that `top` is on, at once and after what waits.
const TCSETS: u64 = 0x5402;
const TCSETSF: u64 = 0x5404;
const TCSETS2: u64 = 0x402c_542b;
const TCSETSF2: u64 = 0x402c_542d;

/// Calls that are allowed when one of their conditions holds.
pub(super) const ALLOWED_WITH: &[(c_long, Argument)] = &[
    // Threads, not processes.
    (libc::SYS_clone, Argument::has(0, libc::CLONE_THREAD as u64)),
    (libc::SYS_bpf, Argument::is(0, BPF_MAP_LOOKUP_ELEM)),
    (libc::SYS_bpf, Argument::is(0, BPF_MAP_UPDATE_ELEM)),
    (libc::SYS_bpf, Argument::is(0, BPF_MAP_DELETE_ELEM)),
    (libc::SYS_bpf, Argument::is(0, BPF_MAP_GET_NEXT_KEY)),
    (libc::SYS_bpf, Argument::is(0, BPF_OBJ_GET_INFO_BY_FD)),
    (
        libc::SYS_bpf,
        Argument::is(0, BPF_MAP_LOOKUP_AND_DELETE_ELEM),
    ),
    (libc::SYS_bpf, Argument::is(0, BPF_MAP_LOOKUP_BATCH)),
    (
        libc::SYS_bpf,
        Argument::is(0, BPF_MAP_LOOKUP_AND_DELETE_BATCH),
    ),
    (libc::SYS_bpf, Argument::is(0, BPF_LINK_CREATE)),
    (libc::SYS_bpf, Argument::is(0, BPF_ITER_CREATE)),
    (libc::SYS_socket, Argument::is(0, libc::AF_UNIX as u64)),
    (libc::SYS_socket, Argument::is(0, libc::AF_INET as u64)),
    (libc::SYS_socket, Argument::is(0, libc::AF_INET6 as u64)),
    (libc::SYS_socket, Argument::is(0, libc::AF_NETLINK as u64)),
    (libc::SYS_ioctl, Argument::is(1, FIONBIO)),
    (libc::SYS_ioctl, Argument::is(1, FIOCLEX)),
    (libc::SYS_ioctl, Argument::is(1, FIONREAD)),
    (libc::SYS_ioctl, Argument::is(1, TCGETS)),
    (libc::SYS_ioctl, Argument::is(1, TIOCGWINSZ)),
    (libc::SYS_ioctl, Argument::is(1, TCGETS2)),
    (libc::SYS_ioctl, Argument::is(1, TCSETS)),
    (libc::SYS_ioctl, Argument::is(1, TCSETSF)),
    (libc::SYS_ioctl, Argument::is(1, TCSETS2)),
    (libc::SYS_ioctl, Argument::is(1, TCSETSF2)),
    (libc::SYS_prctl, Argument::is(0, libc::PR_SET_NAME as u64)),
    (libc::SYS_prctl, Argument::is(0, PR_SET_VMA)),
    (libc::SYS_prlimit64, Argument::is(0, 0)),
];
