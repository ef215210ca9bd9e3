//! What one look at a host tells, so that its lock is held once for all metrics.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use procmon_common::columns::Column;

use crate::app::App;
use crate::batch::{Totals, lossy};
use crate::live::{Agent, AgentStatus, Host};

/// What is not among the largest groups, and processes whose name is not known.
pub(super) const OTHER: &str = "other";

/// Of one host.
pub(super) struct Figures {
    pub(super) agent_id: Arc<str>,
    pub(super) live: bool,
    pub(super) agent: Agent,
    /// None when its processes are no longer listed.
    pub(super) states: BTreeMap<&'static str, u64>,
    pub(super) starts: u64,
    pub(super) exits: u64,
    pub(super) oom_kills: u64,
    pub(super) groups: Vec<(String, Group)>,
}

/// Processes of one name, added up. What none of them tells is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) processes: u64,
    pub(super) cpu_ratio: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_fds: Option<u64>,
}

/// Who was shown by name at the last look, host by host.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<HashMap<Arc<str>, Names>>);

type Names = HashSet<Box<[u8]>>;

pub(super) fn collect(app: &App, shown: &Shown, most: usize) -> Vec<Figures> {
    let now_ms = app.clock.now_ms();
    let mut shown = shown.0.lock().unwrap_or_else(PoisonError::into_inner);
    let figures: Vec<_> = app
        .live
        .hosts(None)
        .iter()
        .map(|entry| {
            let host = entry.read();
            let before = shown.remove(&host.agent_id).unwrap_or_default();
            let (figures, names) = of_host(&host, now_ms, &before, most);
            (figures, names)
        })
        .collect();
    // Of hosts that are no more nothing is remembered.
    shown.clear();
    figures
        .into_iter()
        .map(|(figures, names)| {
            if !names.is_empty() {
                shown.insert(Arc::clone(&figures.agent_id), names);
            }
            figures
        })
        .collect()
}

fn of_host(host: &Host, now_ms: i64, before: &Names, most: usize) -> (Figures, Names) {
    let mut states = BTreeMap::<&'static str, u64>::new();
    let mut groups = HashMap::<&[u8], Group>::new();
    for view in host.views(now_ms) {
        *states.entry(state_label(view.status())).or_default() += 1;
        if most > 0 {
            let cpu = [view.cpu_percent(), view.short_lived_cpu_percent()];
            let one = Group {
                processes: 1,
                cpu_ratio: cpu
                    .into_iter()
                    .flatten()
                    .reduce(|a, b| a + b)
                    .map(|percent| percent / 100.0),
                memory_bytes: view.rss_bytes(),
                threads: view.metric(Column::Threads),
                open_fds: view.metric(Column::OpenFds),
            };
            let name = view.process.life.name().unwrap_or_default();
            groups.entry(name).or_default().add(&one);
        }
    }
    let (groups, names) = largest(groups, host.agent.totals.as_ref(), before, most);
    let figures = Figures {
        agent_id: Arc::clone(&host.agent_id),
        live: host.agent.status(now_ms) == AgentStatus::Live,
        agent: host.agent.clone(),
        states,
        starts: host.starts,
        exits: host.exits,
        oom_kills: host.oom_kills,
        groups,
    };
    (figures, names)
}

