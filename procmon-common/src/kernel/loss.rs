use bytemuck::{Pod, Zeroable};

use super::{COUNTER_SLOTS, Comm, KINDS};

/// Kinds, commands and cgroups that can be told apart between two samples, of records that found the ring full.
pub const LOST_BY_ENTRIES: u32 = 1024;

/// Whose records found the ring full: key of the map that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct LostKey {
    /// A [`super::Kind`].
    pub kind: u32,
    pub padding: u32,
    /// Of the unified hierarchy; 0: not known.
    pub cgroup_id: u64,
    pub comm: Comm,
}

/// Entries of the map in which the agent notes what it has told of the counters: as those, then one per kind for the
/// hooks that the kernel skipped; last the time since boot at which all programs were attached.
pub const TOLD_SLOTS: u32 = COUNTER_SLOTS + KINDS.len() as u32 + 1;

const _: () = assert!(size_of::<LostKey>() == 32);
