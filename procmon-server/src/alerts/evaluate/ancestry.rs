//! The names of the processes above one that an event is about. Many of them live no longer than it does, so that those of past
//! events are remembered for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::batch::Life;
use crate::live::Host;

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
}

#[derive(Debug, Default)]
struct Recent {
    by_pid: HashMap<u32, Known, foldhash::quality::RandomState>,
    order: VecDeque<u32>,
}

#[derive(Clone, Debug)]
struct Known {
    ppid: Option<u32>,
    name: Arc<[u8]>,
}

/// Those of a host that run now.
#[derive(Default)]
pub(super) struct Running(HashMap<u32, Known, foldhash::quality::RandomState>);

impl Running {
    pub(super) fn of(host: &Host, now_ms: i64) -> Self {
        let known = host.views(now_ms).filter_map(|view| {
            let known = Known {
                ppid: view.ppid(),
                name: view.process.life.image()?.name.clone(),
            };
            Some((view.id.pid, known))
        });
        Self(known.collect())
    }

    /// The names above a process: the parent first, each ended by NUL. `None` when not even the parent is known.
    pub(super) fn above(&self, ppid: Option<u32>) -> Option<Vec<u8>> {
        names_above(ppid, |pid| self.0.get(&pid))
    }
}

impl Ancestry {
    /// Remembers a process that something happened to.
    pub(super) fn note(&mut self, agent_id: &Arc<str>, life: &Life) {
        let (Some(id), Some(image)) = (life.id, &life.image) else {
            return;
        };
        if !self.hosts.contains_key(agent_id) && self.hosts.len() >= HOSTS {
            return;
        }
        let recent = self.hosts.entry(Arc::clone(agent_id)).or_default();
        let known = Known {
            ppid: life.ppid,
            name: Arc::clone(&image.name),
        };
        if recent.by_pid.insert(id.pid, known).is_none() {
            recent.order.push_back(id.pid);
            if recent.order.len() > RECENT
                && let Some(oldest) = recent.order.pop_front()
            {
                recent.by_pid.remove(&oldest);
            }
        }
    }

    /// The parent first, each ended by NUL; `None` when not even the parent is known.
    pub(super) fn of(&self, agent_id: &str, life: &Life, running: &Running) -> Option<Vec<u8>> {
        let recent = self.hosts.get(agent_id);
        let find = |pid: u32| {
            let remembered = || recent.and_then(|recent| recent.by_pid.get(&pid));
            running.0.get(&pid).or_else(remembered)
        };
        names_above(life.ppid, find)
    }
}

fn names_above<'a>(ppid: Option<u32>, find: impl Fn(u32) -> Option<&'a Known>) -> Option<Vec<u8>> {
    let mut names = Vec::new();
    let mut above = ppid;
    for _ in 0..DEPTH {
        let Some(known) = above.filter(|pid| *pid != 0).and_then(&find) else {
            break;
        };
        names.extend(known.name.iter().filter(|byte| **byte != 0));
        names.push(0);
        above = known.ppid;
    }
    (!names.is_empty() || ppid == Some(0)).then_some(names)
}
