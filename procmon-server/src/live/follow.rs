//! What one client of `GET /live` has, and what it lacks.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::stream::{LiveBody, LiveColumns, LiveRemoved};
use super::{AgentStatus, HostEntry};
use crate::clock::rfc3339_ms;

/// Rows of one message, more or less: bounds what is made for a client before it takes it. The rest comes with the next.
const MESSAGE_ROWS: usize = 5_000;

/// How far a client has followed each host.
#[derive(Debug, Default)]
pub(super) struct Follower {
    hosts: HashMap<Arc<str>, Followed>,
    /// Hosts with something that the client was not sent yet.
    pending: VecDeque<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Followed {
    version: u64,
    status: AgentStatus,
}

/// What a host is looked at for.
#[derive(Debug)]
struct Pending {
    entry: Arc<HostEntry>,
    /// Rows that changed after this version; all of them without one.
    since: Option<u64>,
    /// A big host comes in parts, by pid.
    part: u32,
    parts: u32,
}

/// What a client is to be sent.
#[derive(Debug)]
pub(super) enum Step {
    /// `resync`: because it fell too far behind.
    Snapshot {
        body: LiveBody,
        resync: bool,
    },
    Delta(LiveBody),
    Nothing,
}

impl Follower {
    /// The next message. A host that the client cannot follow any more makes everything new.
    pub(super) fn step(&mut self, entries: &[Arc<HostEntry>], now_ms: i64, first: bool) -> Step {
        let mut removed = LiveRemoved::default();
        let mut fresh = first;
        if self.pending.is_empty() && !self.look(entries, now_ms, &mut removed) {
            *self = Self::default();
            removed = LiveRemoved::default();
            self.look(entries, now_ms, &mut removed);
            fresh = true;
        }
        let mut columns = LiveColumns::default();
        while columns.len() < MESSAGE_ROWS
            && let Some(pending) = self.pending.pop_front()
        {
            if let Some(rest) = pending.collect(now_ms, &mut columns) {
                self.pending.push_front(rest);
            }
        }
        let changed = fresh || columns.len() > 0 || !removed.process_id.is_empty();
        let body = LiveBody {
            at: rfc3339_ms(now_ms),
            more: self.has_more(),
            columns,
            removed: (!fresh).then_some(removed),
        };
        match (fresh, changed) {
            (true, _) => Step::Snapshot {
                body,
                resync: !first,
            },
            (false, true) => Step::Delta(body),
            (false, false) => Step::Nothing,
        }
    }

    /// Whether there is more already that the client lacks.
    pub(super) fn has_more(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Finds the hosts that changed, and what is gone from them. False when that is not known any more.
    fn look(&mut self, entries: &[Arc<HostEntry>], now_ms: i64, removed: &mut LiveRemoved) -> bool {
        for entry in entries {
            let host = entry.read();
            let now = Followed {
                version: host.version(),
                status: host.agent.status(now_ms),
            };
            let known = self.hosts.get(&entry.agent_id).copied();
            if known == Some(now) {
                continue;
            }
            if let Some(known) = known {
                let changes = host.changes_after(known.version);
                if changes.all {
                    return false;
                }
                removed.push(&entry.agent_id, &changes.removed);
            }
            // A change of status shows in every row.
            let since = known
                .filter(|known| known.status == now.status)
                .map(|known| known.version);
            self.pending.push_back(Pending {
                entry: Arc::clone(entry),
                since,
                part: 0,
                parts: host.process_count().div_ceil(MESSAGE_ROWS) as u32,
            });
            self.hosts.insert(Arc::clone(&entry.agent_id), now);
        }
        true
    }
}

impl Pending {
    /// Takes the rows of a part; returns what is left.
    fn collect(mut self, now_ms: i64, columns: &mut LiveColumns) -> Option<Self> {
        let host = self.entry.read();
        for view in host.views(now_ms) {
            let of_part = self.parts <= 1 || view.id.pid % self.parts == self.part;
            if of_part && self.since.is_none_or(|version| view.changed_after(version)) {
                columns.push(&view);
            }
        }
        drop(host);
        self.part += 1;
        (self.part < self.parts).then_some(self)
    }
}
