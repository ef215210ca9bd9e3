//! How threads ended, from the proc connector, for the classic tracepoints, which do not know. The two arrive by different
//! ways in any order: the one that is first waits for the other.

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;

use anyhow::Result;

use crate::enrich::clock::boot_ns;
use crate::kernel::{Connector, What};
use crate::notice::{Happened, Notice};

/// As long as the table waits for an exit's totals: the event still leaves within 200 ms.
const WAIT_NS: u64 = 140_000_000;
/// Statuses that no tracepoint asks for are those of threads that are not the last of their process.
const KEEP_NS: u64 = 1_000_000_000;
/// Ends of threads within a second on a very busy host. Beyond it the oldest are forgotten: their exits have no status.
const MAX_KEPT: usize = 65_536;

/// See the module.
pub struct Statuses {
    connector: Connector,
    pairs: Pairs,
}

/// What waits for its other half.
#[derive(Default)]
struct Pairs {
    /// By thread.
    known: HashMap<u32, Known>,
    /// The threads of `known` with the time at which each was heard, oldest first; a thread that ended twice is in it twice.
    heard: VecDeque<(u64, u32)>,
    /// In the order in which they were told. Bounded by what happens in `WAIT_NS`.
    waiting: Vec<ThreadEnd>,
}

struct ThreadEnd {
    pid: u32,
    tid: u32,
    group_dead: bool,
    ts_boot_ns: u64,
}

struct Known {
    heard_boot_ns: u64,
    status: u32,
}

impl Statuses {
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            pairs: Pairs::default(),
        }
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.connector.socket()
    }

    pub fn lost(&self) -> u64 {
        self.connector.lost()
    }

    /// Takes what the connector has.
    pub fn listen(&mut self) -> Result<()> {
        let now = boot_ns();
        while let Some(event) = self.connector.next_event()? {
            if let What::Ended { status } = event.what {
                self.pairs.remember(event.tid, status, now);
            }
        }
        self.pairs.forget(now);
        Ok(())
    }

    /// The notice with its status; `None`: it waits for it.
    pub fn complete<'a>(&mut self, notice: Notice<'a>) -> Option<Notice<'a>> {
        self.pairs.complete(notice)
    }

    /// Those whose status has come meanwhile, or that waited in vain.
    pub fn take_due(&mut self, now_boot_ns: u64) -> Vec<Notice<'static>> {
        self.pairs.take_due(now_boot_ns)
    }
}

impl Pairs {
    fn remember(&mut self, tid: u32, status: u32, now_boot_ns: u64) {
        let known = Known {
            heard_boot_ns: now_boot_ns,
            status,
        };
        self.known.insert(tid, known);
        self.heard.push_back((now_boot_ns, tid));
    }

    fn forget(&mut self, now_boot_ns: u64) {
        while let Some((heard_boot_ns, tid)) = self.heard.front().copied() {
            if heard_boot_ns + KEEP_NS > now_boot_ns && self.heard.len() <= MAX_KEPT {
                break;
            }
            self.heard.pop_front();
            if self
                .known
                .get(&tid)
                .is_some_and(|known| known.heard_boot_ns == heard_boot_ns)
            {
                self.known.remove(&tid);
            }
        }
    }

    fn complete<'a>(&mut self, notice: Notice<'a>) -> Option<Notice<'a>> {
        let Happened::ThreadEnded {
            tid, group_dead, ..
        } = notice.happened
        else {
            return Some(notice);
        };
        let ended = ThreadEnd {
            pid: notice.pid,
            tid,
            group_dead,
            ts_boot_ns: notice.ts_boot_ns,
        };
        if let Some(known) = self.known.remove(&tid) {
            return Some(ended.notice(Some(known.status)));
        }
        self.waiting.push(ended);
        None
    }

    fn take_due(&mut self, now_boot_ns: u64) -> Vec<Notice<'static>> {
        let mut due = Vec::new();
        self.waiting.retain(|ended| {
            let status = self.known.remove(&ended.tid).map(|known| known.status);
            let waits = status.is_none() && ended.ts_boot_ns.saturating_add(WAIT_NS) > now_boot_ns;
            if !waits {
                due.push(ended.notice(status));
            }
            waits
        });
        due
    }
}

impl ThreadEnd {
    fn notice(&self, status: Option<u32>) -> Notice<'static> {
        Notice {
            pid: self.pid,
            ts_boot_ns: self.ts_boot_ns,
            happened: Happened::ThreadEnded {
                tid: self.tid,
                group_dead: self.group_dead,
                status,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(tid: u32, ts_boot_ns: u64, status: Option<u32>) -> Notice<'static> {
        Notice {
            pid: 7,
            ts_boot_ns,
            happened: Happened::ThreadEnded {
                tid,
                group_dead: true,
                status,
            },
        }
    }

    #[test]
    fn the_first_of_the_two_waits_for_the_other() {
        let mut pairs = Pairs::default();
        pairs.remember(8, 256, 1);
        assert_eq!(
            pairs.complete(ended(8, 1, None)),
            Some(ended(8, 1, Some(256)))
        );
        assert_eq!(pairs.complete(ended(9, 2, None)), None);
        assert_eq!(pairs.complete(ended(10, 2, None)), None);
        assert!(pairs.take_due(3).is_empty());
        pairs.remember(10, 9, 3);
        assert_eq!(pairs.take_due(3), [ended(10, 2, Some(9))]);
        assert_eq!(
            pairs.take_due(2 + WAIT_NS),
            [ended(9, 2, None)],
            "a status that never comes is unknown"
        );
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut pairs = Pairs::default();
        pairs.remember(8, 1, 1);
        pairs.remember(8, 2, KEEP_NS);
        pairs.forget(KEEP_NS + 1);
        assert_eq!(pairs.known.len(), 1, "the number was given again");
        for tid in 0..=MAX_KEPT as u32 {
            pairs.remember(tid, 0, KEEP_NS);
        }
        pairs.forget(KEEP_NS + 1);
        assert_eq!(pairs.heard.len(), MAX_KEPT);
        pairs.forget(3 * KEEP_NS);
        assert!(pairs.known.is_empty() && pairs.heard.is_empty());
    }
}
