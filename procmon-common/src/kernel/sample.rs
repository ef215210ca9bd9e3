//! What the task iterator writes into one snapshot: a stream of records, each as long as its head says. A process is the
//! sum of one [`TaskSample`] and the [`ThreadSample`]s of its other threads; [`SocketSample`]s come before the record of
//! the task that holds them.

use bytemuck::{Pod, Zeroable};

use super::Comm;

/// What a record of a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SampleKind {
    Task = 1,
    Thread = 2,
    Socket = 3,
}

impl TryFrom<u16> for SampleKind {
    type Error = u16;

    fn try_from(number: u16) -> Result<Self, u16> {
        match number {
            1 => Ok(Self::Task),
            2 => Ok(Self::Thread),
            3 => Ok(Self::Socket),
            other => Err(other),
        }
    }
}

/// Starts every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SampleHead {
    /// A [`SampleKind`].
    pub kind: u16,
    pub len: u16,
    /// The thread group's id in the initial PID namespace.
    pub pid: u32,
}

/// What one thread used up itself; of a [`TaskSample`] the leader, with what the group's released threads left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Usage {
    pub cpu_time_ns: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

/// Open files of a task, from its descriptor table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Files {
    /// [`NO_FILES`]: the task has no descriptor table (a kernel thread, a zombie), or it changed during the walk.
    pub open_fds: u32,
    /// Descriptors of Internet sockets; some may be of the same socket.
    pub internet_fds: u32,
}

/// See [`Files::open_fds`].
pub const NO_FILES: u32 = u32::MAX;

/// Sockets of one task that are written at most: a task may write 32 KiB, or the kernel ends the whole pass.
pub const MAX_SOCKETS: u32 = 512;

/// A thread group, by its leader.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TaskSample {
    pub head: SampleHead,
    pub ppid: u32,
    /// `__state`, with `exit_state`'s bits.
    pub state: u32,
    /// `task->flags`.
    pub flags: u32,
    pub threads: u32,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    /// 1: `rss_pages` misses nothing but what other threads' [`ThreadSample::rss_pages`] add; 0: an approximation.
    pub rss_exact: u32,
    pub start_boot_ns: u64,
    pub cgroup_id: u64,
    pub rss_pages: u64,
    pub virtual_pages: u64,
    pub usage: Usage,
    pub files: Files,
    pub comm: Comm,
}

/// A thread that is not its group's leader.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ThreadSample {
    pub head: SampleHead,
    /// Only when the thread has other files than its leader.
    pub files: Files,
    /// Pages that the thread has not added to its group's count yet (before Linux 6.2).
    pub rss_pages: i64,
    pub usage: Usage,
}

/// An Internet socket that a task has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SocketSample {
    pub head: SampleHead,
    /// Tells two descriptors of one socket from two sockets. An address: never shown.
    pub socket: u64,
    /// Bound local port, host byte order.
    pub port: u16,
    /// `IPPROTO_*`.
    pub protocol: u16,
    /// 1: listening (TCP), or bound without a peer (UDP).
    pub listening: u16,
    pub padding: u16,
}

const _: () = {
    assert!(size_of::<TaskSample>() == 152);
    assert!(size_of::<ThreadSample>() == 80);
    assert!(size_of::<SocketSample>() == 24);
    assert!(MAX_SOCKETS as usize * size_of::<SocketSample>() + size_of::<TaskSample>() < 32 << 10);
};
