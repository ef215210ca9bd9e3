//! The kernel's side of the agent: resolves offsets, loads and attaches the programs, reads their ring and counters.
//! Nothing outside this folder imports aya, and nothing in here interprets what a record means.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

mod batch_lookup;
pub mod btf;
mod capture;
mod classic;
mod complete;
mod connector;
mod counters;
mod inherited;
mod iterator;
mod latency;
mod message;
mod offsets;
mod options;
mod overlap;
pub mod pin;
mod place;
pub mod probe;
mod program_info;
mod programs;
mod ring;
mod tracefs;
mod undisturbed;
mod wake;

pub use capture::Capture;
pub use classic::Classic;
pub use connector::{Connector, ProcEvent, What};
pub use counters::{KernelCounters, LostBy};
pub use iterator::TaskIterator;
pub use offsets::resolve as resolve_offsets;
pub use options::{CaptureOptions, Continuity};
pub use place::{Drained, Place, RingMark};

/// Returns when one of these is readable, or after `timeout`; whether one is. An interrupted or failed wait is an early
/// wake-up: the read after it is harmless.
pub(crate) fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Duration) -> bool {
    let Ok(timeout) = Timespec::try_from(timeout) else {
        return false;
    };
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0)
}
