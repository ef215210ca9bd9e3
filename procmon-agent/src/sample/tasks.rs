//! The stream of the task iterator as processes: leaders, plus what their other threads add.

use anyhow::{Result, ensure};
use bytemuck::Pod;
use procmon_common::kernel::{
    Files, MAX_SOCKETS, NO_FILES, SampleHead, SampleKind, SocketSample, TaskSample, ThreadSample,
    Usage,
};

use super::{Faults, Sample, Sampled, SampledIdentity, Switches};
use crate::kernel::TaskIterator;

/// `PF_KTHREAD` of a task's flags.
const PF_KTHREAD: u32 = 0x0020_0000;

/// Keeps its buffers from sample to sample.
pub(super) struct TaskReader {
    iterator: TaskIterator,
    sockets: Vec<SocketSample>,
    threads: Vec<ThreadSample>,
    /// Processes with more sockets than one pass tells.
    crowded: Vec<usize>,
    page_bytes: u64,
}

/// What one pass has collected.
struct Pass<'a> {
    sample: &'a mut Sample,
    sockets: &'a mut Vec<SocketSample>,
    threads: &'a mut Vec<ThreadSample>,
    crowded: &'a mut Vec<usize>,
    page_bytes: u64,
    malformed: bool,
}

impl TaskReader {
    pub(super) fn new(iterator: TaskIterator) -> Self {
        Self {
            iterator,
            sockets: Vec::new(),
            threads: Vec::new(),
            crowded: Vec::new(),
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    pub(super) fn read(&mut self, sample: &mut Sample) -> Result<()> {
        self.sockets.clear();
        self.threads.clear();
        self.crowded.clear();
        let mut pass = Pass {
            sample,
            sockets: &mut self.sockets,
            threads: &mut self.threads,
            crowded: &mut self.crowded,
            page_bytes: self.page_bytes,
            malformed: false,
        };
        self.iterator.tasks(|bytes| pass.take(bytes))?;
        ensure!(
            !pass.malformed,
            "the kernel's pass over all tasks has a record that this agent cannot read"
        );
        pass.add_threads();
        for index in 0..self.crowded.len() {
            self.read_all_sockets(sample, self.crowded[index])?;
        }
        Ok(())
    }

    /// Beyond what one pass may write per task, a pass of its own over that process' files.
    fn read_all_sockets(&mut self, sample: &mut Sample, index: usize) -> Result<()> {
        self.sockets.clear();
        let sockets = &mut self.sockets;
        self.iterator
            .sockets(sample.processes[index].pid, |mut bytes| {
                while let Some((socket, rest)) = split::<SocketSample>(bytes) {
                    sockets.push(socket);
                    bytes = rest;
                }
            })?;
        set_sockets(sample, index, &mut self.sockets);
        Ok(())
    }
}

impl Pass<'_> {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some((head, _)) = split::<SampleHead>(bytes) {
            let rest = match SampleKind::try_from(head.kind) {
                Ok(SampleKind::Task) => split(bytes).map(|(task, rest)| (self.task(&task), rest)),
                Ok(SampleKind::Thread) => {
                    split(bytes).map(|(thread, rest)| (self.thread(thread), rest))
                }
                Ok(SampleKind::Socket) => {
                    split(bytes).map(|(socket, rest)| (self.sockets.push(socket), rest))
                }
                Err(_) => None,
            };
            let Some(((), rest)) = rest else {
                break;
            };
            bytes = rest;
        }
        self.malformed |= !bytes.is_empty();
    }

    fn task(&mut self, task: &TaskSample) {
        let usage = &task.usage;
        self.sample.processes.push(Sampled {
            pid: task.head.pid,
            ppid: Some(task.ppid),
            status: status_letter(task.state),
            identity: Some(SampledIdentity {
                start_boot_ns: task.start_boot_ns,
                uid: task.uid,
                euid: task.euid,
                gid: task.gid,
                cgroup_id: task.cgroup_id,
                comm: task.comm,
            }),
            cpu_time_ns: usage.cpu_time_ns,
            rss_bytes: task.rss_pages * self.page_bytes,
            rss_exact: Some(task.rss_exact != 0),
            virtual_bytes: task.virtual_pages * self.page_bytes,
            threads: Some(task.threads.into()),
            read_bytes: Some(usage.read_bytes),
            write_bytes: Some(usage.write_bytes),
            switches: Some(Switches {
                voluntary: usage.voluntary_switches,
                involuntary: usage.involuntary_switches,
            }),
            faults: Some(Faults {
                minor: usage.minor_faults,
                major: usage.major_faults,
            }),
            ..Sampled::default()
        });
        let index = self.sample.processes.len() - 1;
        if task.flags & PF_KTHREAD != 0 {
            let sampled = &mut self.sample.processes[index];
            (sampled.open_fds, sampled.net_conns, sampled.ports) = (Some(0), Some(0), Some(0..0));
        } else {
            self.files(index, task.files);
        }
    }

    fn thread(&mut self, thread: ThreadSample) {
        match self.find(thread.head.pid) {
            Some(at) => {
                // A leader that exited before its threads left the files to them.
                if self.sample.processes[at].open_fds.is_none() {
                    self.files(at, thread.files);
                }
                self.add_thread(at, &thread);
            }
            None => self.threads.push(thread),
        }
        self.sockets.clear();
    }

    /// The pass is in the order of ids.
    fn find(&self, pid: u32) -> Option<usize> {
        let by_pid = |sampled: &Sampled| sampled.pid.cmp(&pid);
        self.sample.processes.binary_search_by(by_pid).ok()
    }

    /// Descriptors and sockets of a process: those that were written just before.
    fn files(&mut self, index: usize, files: Files) {
        if files.open_fds != NO_FILES {
            self.sample.processes[index].open_fds = Some(files.open_fds.into());
            set_sockets(self.sample, index, self.sockets);
            if files.internet_fds > MAX_SOCKETS {
                self.crowded.push(index);
            }
        }
        self.sockets.clear();
    }

    /// Threads whose ids are below their leader's: ids have come round since it began.
    fn add_threads(&mut self) {
        for thread in std::mem::take(self.threads) {
            if let Some(at) = self.find(thread.head.pid) {
                self.add_thread(at, &thread);
            }
        }
    }

    fn add_thread(&mut self, at: usize, thread: &ThreadSample) {
        let sampled = &mut self.sample.processes[at];
        add_usage(sampled, &thread.usage);
        let cached = thread.rss_pages * self.page_bytes as i64;
        sampled.rss_bytes = sampled.rss_bytes.saturating_add_signed(cached);
    }
}

