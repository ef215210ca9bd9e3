//! A line every few seconds, and what the processes used from the first of them to the last.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::cost::{Meter, Reading, disk_bytes, own_cpu};
use super::shared::Shared;

const EVERY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// What a process used while the agents sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) cpu: Duration,
    pub(super) highest_rss_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    pub(super) elapsed: Duration,
    pub(super) own_cpu: Duration,
    pub(super) server: Option<Cost>,
    pub(super) database: Option<Cost>,
    /// Of the folder, before and after.
    pub(super) disk_bytes: Option<(u64, u64)>,
}

struct Watched {
    meter: Meter,
    first: Reading,
    last: Reading,
    highest_rss_bytes: u64,
}

impl Watched {
    fn start(pid: u32, with_children: bool) -> Result<Self> {
        let mut meter = Meter::new(pid, with_children);
        let first = meter.read()?;
        Ok(Self {
            meter,
            first,
            last: first,
            highest_rss_bytes: first.rss_bytes,
        })
    }

    /// CPU since the last reading.
    fn read(&mut self) -> Result<Duration> {
        let before = std::mem::replace(&mut self.last, self.meter.read()?);
        self.highest_rss_bytes = self.highest_rss_bytes.max(self.last.rss_bytes);
        Ok(self.last.cpu.saturating_sub(before.cpu))
    }

    fn cost(&self) -> Cost {
        Cost {
            cpu: self.last.cpu.saturating_sub(self.first.cpu),
            highest_rss_bytes: self.highest_rss_bytes,
        }
    }
}

pub(super) async fn watch(shared: Rc<Shared>) -> Result<Costs> {
    let options = &shared.options;
    let mut server = options
        .server_pid
        .map(|pid| Watched::start(pid, false))
        .transpose()?;
    let mut database = options
        .database_pid
        .map(|pid| Watched::start(pid, true))
        .transpose()?;
    let disk = || options.data_dir.as_deref().map(disk_bytes);
    let (disk_before, own_before) = (disk(), own_cpu());
    let (mut last, mut batches, mut own) = (shared.elapsed(), 0, own_before);
    while !shared.over.get() {
        tokio::time::sleep(POLL).await;
        let elapsed = shared.elapsed();
        if elapsed < last + EVERY {
            continue;
        }
        let seconds = elapsed.saturating_sub(last).as_secs_f64();
        let share = |cpu: Duration| cpu.as_secs_f64() / seconds * 100.0;
        let own_now = own_cpu();
        let sent = shared.batches.get();
        let mut line = format!(
            "{:>5} s  {:>6.0} batches/s  p99 {:>6.1} ms",
            elapsed.as_secs(),
            (sent - batches) as f64 / seconds,
            shared.ingest.borrow().at_ms(0.99),
        );
        for (name, watched) in [("server", &mut server), ("database", &mut database)] {
            if let Some(watched) = watched {
                let cpu = share(watched.read()?);
                let mib = watched.last.rss_bytes >> 20;
                let _ = write!(line, "  {name} {cpu:>3.0} % CPU {mib:>5} MiB");
            }
        }
        if let Some(bytes) = disk() {
            let _ = write!(line, "  disk {:>6.1} MiB", mib(bytes));
        }
        println!(
            "{line}  simulator {:>3.0} %",
            share(own_now.saturating_sub(own))
        );
        (last, batches, own) = (elapsed, sent, own_now);
    }
    for watched in [&mut server, &mut database].into_iter().flatten() {
        watched.read()?;
    }
    Ok(Costs {
        elapsed: shared.elapsed(),
        own_cpu: own_cpu().saturating_sub(own_before),
        server: server.as_ref().map(Watched::cost),
        database: database.as_ref().map(Watched::cost),
        disk_bytes: disk_before.zip(disk()),
    })
}

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
