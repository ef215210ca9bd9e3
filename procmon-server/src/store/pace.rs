//! How commits are spaced, so that many agents share one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// From the beginning of a commit to that of the next one, where they are of different agents. A commit costs as much as
/// several batches (a way to the disk, and between threads), so that what arrives meanwhile waits for it together. Whoever
/// sends alone, as after an absence with a long spool, never waits.
const SPACING: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<(Instant, Arc<str>)>,
}

impl Pace {
    /// When a commit may begin whose first batch is of that agent; `None` for at once.
    pub(super) fn earliest(&self, agent_id: &Arc<str>) -> Option<Instant> {
        let (began, before) = self.last.as_ref()?;
        (before != agent_id).then_some(*began + SPACING)
    }

    /// A commit begins now; its last batch is of that agent.
    pub(super) fn note(&mut self, agent_id: &Arc<str>) {
        self.last = Some((Instant::now(), Arc::clone(agent_id)));
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
        pace.note(&one);
        assert_eq!(pace.earliest(&one), None);
        assert!(
            pace.earliest(&other)
                .is_some_and(|at| at >= before + SPACING)
        );
    }
}
