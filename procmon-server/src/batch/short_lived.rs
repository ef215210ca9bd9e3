//! What no sample shows of lives that ended between two samples, added up.

/// Lives of one command, user and cgroup. The remainder that did not fit has none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShortLived {
    pub name: Option<Box<[u8]>>,
    pub uid: Option<u32>,
    pub username: Option<Box<str>>,
    pub cgroup: Option<Box<str>>,
    pub container_id: Option<Box<str>>,
    /// Those that no sample saw at all.
    pub lives: u32,
    pub cpu_time_ns: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}
