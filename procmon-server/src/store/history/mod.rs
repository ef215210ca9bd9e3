//! Reading the past: what the samples of a host said in a stretch of time, from whatever keeps it. Nothing here knows
//! HTTP, and nothing here changes anything.
//!
//! Order is the order of arrival, which no clock changes: a host whose clock is set back has samples whose times step back
//! too, and each still comes after those that were taken before it.

mod join;
mod log;
mod replay;
mod segmented;
mod values;

pub use values::Run;

use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;

use super::{Store, StoreError};
use crate::batch::{Life, ShortLived};

/// Stands for a value that is not known, where values are written as they change.
pub const UNKNOWN: i64 = i64::MIN;

/// What is asked of the samples of one host.
#[derive(Clone, Debug)]
pub struct SampleQuery {
    pub agent_id: Arc<str>,
    /// The host's clock, from and until (exclusive).
    pub from_ms: i64,
    pub to_ms: i64,
    /// How far the host's clock is ahead of the server's: where in the log to look, and nothing else.
    pub clock_offset_ms: i64,
    pub lives: LifeFilter,
    pub columns: Vec<Column>,
    /// Listening ports, too.
    pub ports: bool,
    /// What lives used that no sample shows, too. Of all lives, whatever `lives` says.
    pub short_lived: bool,
    /// Where no value of any of these columns gets as high, nothing has to be read: whoever asks looks for values beyond a bound.
    /// Segments then say 0 of all columns of the lives that they leave out so. Empty: everything is read.
    pub reaching: Vec<(Column, u64)>,
}

/// Whose samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeFilter {
    All,
    /// When the host was sampled, and nothing else.
    None,
    /// All lives that had this pid.
    Pid(u32),
    Id(ProcessId),
}

/// The samples of a host in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSamples {
    /// When the host was sampled, in order of arrival: ascending unless its clock was set back.
    pub sample_ms: Vec<i64>,
    /// In the order in which they were first sampled.
    pub lives: Vec<LifeSamples>,
    /// Per sample, by index into `sample_ms`: what ended between it and the one before.
    pub short_lived: Vec<(u32, ShortLived)>,
}

/// What the samples say of one life.
#[derive(Clone, Debug, PartialEq)]
pub struct LifeSamples {
    /// As it was last in the stretch of time.
    pub life: Arc<Life>,
    /// What it was before, in order: each until a sample, exclusive.
    pub before: Vec<(u32, Arc<Life>)>,
    /// The samples it was in, both inclusive: indices into `sample_ms`.
    pub first: usize,
    pub last: usize,
    /// In the order of the query's columns. Only changes are here: each value, from that sample on until the next one, or
    /// [`UNKNOWN`]. The value at `first` is always here when it is known.
    pub columns: Vec<Vec<(u32, i64)>>,
    /// As `columns`, where the query asks for them. Nothing is said of a life before the first.
    pub ports: Vec<(u32, Arc<[u16]>)>,
}

impl LifeFilter {
    /// The only pid that it takes.
    pub(in crate::store) fn pid(self) -> Option<u32> {
        match self {
            Self::All | Self::None => None,
            Self::Pid(pid) => Some(pid),
            Self::Id(id) => Some(id.pid),
        }
    }

    pub fn takes(self, id: ProcessId) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Pid(pid) => id.pid == pid,
            Self::Id(wanted) => id == wanted,
        }
    }
}

impl Store {
    /// Samples of a host in a stretch of time. What is read of it stays in memory: whoever asks for all lives of a long
    /// time asks for a part at a time.
    pub async fn samples(&self, query: &SampleQuery) -> Result<HostSamples, StoreError> {
        let view = self.view();
        // Of snapshots before there are more than are to be kept.
        let first_ms = self.first_snapshot_ms(&query.agent_id);
        let query = &SampleQuery {
            from_ms: query.from_ms.max(first_ms.min(query.to_ms)),
            ..query.clone()
        };
        // Sources are joined in the order in which things were received: segments hold what was received before the log
        // begins.
        let (mut joined, logged) = tokio::try_join!(
            Self::segmented_samples(query, &view),
            log::samples(query, &view, Self::carried(query, &view)),
        )?;
        joined.append(logged);
        Ok(joined)
    }
}
