use bytemuck::{Pod, Zeroable};

use super::{Comm, Header};

/// A thread group began.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ForkRecord {
    pub header: Header,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub pid_namespace: u32,
    pub namespace_pid: u32,
    pub padding: u32,
    /// Of the unified hierarchy.
    pub cgroup_id: u64,
    pub comm: Comm,
}

const _: () = {
    assert!(size_of::<ForkRecord>() == 80);
    assert!(core::mem::offset_of!(ForkRecord, cgroup_id) == 56);
};
