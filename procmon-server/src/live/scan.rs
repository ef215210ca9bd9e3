//! Going through the rows of a host. What a row points at lies anywhere in memory: to wait for each piece takes longer than all
//! the rest of a scan, so those of some rows are asked for together before they are needed.

use std::hint::black_box;

use super::marks::{ABSENT, Common};
use super::process::LiveProcess;
use super::{AgentStatus, Host, ProcessView};

/// Rows whose pieces are asked for together: as many as a processor waits for at a time, more or less.
const TOGETHER: usize = 32;

/// Pieces of arguments that are asked for: of longer ones the processor guesses the rest.
const LINES: usize = 4;

impl Host {
    /// All processes, in no order.
    pub fn views(&self, now_ms: i64) -> impl Iterator<Item = ProcessView<'_>> {
        self.views_with(now_ms, &[])
    }

    /// As [`Self::views`], for whoever looks at what some kinds of marks stand for, in rows whose signature has some bits.
    pub fn views_with<'a>(
        &'a self,
        now_ms: i64,
        needed: &'a [(Common, u64)],
    ) -> impl Iterator<Item = ProcessView<'a>> {
        let stale = self.agent.status(now_ms) == AgentStatus::Stale;
        let named = self.processes.chunks(TOGETHER).flat_map(move |rows| {
            for (common, signature) in needed {
                fetch(rows, *common, *signature);
            }
            rows.iter().map(|(_, process)| process)
        });
        let all = (0..).zip(named.chain(self.previous.values()));
        all.filter_map(move |(row, process)| self.view(row, process, stale))
    }

    /// The process at a place where [`Self::views`] saw one, if it is one that has a handle.
    pub fn view_at(&self, row: u32, now_ms: i64) -> Option<ProcessView<'_>> {
        let stale = self.agent.status(now_ms) == AgentStatus::Stale;
        self.view(row, self.processes.at(row as usize)?, stale)
    }

    fn view<'a>(
        &'a self,
        row: u32,
        process: &'a LiveProcess,
        stale: bool,
    ) -> Option<ProcessView<'a>> {
        Some(ProcessView {
            host: self,
            process,
            id: process.life.process_id()?,
            stale,
            row,
        })
    }
}

/// Brings near what rows point at: one step of the way for all of them, then the next.
fn fetch(rows: &[(u32, LiveProcess)], common: Common, signature: u64) {
    let lives = || {
        let lives = rows.iter().map(|(_, process)| &process.life);
        lives
            .filter(|life| life.marks().get(common) != ABSENT && signature & !life.signature() == 0)
    };
    let mut near = 0_usize;
    match common {
        Common::Image => {
            for life in lives() {
                near ^= life.image().map_or(0, |image| image.args.len());
            }
            for image in lives().filter_map(|life| life.image()) {
                for byte in image.args.iter().step_by(64).take(LINES) {
                    near ^= usize::from(*byte);
                }
            }
        }
        // Few, and near in any case.
        Common::Name | Common::Credentials => {}
        Common::Cgroup | Common::Container | Common::Unit => {
            let texts = || {
                lives().filter_map(move |life| match common {
                    Common::Cgroup => life.cgroup.as_deref(),
                    Common::Container => life.container_id.as_deref(),
                    _ => life.systemd_unit.as_deref(),
                })
            };
            for text in texts() {
                near ^= text.len();
            }
            for text in texts() {
                near ^= usize::from(text.as_bytes().first().copied().unwrap_or_default());
            }
        }
    }
    black_box(near);
}
