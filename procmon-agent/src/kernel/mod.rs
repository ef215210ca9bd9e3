//! The kernel's side of the agent: resolves offsets, loads and attaches the programs, reads their ring and counters.
//! Nothing outside this folder imports aya, and nothing in here interprets what a record means.

pub mod btf;
mod capture;
mod iterator;
mod latency;
mod offsets;
pub mod probe;
mod program_info;

pub use capture::{Capture, CaptureOptions, KernelCounters};
pub use iterator::TaskIterator;
pub use offsets::resolve as resolve_offsets;
