//! How commits are spaced, so that many agents share one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// From the beginning of a commit to that of the next one, where they are of different agents. A commit costs as much as
/// several batches (a way to the disk, and between threads), so that what arrives meanwhile waits for it together. Whoever
/// sends alone, as after an absence with a long spool, never waits.
const SPACING: Duration = Duration::from_millis(10);
/// The same while a fleet sends: then commits, and the threads that are woken for them, are a quarter of what ingest costs.
const SPACING_OF_A_FLEET: Duration = Duration::from_millis(25);
/// Batches in a commit, from which on it is a fleet: some 800 a second, and as long as there are 320.
const FLEET_BATCHES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Commit>,
}

#[derive(Debug)]
struct Commit {
    began: Instant,
    last_agent_id: Arc<str>,
    spacing: Duration,
}

impl Pace {
    /// When a commit may begin whose first batch is of that agent; `None` for at once.
    pub(super) fn earliest(&self, agent_id: &Arc<str>) -> Option<Instant> {
        let last = self.last.as_ref()?;
        (last.last_agent_id != *agent_id).then_some(last.began + last.spacing)
    }

    /// A commit of so many batches begins now; the last one is of that agent.
    pub(super) fn note(&mut self, agent_id: &Arc<str>, batches: usize) {
        let spacing = if batches >= FLEET_BATCHES {
            SPACING_OF_A_FLEET
        } else {
            SPACING
        };
        self.last = Some(Commit {
            began: Instant::now(),
            last_agent_id: Arc::clone(agent_id),
            spacing,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_others_than_the_last_wait() {
        let (one, other) = (Arc::from("one"), Arc::from("other"));
        let mut pace = Pace::default();
        assert_eq!(pace.earliest(&one), None);
        let before = Instant::now();
        for (batches, spacing) in [(1, SPACING), (FLEET_BATCHES, SPACING_OF_A_FLEET)] {
            pace.note(&one, batches);
            assert_eq!(pace.earliest(&one), None);
            let earliest = pace.earliest(&other);
            assert!(earliest.is_some_and(|at| at >= before + spacing));
        }
    }
}