fn set_sockets(sample: &mut Sample, index: usize, sockets: &mut Vec<SocketSample>) {
    sockets.sort_unstable_by_key(|socket| socket.socket);
    sockets.dedup_by_key(|socket| socket.socket);
    let first = sample.ports.len();
    let listening = sockets.iter().filter(|socket| socket.listening != 0);
    sample.ports.extend(listening.map(|socket| socket.port));
    sample.ports[first..].sort_unstable();
    let mut end = first;
    for at in first..sample.ports.len() {
        if at == first || sample.ports[at] != sample.ports[end - 1] {
            sample.ports[end] = sample.ports[at];
            end += 1;
        }
    }
    sample.ports.truncate(end);
    let sampled = &mut sample.processes[index];
    sampled.net_conns = Some(sockets.len() as u64);
    sampled.ports = Some(first..end);
}

fn add_usage(sampled: &mut Sampled, usage: &Usage) {
    sampled.cpu_time_ns += usage.cpu_time_ns;
    for (total, more) in [
        (&mut sampled.read_bytes, usage.read_bytes),
        (&mut sampled.write_bytes, usage.write_bytes),
    ] {
        *total = total.map(|total| total + more);
    }
    if let Some(switches) = &mut sampled.switches {
        switches.voluntary += usage.voluntary_switches;
        switches.involuntary += usage.involuntary_switches;
    }
    if let Some(faults) = &mut sampled.faults {
        faults.minor += usage.minor_faults;
        faults.major += usage.major_faults;
    }
}

fn split<T: Pod>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (record, rest) = bytes.split_at_checked(size_of::<T>())?;
    Some((bytemuck::pod_read_unaligned(record), rest))
}

/// The state letter of `ps`, from the bits of `__state` and `exit_state`, as `task_state_index` of the kernel reads them.
fn status_letter(state: u32) -> u8 {
    const IDLE: u32 = 0x402;
    const RTLOCK_WAIT: u32 = 0x1000;
    const FROZEN: u32 = 0x8000;
    if state & 0x30 == 0 {
        if state & IDLE == IDLE {
            return b'I';
        }
        if state & (RTLOCK_WAIT | FROZEN) != 0 {
            return b'D';
        }
    }
    match 32 - (state & 0x7f).leading_zeros() {
        0 => b'R',
        1 => b'S',
        // Uninterruptible, and parked.
        2 | 7 => b'D',
        3 | 4 => b'T',
        _ => b'Z',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_letters_of_ps() {
        for (state, letter) in [
            (0, b'R'),
            (1, b'S'),
            (0x2001, b'S'),
            (2, b'D'),
            (0x402, b'I'),
            (4, b'T'),
            (8, b'T'),
            (0x20, b'Z'),
            (0x10, b'Z'),
            (0x80 | 0x20, b'Z'),
            (0x40, b'D'),
            (0x8000, b'D'),
        ] {
            assert_eq!(status_letter(state), letter, "{state:#x}");
        }
    }

    #[test]
    fn sockets_are_counted_once_and_ports_ascend() {
        let socket = |socket, port, listening| SocketSample {
            head: SampleHead {
                kind: SampleKind::Socket as u16,
                len: size_of::<SocketSample>() as u16,
                pid: 1,
            },
            socket,
            port,
            protocol: 6,
            listening,
            padding: 0,
        };
        let mut sample = Sample::begin();
        sample.ports = vec![7];
        sample.processes.push(Sampled::default());
        let mut sockets = vec![
            socket(1, 443, 1),
            socket(2, 80, 1),
            socket(1, 443, 1),
            socket(3, 443, 1),
            socket(4, 50_000, 0),
        ];
        set_sockets(&mut sample, 0, &mut sockets);
        assert_eq!(sample.processes[0].net_conns, Some(4));
        assert_eq!(sample.ports_of(&sample.processes[0]), Some(&[80, 443][..]));
    }
}
