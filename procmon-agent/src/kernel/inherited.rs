//! What another version of the programs left: a ring to be read to its end, and counts that nobody told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use aya::maps::MapData;
use procmon_common::kernel::ABI_VERSION;

use super::counters::{Counters, KernelCounters};
use super::ring::Ring;
use super::{pin, programs};

/// Detached, so that its ring has an end.
pub(super) struct Inherited {
    pub(super) path: PathBuf,
    /// `None` where its records cannot be understood.
    pub(super) ring: Option<Ring>,
    /// How far an agent has read and spooled it.
    pub(super) mark: u64,
    pub(super) untold: KernelCounters,
    /// Records that cannot be understood.
    pub(super) unreadable: u64,
}

impl Inherited {
    /// Detaches the programs and opens what they left.
    pub(super) fn take_over(version: &Path) -> Result<Self> {
        let version = &pin::retire(version)?;
        pin::detach(version)?;
        let path = version.join("map_EVENTS");
        let data =
            MapData::from_pin(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let mut ring = Ring::open(data)?;
        if pin::abi_of(version) != Some(ABI_VERSION) {
            return Ok(Self::foreign(version, &mut ring));
        }
        let descriptors = programs::pinned_descriptors(version)?;
        let untold = Counters::pinned(version, descriptors)?.read()?;
        Ok(Self {
            path: version.clone(),
            ring: Some(ring),
            mark: 0,
            untold,
            unreadable: 0,
        })
    }

    /// The layout of a ring is the kernel's, that of its records is not ours: they are counted.
    fn foreign(version: &Path, ring: &mut Ring) -> Self {
        let mut unreadable = 0;
        while ring.next().is_some() {
            unreadable += 1;
        }
        tracing::warn!(
            "{}: {unreadable} records of another version of procmon cannot be read; they are counted as lost",
            version.display()
        );
        Self {
            path: version.to_path_buf(),
            ring: None,
            mark: 0,
            untold: KernelCounters::default(),
            unreadable,
        }
    }
}
