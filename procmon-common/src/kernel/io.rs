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

/// Whose requests a histogram is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LatencyScope {
    /// `id` is the device number, major in the upper half.
    Device = 0,
    /// `id` is the pid.
    Issuer = 1,
    /// Kernel workers.
    Writeback = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct LatencyKey {
    /// A [`LatencyScope`].
    pub scope: u32,
    /// The low byte of a request's `cmd_flags`.
    pub operation: u32,
    pub id: u64,
    /// Tells lives with one pid apart; 0 but for an issuer.
    pub start_boot_ns: u64,
}

/// A power of two: the programs mask with it.
pub const LATENCY_BUCKETS: usize = 32;

/// Bucket n counts latencies below 2^n microseconds and not below half of that; the last one all that is slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Latency {
    pub buckets: [u32; LATENCY_BUCKETS],
    pub bytes: u64,
    pub sum_ns: u64,
}

const _: () = {
    assert!(size_of::<LatencyKey>() == 24);
    assert!(size_of::<Latency>() == 144);
    assert!(size_of::<BlockRequest>() == 48);
    assert!(size_of::<SlowIoRecord>() == 80);
};
