use bytemuck::{Pod, Zeroable};

use super::{Comm, Header};

/// Bytes of the executed path that a record can carry, with its NUL.
pub const EXE_MAX: usize = 256;
/// Bytes of argv that a record can carry.
pub const ARGS_MAX: usize = 4096;

/// A process replaced its image. `exe_len` bytes of path (with NUL) and `args_len` bytes of argv follow.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ExecRecord {
    pub header: Header,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub pid_namespace: u32,
    pub namespace_pid: u32,
    pub exe_len: u32,
    pub args_len: u32,
    /// The tid that called exec: another than the pid when a thread did.
    pub old_pid: u32,
    /// True length of argv.
    pub args_bytes: u64,
    pub cgroup_id: u64,
    /// `signal->maxrss` after the exec: memory of the images before.
    pub max_rss_pages_before: u64,
    pub comm: Comm,
}

const _: () = {
    assert!(size_of::<ExecRecord>() == 104);
    assert!(core::mem::offset_of!(ExecRecord, args_bytes) == 64);
};
