//! What the table may hold while memory is short.

use super::Table;

/// Whoever is refused is counted by the kind of record that told of it.
#[derive(Debug)]
pub(super) struct Budget {
    args_max_bytes: usize,
    is_full: bool,
    refused: [(&'static str, u64); 4],
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            args_max_bytes: usize::MAX,
            is_full: false,
            refused: [("fork", 0), ("exec", 0), ("exit", 0), ("oom", 0)],
        }
    }
}

impl Budget {
    pub(super) fn args_max_bytes(&self) -> usize {
        self.args_max_bytes
    }
}

impl Table {
    /// As much of argv as is kept from now on. What is longer already is cut: that is where the memory is.
    pub fn set_args_max(&mut self, max_bytes: usize) {
        let shorter = max_bytes < self.budget.args_max_bytes;
        self.budget.args_max_bytes = max_bytes;
        if shorter {
            for process in self.live.values_mut() {
                process.image.cut_args(max_bytes);
            }
        }
    }

    /// A full table takes no process that it does not know. Those that still live when there is room again are found by
    /// the next sample.
    pub fn set_full(&mut self, is_full: bool) {
        self.budget.is_full = is_full;
    }

    /// Records of processes that were not taken, by kind, since the start.
    pub fn refused(&self) -> [(&'static str, u64); 4] {
        self.budget.refused
    }

    /// Whether one more process may be added; counts it when not.
    pub(super) fn admits(&mut self, kind: &str) -> bool {
        if self.budget.is_full
            && let Some((_, count)) = self
                .budget
                .refused
                .iter_mut()
                .find(|(known, _)| *known == kind)
        {
            *count += 1;
        }
        !self.budget.is_full
    }
}
