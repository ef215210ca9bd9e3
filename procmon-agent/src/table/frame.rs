//! What a frame says of the processes: the columns and ports that changed since they were last told.

use procmon_common::columns::Row;
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;

use super::Table;
use super::process::Process;

/// Whose row or ports are others than the server knows. As many as the last sample had at most.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    pids: Vec<u32>,
    /// More than those: all are to be compared.
    all: bool,
}

impl Unsent {
    /// A sample begins. Where nobody took what the last one changed, all are compared when somebody does.
    pub(super) fn begin(&mut self) {
        self.all |= !self.pids.is_empty();
        self.pids.clear();
    }

    pub(super) fn add(&mut self, process: &Process) {
        if !self.all && (process.ports_changed || process.now != process.sent) {
            self.pids.push(process.life.pid);
        }
    }
}

impl Table {
    /// After this a frame tells everything anew.
    pub(super) fn forget_sent(&mut self) {
        for process in self.live.values_mut() {
            process.sent = Row::default();
            process.ports_changed = !process.ports.is_empty();
        }
        self.unsent.all = true;
    }

    /// The columns that changed since this was last called, and the ports of the processes whose ports changed. After
    /// `take_key`: all of them.
    pub fn take_frame(&mut self) -> (Vec<wire::Column>, Vec<wire::Ports>) {
        let unsent = std::mem::take(&mut self.unsent);
        let pids = if unsent.all {
            self.live.keys().copied().collect()
        } else {
            unsent.pids
        };
        let with_handle = |pid| Some((self.live.get(&pid)?.handle, pid));
        let mut changed: Vec<(u32, u32)> = pids.into_iter().filter_map(with_handle).collect();
        changed.sort_unstable();
        let mut encoder = FrameEncoder::default();
        let mut ports = Vec::new();
        for (handle, pid) in changed {
            let Some(process) = self.live.get_mut(&pid) else {
                continue;
            };
            encoder.push(handle, &process.sent, &process.now);
            process.sent = process.now;
            if std::mem::take(&mut process.ports_changed) {
                let told = process.ports.iter().copied().map(u32::from);
                ports.push(wire::Ports {
                    handle,
                    ports: told.collect(),
                });
            }
        }
        (encoder.finish(), ports)
    }
}
