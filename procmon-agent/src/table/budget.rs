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

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use procmon_common::kernel::{ExecRecord, ExitRecord, ForkRecord, Header};

    use super::*;
    use crate::decode::Record;

    fn header(pid: u32) -> Header {
        Header {
            pid,
            start_boot_ns: u64::from(pid) * 10_000_000,
            ..Header::zeroed()
        }
    }

    fn exec(table: &mut Table, pid: u32, args: &[u8]) {
        let record = ExecRecord {
            header: header(pid),
            args_bytes: args.len() as u64,
            ..ExecRecord::zeroed()
        };
        table.apply(&Record::Exec {
            record,
            exe: b"/bin/x",
            args,
        });
    }

    #[test]
    fn argv_is_cut_where_it_is_and_where_it_comes_in() {
        let mut table = Table::new(false, true);
        exec(&mut table, 5_000_001, &[b'a'; 4000]);
        table.set_args_max(256);
        exec(&mut table, 5_000_002, &[b'b'; 4000]);
        for pid in [5_000_001, 5_000_002] {
            let image = &table.get(pid).expect("it is known").image;
            assert_eq!((image.args.len(), image.args_bytes), (256, 4000));
        }
        table.set_args_max(4096);
        exec(&mut table, 5_000_001, &[b'c'; 4000]);
        let image = &table.get(5_000_001).expect("it is known").image;
        assert_eq!(image.args.len(), 4000);
    }

    #[test]
    fn a_full_table_counts_whom_it_refuses_and_goes_on_with_the_others() {
        let mut table = Table::new(true, true);
        exec(&mut table, 5_000_001, b"known");
        table.set_full(true);
        exec(&mut table, 5_000_001, b"still known");
        let fork = ForkRecord {
            header: header(5_000_002),
            ..ForkRecord::zeroed()
        };
        table.apply(&Record::Fork(fork));
        exec(&mut table, 5_000_003, b"unknown");
        let exit = ExitRecord {
            header: header(5_000_002),
            ..ExitRecord::zeroed()
        };
        table.apply(&Record::Exit(exit));
        assert_eq!(table.len(), 1);
        assert_eq!(
            table.refused(),
            [("fork", 1), ("exec", 1), ("exit", 1), ("oom", 0)]
        );
        assert_eq!(table.take_changes().events.len(), 2);
        table.set_full(false);
        exec(&mut table, 5_000_003, b"welcome");
        assert_eq!(table.len(), 2);
    }
}
