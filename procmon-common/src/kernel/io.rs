use bytemuck::{Pod, Zeroable};

use super::{Comm, Header};

/// A block request in flight: what the completion cannot know any more.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockRequest {
    /// 0 while it waits in a scheduler's queue.
    pub issued_boot_ns: u64,
    pub issuer_start_boot_ns: u64,
    pub issuer_pid: u32,
    pub issuer_ppid: u32,
    pub issuer_flags: u32,
    pub bytes: u32,
    pub issuer_comm: Comm,
}

/// A block request took at least the threshold. The header names the issuer, its time is the completion's.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SlowIoRecord {
    pub header: Header,
    pub latency_ns: u64,
    pub device_major: u32,
    pub device_minor: u32,
    /// `cmd_flags` of the request: the operation is its low byte.
    pub command_flags: u32,
    pub bytes: u32,
    /// The issuer's `task->flags`.
    pub issuer_flags: u32,
    pub padding: u32,
    pub issuer_comm: Comm,
}

const _: () = {
    assert!(size_of::<BlockRequest>() == 48);
    assert!(size_of::<SlowIoRecord>() == 80);
};
