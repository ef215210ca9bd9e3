//! The records that the eBPF programs write and the agent reads. Fixed width, explicit padding, layout asserted.
//!
//! Every record starts with a [`Header`] that carries [`ABI_VERSION`], so that an agent never mistakes an old ring for
//! its own. Nothing here interprets: offsets of kernel structures are in [`offsets`], decisions are the agent's.

mod classic;
mod exec;
mod exit;
mod fork;
mod io;
mod loss;
pub mod offsets;
mod oom;
mod sample;

use bytemuck::{Pod, Zeroable};

pub use classic::{ClassicExecRecord, ClassicFields, ClassicRecord};
pub use exec::{ARGS_MAX, EXE_MAX, ExecRecord};
pub use exit::{ExitRecord, FreeRecord, IoTotals, Killer, SentSignal, Totals};
pub use fork::ForkRecord;
pub use io::{BlockRequest, LATENCY_BUCKETS, Latency, LatencyKey, LatencyScope, SlowIoRecord};
pub use loss::{LOST_BY_ENTRIES, LostKey, TOLD_SLOTS};
pub use offsets::{OFFSET_SITES, Offsets, offset_site};
pub use oom::OomRecord;
pub use sample::{
    Files, MAX_SOCKETS, NO_FILES, SampleHead, SampleKind, SocketSample, TaskSample, ThreadSample,
    Usage,
};

/// Changes with any record's layout or meaning.
pub const ABI_VERSION: u16 = 2;

/// Marks the id of a cgroup in the legacy hierarchy that the agent chose: kernfs numbers its ids from 1 and never gets here.
pub const LEGACY_CGROUP: u64 = 1 << 63;

/// Id of the root of every hierarchy.
pub const ROOT_CGROUP: u64 = 1;

/// `comm`, NUL-padded.
pub type Comm = [u8; 16];

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    Fork = 1,
    Exec = 2,
    Exit = 3,
    Free = 4,
    SlowIo = 5,
    Oom = 6,
}

pub const KINDS: [Kind; 6] = [
    Kind::Fork,
    Kind::Exec,
    Kind::Exit,
    Kind::Free,
    Kind::SlowIo,
    Kind::Oom,
];

impl TryFrom<u16> for Kind {
    type Error = u16;

    fn try_from(number: u16) -> Result<Self, u16> {
        KINDS
            .get((number as usize).wrapping_sub(1))
            .copied()
            .ok_or(number)
    }
}

impl Kind {
    /// As it is named in loss records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Exit => "exit",
            Self::Free => "exit_totals",
            Self::SlowIo => "io_slow",
            Self::Oom => "oom",
        }
    }
}

/// Starts every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    pub abi: u16,
    /// A [`Kind`].
    pub kind: u16,
    /// Of the whole record.
    pub len: u32,
    /// The thread group's id in the initial PID namespace.
    pub pid: u32,
    /// The parent's; 0 in a `FreeRecord`.
    pub ppid: u32,
    /// `bpf_ktime_get_boot_ns`.
    pub ts_boot_ns: u64,
    /// `start_boottime` of the group's leader.
    pub start_boot_ns: u64,
}

/// What the programs count, per CPU. Index = reason * `KINDS.len()` + kind - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Records written.
    Emitted = 0,
    /// No room in the ring.
    RingFull = 1,
    /// A record longer than its buffer.
    TooLong = 2,
    /// A table of the programs was full (block requests in flight).
    TableFull = 3,
    /// The kernel refused a read that a record needs.
    ReadFailed = 4,
}

pub const COUNTERS: [Counter; 5] = [
    Counter::Emitted,
    Counter::RingFull,
    Counter::TooLong,
    Counter::TableFull,
    Counter::ReadFailed,
];

/// Entries in the counter map.
pub const COUNTER_SLOTS: u32 = (COUNTERS.len() * KINDS.len()) as u32;

impl Counter {
    pub const fn slot(self, kind: Kind) -> u32 {
        self as u32 * KINDS.len() as u32 + kind as u32 - 1
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Emitted => "emitted",
            Self::RingFull => "ring_full",
            Self::TooLong => "too_long",
            Self::TableFull => "table_full",
            Self::ReadFailed => "read_failed",
        }
    }
}

/// Settings that the agent freezes into the programs when it loads them.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// Block requests at least this slow are reported. 0: all of them.
    pub io_slow_threshold_ns: u64,
    /// The reader is woken when this much is pending.
    pub wakeup_bytes: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 32);
    assert!(size_of::<Settings>() == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_round_trip() {
        for kind in KINDS {
            assert_eq!(Kind::try_from(kind as u16), Ok(kind));
        }
        assert_eq!(Kind::try_from(0), Err(0));
        assert_eq!(Kind::try_from(7), Err(7));
    }

    #[test]
    fn counter_slots_do_not_overlap() {
        let mut seen = [false; COUNTER_SLOTS as usize];
        for counter in COUNTERS {
            for kind in KINDS {
                let slot = &mut seen[counter.slot(kind) as usize];
                assert!(!*slot);
                *slot = true;
            }
        }
    }
}
