//! Leaves in a batch only what tells of processes that we started, and nothing of this machine.

use std::collections::HashSet;

use procmon_common::wire::{self, Batch};

const CGROUPS: [&str; 4] = [
    "/system.slice/ssh.service",
    "/system.slice/cron.service",
    "/user.slice/user-1000.slice/session-1.scope",
    "/system.slice/docker-0123456789abcdef.scope",
];

pub(super) struct Own {
    pids: HashSet<u32>,
    /// Of the batches since the last key batch.
    handles: HashSet<u32>,
    batches: u64,
}

impl Own {
    pub(super) fn new(pids: Vec<u32>) -> Self {
        Self {
            pids: pids.into_iter().collect(),
            handles: HashSet::new(),
            batches: 0,
        }
    }

    pub(super) fn leave(&mut self, mut batch: Batch) -> Batch {
        self.batches += 1;
        batch.agent_id = format!("host-{}", self.batches % 100);
        // Numbers that are different on each host teach nothing.
        batch.boot_id = self.noise(1).into();
        batch.machine_id = self.noise(2).into();
        if batch.key {
            self.handles.clear();
        }
        batch.processes.retain(|process| {
            let own = self.pids.contains(&process.pid) || self.pids.contains(&process.ppid);
            if own {
                self.pids.insert(process.pid);
                self.handles.insert(process.handle);
            }
            own
        });
        for process in &mut batch.processes {
            // Between fork and exec a process still runs this program, under a path of this machine.
            let runs_us = |image: &wire::Image| image.exe.ends_with(b"/xtask");
            process.image.take_if(|image| runs_us(image));
            process.cgroup = Some(CGROUPS[process.pid as usize % CGROUPS.len()].to_owned());
            process.systemd_unit = None;
            process.container_id = None;
        }
        batch
            .events
            .retain(|event| self.handles.contains(&event.handle));
        for event in &mut batch.events {
            if let Some(wire::event::Kind::Exit(exit)) = &mut event.kind {
                exit.killed_by = None;
            }
        }
        if let Some(frame) = &mut batch.frame {
            self.leave_frame(frame);
        }
        for loss in &mut batch.losses {
            loss.command = Vec::new().into();
            loss.cgroup = None;
        }
        if let Some(health) = &mut batch.health {
            health.hostname = batch.agent_id.clone();
            "6.1.0-30-amd64".clone_into(&mut health.kernel);
            health.labels.clear();
        }
        batch
    }

    fn leave_frame(&self, frame: &mut wire::Frame) {
        frame.gone.retain(|handle| self.handles.contains(handle));
        for column in &mut frame.columns {
            let (mut handle, mut last) = (0_u32, 0_u32);
            let (mut gaps, mut deltas) = (Vec::new(), Vec::new());
            for (gap, delta) in column.handle_gaps.iter().zip(&column.deltas) {
                handle = handle.wrapping_add(*gap);
                if self.handles.contains(&handle) {
                    gaps.push(handle.wrapping_sub(last));
                    deltas.push(*delta);
                    last = handle;
                }
            }
            (column.handle_gaps, column.deltas) = (gaps, deltas);
        }
        frame.columns.retain(|column| !column.deltas.is_empty());
        frame
            .ports
            .retain(|ports| self.handles.contains(&ports.handle));
        // Groups and histograms tell of processes of others.
        frame.short_lived.clear();
        frame
            .block_latency
            .retain(|latency| latency.device.is_some());
    }

    /// 16 bytes that look like chance.
    fn noise(&self, seed: u64) -> Vec<u8> {
        let mut state = self.batches.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..16).map(|_| byte()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(handle: u32, pid: u32, parent: u32) -> wire::Process {
        wire::Process {
            handle,
            pid,
            ppid: parent,
            cgroup: Some("/somewhere/else".to_owned()),
            ..wire::Process::default()
        }
    }

    #[test]
    fn this_program_is_not_in_it() {
        let mut forked = process(1, 100, 1);
        forked.image = Some(wire::Image {
            exe: b"/somewhere/target/debug/xtask".as_slice().into(),
            ..wire::Image::default()
        });
        let batch = Batch {
            key: true,
            processes: vec![forked],
            ..Batch::default()
        };
        assert_eq!(Own::new(vec![100]).leave(batch).processes[0].image, None);
    }

    #[test]
    fn nothing_of_others_is_left() {
        let column = wire::Column {
            id: 3,
            handle_gaps: vec![1, 1, 1],
            deltas: vec![10, 20, 30],
        };
        let batch = Batch {
            agent_id: "this-machine".to_owned(),
            key: true,
            processes: vec![process(1, 100, 1), process(2, 200, 1), process(3, 300, 200)],
            frame: Some(wire::Frame {
                columns: vec![column],
                ..wire::Frame::default()
            }),
            ..Batch::default()
        };
        let left = Own::new(vec![200]).leave(batch);
        assert_eq!(left.agent_id, "host-1");
        let pids: Vec<_> = left.processes.iter().map(|process| process.pid).collect();
        assert_eq!(pids, [200, 300], "ours, and what it started");
        assert!(left.processes.iter().all(|process| {
            let cgroup = process.cgroup.as_deref().unwrap_or_default();
            CGROUPS.contains(&cgroup)
        }));
        let column = &left.frame.expect("a frame").columns[0];
        assert_eq!(
            (&column.handle_gaps[..], &column.deltas[..]),
            (&[2, 1][..], &[20, 30][..])
        );
    }
}
