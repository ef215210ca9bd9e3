//! The registry of the columns and flags of lives.

/// Numbers of columns, for ever.
pub(in crate::store::segment) mod column {
    pub(in crate::store::segment) const FLAGS: u64 = 1;
    /// 0, or how many rows before this one the same life was written.
    pub(in crate::store::segment) const PRIOR: u64 = 2;
    pub(in crate::store::segment) const PID: u64 = 3;
    pub(in crate::store::segment) const STARTED_NS: u64 = 4;
    pub(in crate::store::segment) const START: u64 = 5;
    pub(in crate::store::segment) const BOOT: u64 = 6;
    /// How far it lies before the pid: version 1 alone, as `NAMESPACE_PID`.
    pub(in crate::store::segment) const PPID: u64 = 7;
    pub(in crate::store::segment) const IMAGE_SEQ: u64 = 8;
    pub(in crate::store::segment) const NAME: u64 = 9;
    pub(in crate::store::segment) const EXE: u64 = 10;
    /// How many arguments were first used after these; 0 for new ones.
    pub(in crate::store::segment) const ARGUMENTS: u64 = 11;
    /// The true length of argv less that of what is kept.
    pub(in crate::store::segment) const ARGUMENTS_GROWN: u64 = 12;
    pub(in crate::store::segment) const UID: u64 = 13;
    pub(in crate::store::segment) const EUID: u64 = 14;
    pub(in crate::store::segment) const GID: u64 = 15;
    /// Word + 1, 0 for none, here and below.
    pub(in crate::store::segment) const USERNAME: u64 = 16;
    pub(in crate::store::segment) const CGROUP: u64 = 17;
    pub(in crate::store::segment) const CONTAINER: u64 = 18;
    pub(in crate::store::segment) const SYSTEMD_UNIT: u64 = 19;
    pub(in crate::store::segment) const PID_NAMESPACE: u64 = 20;
    pub(in crate::store::segment) const NAMESPACE_PID: u64 = 21;
    /// By the rows before (`kin.rs`), since version 2.
    pub(in crate::store::segment) const PARENT: u64 = 22;
    /// How far the pid in the namespace lies before that of the host, less how far that of the row before does; since
    /// version 2.
    pub(in crate::store::segment) const NAMESPACE_SHIFT: u64 = 23;
    pub(in crate::store::segment) const COUNT: usize = 23;
}

pub(in crate::store::segment) mod flag {
    pub(in crate::store::segment) const ID: u32 = 1;
    pub(in crate::store::segment) const UPLOADED: u32 = 1 << 1;
    pub(in crate::store::segment) const STARTED: u32 = 1 << 2;
    pub(in crate::store::segment) const IMAGE: u32 = 1 << 3;
    pub(in crate::store::segment) const CREDENTIALS: u32 = 1 << 4;
    pub(in crate::store::segment) const BASELINE: u32 = 1 << 5;
    pub(in crate::store::segment) const ARGUMENTS_CUT: u32 = 1 << 6;
    pub(in crate::store::segment) const PPID: u32 = 1 << 7;
    pub(in crate::store::segment) const UID: u32 = 1 << 8;
    pub(in crate::store::segment) const EUID: u32 = 1 << 9;
    pub(in crate::store::segment) const GID: u32 = 1 << 10;
    pub(in crate::store::segment) const PID_NAMESPACE: u32 = 1 << 11;
    pub(in crate::store::segment) const NAMESPACE_PID: u32 = 1 << 12;
}
