//! Where records are in rings that outlive the agent.

/// A place in a ring of this host's kernel: all records before it are in the spool, but for exits that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingMark {
    pub ring_id: u32,
    pub position: u64,
}

/// Where a record was, in the order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(super) ring: u32,
    pub(super) position: u64,
}

#[cfg(test)]
impl Place {
    pub(crate) fn at(position: u64) -> Self {
        Self {
            ring: OWN_RING,
            position,
        }
    }
}

/// The ring that is written to comes after those that were inherited.
pub(super) const OWN_RING: u32 = u32::MAX;

/// A record, valid until the next one is taken.
#[derive(Clone, Copy, Debug)]
pub struct Drained<'a> {
    pub bytes: &'a [u8],
    pub place: Place,
    /// The run before has read it, and spooled what it told, unless that was an exit that waited for its totals.
    pub again: bool,
}
