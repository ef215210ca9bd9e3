//! The newest snapshots of each host, where only so many are to be kept: which of them are still shown, and which slices
//! of the log have none of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// As many as anybody may ask for: bounds what is remembered here, 16 bytes for each.
pub const MAX_SNAPSHOTS: u64 = 100_000;

/// When a snapshot was taken by the host's clock, and when it was received.
type Times = (i64, i64);

#[derive(Debug)]
pub(super) struct Snapshots {
    kept: usize,
    /// As long as the list of agents at most, each with at most `kept`, oldest first.
    by_agent: Mutex<HashMap<Arc<str>, VecDeque<Times>>>,
}

impl Snapshots {
    pub(super) fn new(kept: u64) -> Self {
        Self {
            kept: kept.clamp(1, MAX_SNAPSHOTS) as usize,
            by_agent: Mutex::default(),
        }
    }

    pub(super) fn note(&self, agent_id: &Arc<str>, times: Times) {
        let mut by_agent = self.lock();
        let newest = by_agent.entry(Arc::clone(agent_id)).or_default();
        if newest.len() == self.kept {
            newest.pop_front();
        }
        newest.push_back(times);
    }

    /// The host's time of the oldest snapshot that is kept.
    pub(super) fn first_ms(&self, agent_id: &str) -> Option<i64> {
        let by_agent = self.lock();
        let oldest = by_agent.get(agent_id)?.front()?;
        Some(oldest.0)
    }

    /// Whatever was received before has no snapshot of any host that is kept. Forgets hosts that are silent since `since_ms`.
    pub(super) fn received_since_ms(&self, since_ms: i64) -> Option<i64> {
        let mut by_agent = self.lock();
        by_agent.retain(|_, newest| newest.back().is_some_and(|times| times.1 >= since_ms));
        let oldest = by_agent.values().filter_map(VecDeque::front);
        oldest.map(|times| times.1).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, VecDeque<Times>>> {
        self.by_agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_of_each_host_are_kept() {
        let snapshots = Snapshots::new(2);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(snapshots.received_since_ms(0), None);
        for second in 1..=5 {
            snapshots.note(&a, (1000 + second, second));
        }
        snapshots.note(&b, (1003, 3));
        assert_eq!(snapshots.first_ms("a"), Some(1004));
        assert_eq!(snapshots.first_ms("b"), Some(1003));
        assert_eq!(snapshots.first_ms("c"), None);
        assert_eq!(snapshots.received_since_ms(0), Some(3));
        // One that is silent for longer than samples are kept holds up nothing.
        assert_eq!(snapshots.received_since_ms(4), Some(4));
    }
}
