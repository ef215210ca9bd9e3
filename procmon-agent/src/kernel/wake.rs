//! Waiting for the programs to call for the reader. A poll of the ring would end at once whenever a record is in it, and on a
//! busy host one always is: only what the programs call for is waited for here, and what they write without a call waits for
//! the next look.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{Timespec, epoll};

pub(super) struct Wake {
    epoll: OwnedFd,
}

impl Wake {
    pub(super) fn new(ring: impl AsFd) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, ring, epoll::EventData::new_u64(0), flags)
            .context("cannot wait for the ring")?;
        Ok(Self { epoll })
    }

    /// Returns when the programs have called since the last time, or after `timeout`. An interrupted or failed wait is an
    /// early wake-up: the read after it is harmless.
    pub(super) fn wait(&self, timeout: Duration) {
        if let Ok(timeout) = Timespec::try_from(timeout) {
            let mut called = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }];
            let _ = epoll::wait(&self.epoll, &mut called, Some(&timeout));
        }
    }
}
