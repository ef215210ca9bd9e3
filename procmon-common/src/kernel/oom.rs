use bytemuck::{Pod, Zeroable};

use super::{Comm, Header};

/// The out-of-memory killer chose a process. Before Linux 6.9 the header has only its pid, and `known` is 0.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct OomRecord {
    pub header: Header,
    /// Whether the fields after this one mean anything.
    pub known: u32,
    pub oom_score_adj: i32,
    pub rss_pages: u64,
    /// Of the hierarchy that the memory controller is in.
    pub memory_cgroup_id: u64,
    pub comm: Comm,
}

const _: () = assert!(size_of::<OomRecord>() == 72);
