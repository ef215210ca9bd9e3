//! What the kernel tells about a loaded program, by `BPF_OBJ_GET_INFO_BY_FD`: aya does not show `recursion_misses`.
#![expect(
    unsafe_code,
    reason = "one raw bpf(2) call that aya has no wrapper for"
)]

use std::os::fd::{AsRawFd, BorrowedFd};

const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// `struct bpf_prog_info` up to and with `recursion_misses`.
const INFO_BYTES: usize = 216;
const RECURSION_MISSES: usize = 208;

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// Hooks that fired while the program was already running on that CPU: events that were not seen.
pub(super) fn recursion_misses(fd: BorrowedFd<'_>) -> std::io::Result<u64> {
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
    Ok(info[RECURSION_MISSES / 8])
}
