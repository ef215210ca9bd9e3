//! The kernel's side of the agent: resolves offsets, loads and attaches the programs, reads their ring and counters.
//! Nothing outside this folder imports aya, and nothing in here interprets what a record means.

pub mod btf;
mod capture;
mod counters;
mod inherited;
mod iterator;
mod latency;
mod offsets;
mod options;
mod overlap;
pub mod pin;
mod place;
pub mod probe;
mod program_info;
mod programs;
mod ring;

pub use capture::Capture;
pub use counters::{KernelCounters, LostBy};
pub use iterator::TaskIterator;
pub use offsets::resolve as resolve_offsets;
pub use options::{CaptureOptions, Continuity};
pub use place::{Drained, Place, RingMark};
