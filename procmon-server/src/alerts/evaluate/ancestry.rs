//! The names of the processes above one that an event is about. Many of them live no longer than it does, so that those of past
//! events are remembered for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::batch::{EventKind, Image, Life};
use crate::live::Host;
use crate::store::StoredEvents;

/// Lives remembered of each host, the newest.
const RECENT: usize = 4_096;
/// Hosts remembered.
const HOSTS: usize = 10_000;
/// Ancestors named; a process that is deeper has more.
const DEPTH: usize = 32;

/// What ran lately, by host.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    hosts: HashMap<Arc<str>, Recent>,
    ended: HashMap<Arc<str>, ByPid>,
}

type ByPid = HashMap<u32, Known, foldhash::quality::RandomState>;

#[derive(Debug, Default)]
struct Recent {
    by_pid: ByPid,
    order: VecDeque<u32>,
}

#[derive(Clone, Debug)]
struct Known {
    ppid: Option<u32>,
    name: Arc<[u8]>,
    started_ns: Option<i64>,
}

impl Known {
    fn of(life: &Life) -> Option<(u32, Self)> {
        let known = Self {
            ppid: life.ppid,
            name: Arc::clone(&life.image.as_ref()?.name),
            started_ns: life.started_ns,
        };
        Some((life.id?.pid, known))
    }
}

/// Those of a host that run now, and those that ended a moment ago.
#[derive(Debug, Default)]
pub(in crate::alerts) struct Running {
    now: ByPid,
    departed: ByPid,
}

impl Running {
    /// Of each its pid, its parent's, and what it runs.
    pub(in crate::alerts) fn of_lives<'l>(
        lives: impl Iterator<Item = (u32, Option<u32>, &'l Arc<Image>)>,
    ) -> Self {
        let now = lives.map(|(pid, ppid, image)| {
            let known = Known {
                ppid,
                name: Arc::clone(&image.name),
                started_ns: None,
            };
            (pid, known)
        });
        Self {
            now: now.collect(),
            departed: ByPid::default(),
        }
    }

    pub(super) fn of(host: &Host, now_ms: i64) -> Self {
        let now = host.views(now_ms).filter_map(|view| {
            let (pid, known) = Known::of(&view.process.life)?;
            let sampled = Known {
                ppid: view.ppid(),
                ..known
            };
            Some((pid, sampled))
        });
        let mut departed = ByPid::default();
        for life in host.departed_lives() {
            keep_newest(&mut departed, life);
        }
        Self {
            now: now.collect(),
            departed,
        }
    }

    /// The names above a process that runs: the parent first, each ended by NUL. `None` when not even the parent is known.
    pub(super) fn above(&self, ppid: Option<u32>) -> Option<Vec<u8>> {
        names_above(ppid, None, |pid, _| self.now.get(&pid))
    }
}

/// Of several with one pid the last that began.
fn keep_newest(lives: &mut ByPid, life: &Life) {
    let Some((pid, known)) = Known::of(life) else {
        return;
    };
    let newer = |before: &Known| known.started_ns >= before.started_ns;
    if lives.get(&pid).is_none_or(newer) {
        lives.insert(pid, known);
    }
}

impl Ancestry {
    /// Learns what is about to be told one by one. A process that only forks and ends is told of when it ends, and that is after
    /// what it started.
    pub(super) fn read_ahead(&mut self, batches: &[StoredEvents]) {
        self.ended.clear();
        for batch in batches {
            let exits = batch
                .events
                .iter()
                .filter(|event| matches!(event.kind, EventKind::Exit(_)));
            for life in exits.filter_map(|event| event.life.as_deref()) {
                let ended = self.ended.entry(Arc::clone(&batch.agent_id)).or_default();
                keep_newest(ended, life);
            }
        }
    }

    /// Remembers a process that something happened to.
    pub(super) fn note(&mut self, agent_id: &Arc<str>, life: &Life) {
        let Some((pid, known)) = Known::of(life) else {
            return;
        };
        if !self.hosts.contains_key(agent_id) && self.hosts.len() >= HOSTS {
            return;
        }
        let recent = self.hosts.entry(Arc::clone(agent_id)).or_default();
        if recent.by_pid.insert(pid, known).is_none() {
            recent.order.push_back(pid);
            if recent.order.len() > RECENT
                && let Some(oldest) = recent.order.pop_front()
            {
                recent.by_pid.remove(&oldest);
            }
        }
    }

    /// The parent first, each ended by NUL; `None` when not even the parent is known.
    pub(super) fn of(&self, agent_id: &str, life: &Life, running: &Running) -> Option<Vec<u8>> {
        let recent = self.hosts.get(agent_id).map(|recent| &recent.by_pid);
        // Of what is said of one life the last counts: what was told before the event says what it was then.
        let sources = [
            self.ended.get(agent_id),
            Some(&running.departed),
            Some(&running.now),
            recent,
        ];
        let find = |pid: u32, before_ns: Option<i64>| {
            let lives = sources.iter().flatten().filter_map(|lives| lives.get(&pid));
            // Another that had the pid later is no parent.
            let is_later = |known: &Known| matches!((known.started_ns, before_ns), (Some(started), Some(before)) if started > before);
            lives.max_by_key(|known| (!is_later(known), known.started_ns))
        };
        names_above(life.ppid, life.started_ns, find)
    }
}

/// `find` knows who had a pid before a time.
fn names_above<'a>(
    ppid: Option<u32>,
    started_ns: Option<i64>,
    find: impl Fn(u32, Option<i64>) -> Option<&'a Known>,
) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    let (mut above, mut before_ns) = (ppid, started_ns);
    for _ in 0..DEPTH {
        let parent = above.filter(|pid| *pid != 0);
        let Some(known) = parent.and_then(|pid| find(pid, before_ns)) else {
            break;
        };
        names.extend(known.name.iter().filter(|byte| **byte != 0));
        names.push(0);
        above = known.ppid;
        before_ns = known.started_ns.or(before_ns);
    }
    (!names.is_empty() || ppid == Some(0)).then_some(names)
}
