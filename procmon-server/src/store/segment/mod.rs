//! Segments: what the batches of an agent said in a stretch of time, by column, so that a reader decodes the columns and
//! the processes that it wants and nothing else. A sample segment and an event segment of the same time stand side by
//! side. Nothing here talks SQL or knows where segments are kept.
//!
//! ```text
//! magic: 4 bytes ("PMS1" samples, "PME1" events)  version: u8  sections: varint
//! per section: id, encoding (0 plain, 1 zstd), plain length, stored length: varints
//! the sections' bytes, in the same order
//! ```
//!
//! Numbers of sections and columns stand in registries that only grow. Readers pass over what they do not know and take a
//! column that is not there as zeros or unknown. Reading never panics and never trusts a length. Content is exact but for
//! two things: the time of a sample is kept in whole milliseconds, and what no reader can ask for (handles, how an agent
//! cut its batches) is not kept.

mod block;
mod container;
pub mod event;
mod kin;
mod life;
mod life_numbers;
mod life_scan;
mod packed;
mod replay;
pub mod sample;
mod strings;

pub use event::{
    EventDigest, EventSegment, EventSummary, EventWriter, ExitBounds, FoundEvents, Wanted,
    decode_events,
};
pub use replay::Replay;
pub use sample::{
    Carried, SampleBuilder, carried, decode_samples, join_parts, merge_samples, resume,
};

#[cfg(test)]
pub(super) mod older;

use crate::store::format::FormatError;

/// Why bytes are not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("not a segment of this kind")]
    Magic,
    #[error("segment format {0} is newer than this server")]
    Version(u8),
    #[error("cut short")]
    Truncated,
    #[error("a number has more than 64 bits")]
    Overlong,
    #[error("a frame does not decompress")]
    Compression,
    #[error("a reference points outside its table")]
    Reference,
    #[error("lengths contradict each other")]
    Lengths,
}

impl From<FormatError> for SegmentError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Magic => Self::Magic,
            FormatError::Version(version) => Self::Version(version),
            FormatError::Truncated => Self::Truncated,
            FormatError::Overlong => Self::Overlong,
            FormatError::Compression => Self::Compression,
            FormatError::Reference => Self::Reference,
            FormatError::Lengths => Self::Lengths,
        }
    }
}
