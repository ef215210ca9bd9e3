//! A made-up host that is sampled every five seconds, and whose processes come and go.

use std::collections::BTreeMap;

use procmon_common::columns::{Column, Row};
use procmon_common::frame::FrameEncoder;
use procmon_common::wire::{self, Batch};

use super::{FakeAgent, Server, event, process};

pub(crate) const INTERVAL_MS: i64 = 5_000;

pub(crate) struct SampledHost {
    pub(crate) agent: FakeAgent,
    /// By handle.
    rows: BTreeMap<u32, Row>,
    sent: BTreeMap<u32, Row>,
    pub(crate) processes: BTreeMap<u32, wire::Process>,
    key: bool,
    next_handle: u32,
    covered_since_ns: i64,
    pending: Batch,
}

impl SampledHost {
    pub(crate) fn new(id: &str) -> Self {
        let agent = FakeAgent::new(id);
        Self {
            covered_since_ns: agent.now_ns,
            agent,
            rows: BTreeMap::new(),
            sent: BTreeMap::new(),
            processes: BTreeMap::new(),
            key: true,
            next_handle: 1,
            pending: Batch::default(),
        }
    }

    /// A process begins now; its handle.
    pub(crate) fn start(&mut self, pid: u32) -> u32 {
        self.start_below(pid, 1)
    }

    pub(crate) fn start_below(&mut self, pid: u32, parent: u32) -> u32 {
        let handle = self.next_handle;
        self.next_handle += 1;
        let ticks = (self.agent.now_ns / 10_000_000) as u64;
        let born = wire::Process {
            handle,
            pid,
            start_ticks: ticks,
            baseline: false,
            ppid: parent,
            ..process(pid, self.agent.now_ns)
        };
        self.processes.insert(handle, born.clone());
        self.pending.processes.push(born);
        let mut row = Row::default();
        row.set(Column::Status, Some(u64::from(b'S')));
        row.set(Column::CpuCentipercent, Some(0));
        row.set(Column::RssKib, Some(1024));
        row.set(Column::Threads, Some(1));
        row.set(Column::NetConns, Some(0));
        row.set(Column::ReadBytes, Some(0));
        row.set(Column::WriteBytes, Some(0));
        self.rows.insert(handle, row);
        handle
    }

    pub(crate) fn set(&mut self, handle: u32, column: Column, value: u64) {
        let row = self.rows.get_mut(&handle).expect("it runs");
        row.set(column, Some(value));
    }

    /// It runs something else from now on.
    pub(crate) fn exec(&mut self, handle: u32, args: &[u8]) {
        let known = self.processes.get_mut(&handle).expect("it runs");
        let seq = known.image.as_ref().map_or(0, |image| image.seq) + 1;
        let image = super::image(seq, args);
        known.image = Some(image.clone());
        let exec = wire::Exec {
            image: Some(image),
            credentials: None,
        };
        let kind = wire::event::Kind::Exec(exec);
        self.pending
            .events
            .push(event(self.agent.now_ns, handle, kind));
    }

    /// Its process id, on a host whose boot is all 0x0f.
    pub(crate) fn id(&self, handle: u32) -> String {
        let process = &self.processes[&handle];
        format!("{}-{}-0f0f0f0f", process.pid, process.start_ticks)
    }

    /// It ends without anybody noticing.
    pub(crate) fn forget(&mut self, handle: u32) {
        self.rows.remove(&handle);
        self.sent.remove(&handle);
        self.processes.remove(&handle);
    }

    /// It ends now.
    pub(crate) fn exit(&mut self, handle: u32, exit: wire::Exit) {
        self.forget(handle);
        let kind = wire::event::Kind::Exit(exit);
        self.pending
            .events
            .push(event(self.agent.now_ns, handle, kind));
    }

    pub(crate) fn event(&mut self, handle: u32, kind: wire::event::Kind) {
        self.pending
            .events
            .push(event(self.agent.now_ns, handle, kind));
    }

    pub(crate) fn lose(&mut self, kind: &str, from_ns: i64) {
        self.pending.losses.push(wire::Loss {
            kind: kind.to_owned(),
            reason: "spool_full".to_owned(),
            count: 1,
            from_unix_ns: from_ns,
            until_unix_ns: self.agent.now_ns,
            ..wire::Loss::default()
        });
    }

    /// What lives used that no sample shows.
    pub(crate) fn short_lived(&mut self, group: wire::ShortLived) {
        let frame = self.pending.frame.get_or_insert_default();
        frame.short_lived.push(group);
    }

    /// Time goes by, on both clocks.
    pub(crate) fn wait(&mut self, server: &Server, ms: i64) {
        self.agent.now_ns += ms * 1_000_000;
        server.clock.advance_ms(ms);
    }

    /// What happened, without a sample.
    pub(crate) async fn tell(&mut self, server: &Server) {
        let batch = self.batch();
        server.send(&batch).await;
    }

    /// What happened, and a sample.
    pub(crate) async fn sample(&mut self, server: &Server) {
        let batch = self.sampled();
        server.send(&batch).await;
    }

    pub(crate) fn sampled(&mut self) -> Batch {
        let mut batch = self.batch();
        let mut encoder = FrameEncoder::default();
        for (handle, row) in &self.rows {
            let before = self.sent.get(handle).copied().unwrap_or_default();
            encoder.push(*handle, &before, row);
        }
        self.sent.clone_from(&self.rows);
        let frame = batch.frame.get_or_insert_default();
        frame.ts_unix_ns = self.agent.now_ns;
        frame.columns = encoder.finish();
        batch.host = Some(wire::HostTotals {
            cpus: 4,
            memory_total_bytes: 1 << 30,
            ..wire::HostTotals::default()
        });
        batch
    }

    /// Handles are given anew between two samples: their values go along, and are no sample.
    pub(crate) async fn give_handles_anew(&mut self, server: &Server) {
        self.key = true;
        let mut batch = self.sampled();
        batch.host = None;
        server.send(&batch).await;
    }

    /// A sample at each interval for so many of them, the first one interval from now.
    pub(crate) async fn samples(&mut self, server: &Server, count: usize) {
        for _ in 0..count {
            self.wait(server, INTERVAL_MS);
            self.sample(server).await;
        }
    }

    /// The agent starts anew: a new epoch, and handles given anew.
    pub(crate) fn restart(&mut self) {
        self.agent.epoch += 1;
        self.agent.seq = 0;
        self.covered_since_ns = self.agent.now_ns;
        self.key = true;
        self.pending = Batch::default();
    }

    /// Batches of before are lost: the next one does not follow.
    pub(crate) fn skip_batch(&mut self) {
        self.agent.seq += 1;
        self.key = true;
        self.pending = Batch::default();
    }

    fn batch(&mut self) -> Batch {
        let mut batch = self.agent.batch();
        batch.interval_ms = INTERVAL_MS as u32;
        let pending = std::mem::take(&mut self.pending);
        batch.processes = pending.processes;
        batch.events = pending.events;
        batch.losses = pending.losses;
        batch.frame = pending.frame;
        batch.health = Some(wire::AgentHealth {
            covered_since_unix_ns: self.covered_since_ns,
            ..wire::AgentHealth::default()
        });
        if std::mem::take(&mut self.key) {
            batch.key = true;
            batch.processes = self.processes.values().cloned().collect();
            self.sent.clear();
        }
        batch
    }
}
