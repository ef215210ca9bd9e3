//! The registry of the columns and flags of lives.

/// Numbers of columns, for ever.
pub(super) mod column {
    pub(in super::super) const FLAGS: u64 = 1;
    /// 0, or how many rows before this one the same life was written.
    pub(in super::super) const PRIOR: u64 = 2;
    pub(in super::super) const PID: u64 = 3;
    pub(in super::super) const STARTED_NS: u64 = 4;
    pub(in super::super) const START: u64 = 5;
    pub(in super::super) const BOOT: u64 = 6;
    pub(in super::super) const PPID: u64 = 7;
    pub(in super::super) const IMAGE_SEQ: u64 = 8;
    pub(in super::super) const NAME: u64 = 9;
    pub(in super::super) const EXE: u64 = 10;
    /// How many arguments were first used after these; 0 for new ones.
    pub(in super::super) const ARGUMENTS: u64 = 11;
    /// The true length of argv less that of what is kept.
    pub(in super::super) const ARGUMENTS_GROWN: u64 = 12;
    pub(in super::super) const UID: u64 = 13;
    pub(in super::super) const EUID: u64 = 14;
    pub(in super::super) const GID: u64 = 15;
    /// Word + 1, 0 for none, here and below.
    pub(in super::super) const USERNAME: u64 = 16;
    pub(in super::super) const CGROUP: u64 = 17;
    pub(in super::super) const CONTAINER: u64 = 18;
    pub(in super::super) const SYSTEMD_UNIT: u64 = 19;
    pub(in super::super) const PID_NAMESPACE: u64 = 20;
    pub(in super::super) const NAMESPACE_PID: u64 = 21;
}

pub(super) mod flag {
    pub(in super::super) const ID: u32 = 1;
    pub(in super::super) const UPLOADED: u32 = 1 << 1;
    pub(in super::super) const STARTED: u32 = 1 << 2;
    pub(in super::super) const IMAGE: u32 = 1 << 3;
    pub(in super::super) const CREDENTIALS: u32 = 1 << 4;
    pub(in super::super) const BASELINE: u32 = 1 << 5;
    pub(in super::super) const ARGUMENTS_CUT: u32 = 1 << 6;
    pub(in super::super) const PPID: u32 = 1 << 7;
    pub(in super::super) const UID: u32 = 1 << 8;
    pub(in super::super) const EUID: u32 = 1 << 9;
    pub(in super::super) const GID: u32 = 1 << 10;
    pub(in super::super) const PID_NAMESPACE: u32 = 1 << 11;
    pub(in super::super) const NAMESPACE_PID: u32 = 1 << 12;
}
