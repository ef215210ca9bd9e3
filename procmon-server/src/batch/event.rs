//! Something that happened at a point in time.

use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::Life;

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The host's clock.
    pub ts_ns: i64,
    /// The process as it was when it happened.
    pub life: Option<Arc<Life>>,
    /// Deduced from two samples.
    pub sampled: bool,
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    Fork,
    /// The life that the event refers to already has the new image.
    Exec,
    Exit(Box<Exit>),
    SlowIo(Box<SlowIo>),
    Loss(Box<Loss>),
    /// The kernel's out-of-memory killer chose the process; its exit follows.
    Oom(Box<Oom>),
}

/// The end of a process. What is absent is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exit {
    pub code: Option<u32>,
    pub signal: Option<u32>,
    pub core_dumped: bool,
    pub totals_final: bool,
    pub cpu_time_ns: Option<u64>,
    pub user_time_ns: Option<u64>,
    pub system_time_ns: Option<u64>,
    pub max_rss_bytes: Option<u64>,
    pub read_bytes: Option<u64>,
    pub write_bytes: Option<u64>,
    pub read_chars: Option<u64>,
    pub write_chars: Option<u64>,
    pub read_calls: Option<u64>,
    pub write_calls: Option<u64>,
    pub voluntary_switches: Option<u64>,
    pub involuntary_switches: Option<u64>,
    pub minor_faults: Option<u64>,
    pub major_faults: Option<u64>,
    /// Who sent the signal that ended it.
    pub killed_by: Option<Box<Killer>>,
    pub oom_killed: Option<bool>,
}

impl Exit {
    pub const TOTALS: usize = 14;

    /// What it used. Both formats of the store have these numbers in this order, which never changes.
    pub fn totals(&self) -> [Option<u64>; Self::TOTALS] {
        [
            self.cpu_time_ns,
            self.user_time_ns,
            self.system_time_ns,
            self.max_rss_bytes,
            self.read_bytes,
            self.write_bytes,
            self.read_chars,
            self.write_chars,
            self.read_calls,
            self.write_calls,
            self.voluntary_switches,
            self.involuntary_switches,
            self.minor_faults,
            self.major_faults,
        ]
    }

    /// The same, to be filled in.
    pub fn totals_mut(&mut self) -> [&mut Option<u64>; Self::TOTALS] {
        [
            &mut self.cpu_time_ns,
            &mut self.user_time_ns,
            &mut self.system_time_ns,
            &mut self.max_rss_bytes,
            &mut self.read_bytes,
            &mut self.write_bytes,
            &mut self.read_chars,
            &mut self.write_chars,
            &mut self.read_calls,
            &mut self.write_calls,
            &mut self.voluntary_switches,
            &mut self.involuntary_switches,
            &mut self.minor_faults,
            &mut self.major_faults,
        ]
    }
}

/// The sender of a fatal signal, as it was when it sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Killer {
    pub id: ProcessId,
    pub name: Box<[u8]>,
    pub uid: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oom {
    /// The memory cgroup whose limit was hit.
    pub memory_cgroup: Option<Box<str>>,
    /// When it was chosen.
    pub rss_bytes: Option<u64>,
    pub oom_score_adj: Option<i32>,
}

/// A block request that took at least the agent's threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlowIo {
    pub major: u32,
    pub minor: u32,
    pub device: Box<str>,
    pub operation: Operation,
    pub bytes: u64,
    pub latency_ns: u64,
    pub writeback: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    #[default]
    Other,
    Read,
    Write,
    Flush,
    Discard,
}

/// Something that was not seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    pub kind: Box<str>,
    pub reason: Box<str>,
    pub count: u64,
    pub from_ns: i64,
    /// Of records that found the ring full: whose they were.
    pub command: Option<Box<[u8]>>,
    pub cgroup: Option<Box<str>>,
}

impl EventKind {
    /// The `type` of the API.
    pub fn name(&self) -> &'static str {
        KIND_NAMES[usize::from(self.number())]
    }

    /// Its number in the store: never given a second meaning.
    pub fn number(&self) -> u8 {
        match self {
            Self::Fork => 0,
            Self::Exec => 1,
            Self::Exit(_) => 2,
            Self::SlowIo(_) => 3,
            Self::Loss(_) => 4,
            Self::Oom(_) => 5,
        }
    }
}

/// By number.
pub const KIND_NAMES: [&str; 6] = ["fork", "exec", "exit", "io_slow", "loss", "oom"];

impl Operation {
    pub const ALL: [Self; 5] = [
        Self::Other,
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::Discard,
    ];

    pub fn from_number(number: u64) -> Self {
        let index = usize::try_from(number).unwrap_or(0);
        Self::ALL.get(index).copied().unwrap_or(Self::Other)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Discard => "discard",
        }
    }
}

/// Which kinds of events a batch has, to pass over batches without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindSet(pub u32);

impl KindSet {
    pub const EMPTY: Self = Self(0);

    #[must_use]
    pub fn with(self, kind: &EventKind) -> Self {
        Self(self.0 | 1 << kind.number())
    }

    /// The set of one kind; `None` for a name that no event has.
    pub fn of_name(name: &str) -> Option<Self> {
        let number = KIND_NAMES.iter().position(|known| *known == name)?;
        Some(Self(1 << number))
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn contains(self, kind: &EventKind) -> bool {
        self.0 & (1 << kind.number()) != 0
    }
}
