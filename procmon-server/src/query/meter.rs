//! What a request may cost.

use std::cell::Cell;

use super::known::Known;

/// Steps of one request. A step is roughly a comparison of two numbers; a text costs more the longer it is. How many are
/// needed depends on the expression and the rows alone, never on time.
const BUDGET: u64 = 500_000_000;

/// Counts the steps of one request down, and keeps the answers found on the way.
#[derive(Debug)]
pub struct Meter {
    left: Cell<u64>,
    pub(super) known: Known,
}

impl Default for Meter {
    fn default() -> Self {
        Self::with_budget(BUDGET)
    }
}

impl Meter {
    pub fn with_budget(steps: u64) -> Self {
        Self {
            left: Cell::new(steps),
            known: Known::default(),
        }
    }

    /// Steps that are left.
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    pub(super) fn spend(&self, steps: u64) {
        self.left.set(self.left.get().saturating_sub(steps));
    }

    /// Searching in so many bytes.
    pub(super) fn spend_search(&self, bytes: usize) {
        self.spend(1 + bytes as u64 / 32);
    }

    /// Whether the request has to give up. What was evaluated since may be wrong.
    pub fn exhausted(&self) -> bool {
        self.left.get() == 0
    }
}
