//! What the kernel tells about a loaded program, by `BPF_OBJ_GET_INFO_BY_FD`: aya does not show `recursion_misses`.
#![expect(
    unsafe_code,
    reason = "one raw bpf(2) call that aya has no wrapper for"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// `struct bpf_prog_info` up to and with `recursion_misses`.
const INFO_BYTES: usize = 216;
const RUN_TIME_NS: usize = 192;
const RUN_COUNT: usize = 200;
const RECURSION_MISSES: usize = 208;

/// Figures of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    /// Only counted while `kernel.bpf_stats_enabled` is 1.
    pub(super) run_time_ns: u64,
    pub(super) run_count: u64,
    /// Hooks that fired while the program was already running on that CPU: events that were not seen.
    pub(super) recursion_misses: u64,
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    info_len: u32,
    info: u64,
}

pub(super) fn program_info(fd: BorrowedFd<'_>) -> std::io::Result<ProgramInfo> {
    let mut info = [0_u64; INFO_BYTES / 8];
    let attributes = InfoAttributes {
        fd: fd.as_raw_fd() as u32,
        info_len: INFO_BYTES as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: `attributes` and `info` outlive the call and have the lengths that are passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw const attributes,
            size_of::<InfoAttributes>(),
        )
    };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(ProgramInfo {
        run_time_ns: info[RUN_TIME_NS / 8],
        run_count: info[RUN_COUNT / 8],
        recursion_misses: info[RECURSION_MISSES / 8],
    })
}