/// The largest groups by themselves, and all others together.
fn largest(
    groups: HashMap<&[u8], Group>,
    totals: Option<&Totals>,
    before: &Names,
    most: usize,
) -> (Vec<(String, Group)>, Names) {
    let cpus = totals.map_or(1, |totals| totals.cpus.max(1));
    let memory = totals.map_or(1 << 30, |totals| totals.memory_total_bytes.max(1));
    // In millionths, of which equal ones are in the order of their names.
    let size = |group: &Group| {
        let cpu = group.cpu_ratio.unwrap_or(0.0) / f64::from(cpus);
        let share = group.memory_bytes.unwrap_or(0) as f64 / memory as f64;
        ((cpu + share) * 1e6) as u64
    };
    let mut ranked: Vec<_> = groups.into_iter().collect();
    ranked.sort_by_key(|(name, group)| (Reverse(size(group)), *name));
    let is_name = |name: &[u8]| !name.is_empty() && name != OTHER.as_bytes();
    let candidates = || {
        ranked
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| is_name(name))
    };
    let staying = candidates()
        .take(2 * most)
        .filter(|name| before.contains(*name));
    let mut names: HashSet<&[u8]> = staying.take(most).collect();
    for name in candidates() {
        if names.len() >= most {
            break;
        }
        names.insert(name);
    }
    let names: Names = names.into_iter().map(Into::into).collect();
    // Bytes that are no text may look alike: they are one group then.
    let mut shown = BTreeMap::<String, Group>::new();
    for (name, group) in &ranked {
        let label = if names.contains(*name) {
            lossy(name)
        } else {
            OTHER.to_owned()
        };
        shown.entry(label).or_default().add(group);
    }
    (shown.into_iter().collect(), names)
}

impl Group {
    fn add(&mut self, other: &Self) {
        fn sum<T: std::ops::Add<Output = T>>(left: Option<T>, right: Option<T>) -> Option<T> {
            match (left, right) {
                (Some(left), Some(right)) => Some(left + right),
                (left, right) => left.or(right),
            }
        }
        self.processes += other.processes;
        self.cpu_ratio = sum(self.cpu_ratio, other.cpu_ratio);
        self.memory_bytes = sum(self.memory_bytes, other.memory_bytes);
        self.threads = sum(self.threads, other.threads);
        self.open_fds = sum(self.open_fds, other.open_fds);
    }
}

/// A closed set, whatever an agent sends.
fn state_label(status: Option<char>) -> &'static str {
    match status {
        Some('R') => "R",
        Some('S') => "S",
        Some('D') => "D",
        Some('Z') => "Z",
        Some('T' | 't') => "T",
        Some('I') => "I",
        Some(_) => "other",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(cpu_ratio: f64) -> Group {
        Group {
            processes: 1,
            cpu_ratio: Some(cpu_ratio),
            ..Group::default()
        }
    }

    fn names(groups: &[(&'static str, f64)], before: &Names) -> (Vec<String>, Names) {
        let groups = groups
            .iter()
            .map(|(name, cpu)| (name.as_bytes(), group(*cpu)))
            .collect();
        let (shown, names) = largest(groups, None, before, 2);
        let total: u64 = shown.iter().map(|(_, group)| group.processes).sum();
        assert!(total >= 2);
        (shown.into_iter().map(|(name, _)| name).collect(), names)
    }

    #[test]
    fn the_largest_are_shown_and_the_rest_is_one() {
        let (shown, _) = names(
            &[("a", 0.9), ("b", 0.1), ("c", 0.5), ("d", 0.0)],
            &HashSet::new(),
        );
        assert_eq!(shown, ["a", "c", "other"]);
    }

    #[test]
    fn who_is_shown_stays_until_it_is_far_behind() {
        let (_, before) = names(
            &[("a", 0.9), ("b", 0.8), ("c", 0.1), ("d", 0.0)],
            &HashSet::new(),
        );
        let (shown, before) = names(&[("a", 0.9), ("c", 0.8), ("b", 0.7), ("d", 0.0)], &before);
        assert_eq!(shown, ["a", "b", "other"]);
        let (shown, _) = names(
            &[
                ("c", 0.9),
                ("d", 0.8),
                ("e", 0.7),
                ("f", 0.6),
                ("a", 0.1),
                ("b", 0.1),
            ],
            &before,
        );
        assert_eq!(shown, ["c", "d", "other"]);
    }

    #[test]
    fn a_process_that_is_called_like_the_rest_is_in_it() {
        let (shown, _) = names(
            &[("other", 0.9), ("a", 0.1), ("", 0.5), ("b", 0.1)],
            &HashSet::new(),
        );
        assert_eq!(shown, ["a", "b", "other"]);
    }
}
