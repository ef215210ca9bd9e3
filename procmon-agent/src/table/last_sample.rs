//! The sample before. Most processes sleep: who shows exactly the same again has the row that he had, and the table need not
//! touch him. On a host of a thousand processes that is most of what a sample costs outside of the kernel.

use crate::sample::{Sample, Sampled};

#[derive(Debug, Default)]
pub(super) struct LastSample {
    processes: Vec<Sampled>,
    ports: Vec<u16>,
    /// Of each of them, whether the same values make the same row, and nothing is to be looked up for it.
    settled: Vec<bool>,
}

impl LastSample {
    pub(super) fn new(sample: Sample, settled: Vec<bool>) -> Self {
        Self {
            processes: sample.processes,
            ports: sample.ports,
            settled,
        }
    }

    pub(super) fn pid(&self, at: usize) -> Option<u32> {
        Some(self.processes.get(at)?.pid)
    }

    /// Whether the process at this place was settled, and shows the same now.
    pub(super) fn is_idle(&self, at: usize, sample: &Sample, now: &Sampled) -> bool {
        self.settled.get(at) == Some(&true) && {
            let before = &self.processes[at];
            let ports = before.ports.clone().and_then(|range| self.ports.get(range));
            before == now && ports == sample.ports_of(now)
        }
    }

    /// Something else than a sample has changed what the next row of this process will be.
    pub(super) fn unsettle(&mut self, pid: u32) {
        let found = self.processes.binary_search_by_key(&pid, |known| known.pid);
        if let Some(settled) = found.ok().and_then(|at| self.settled.get_mut(at)) {
            *settled = false;
        }
    }
}
