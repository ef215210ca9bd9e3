//! The loop that watches: drains the ring, samples at the interval, and puts batches into the spool. It owns the process
//! table and runs on a thread of its own; it never waits for the server.

mod upkeep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use procmon_common::wire;
use tokio::sync::watch::Receiver;
use tokio_util::sync::CancellationToken;

use crate::batch::{BatchBuilder, Condition, Content, Speaker};
use crate::config::AgentConfig;
use crate::enrich::clock::unix_ns;
use crate::kernel::{Capture, KernelCounters};
use crate::limits::{Limits, thread_cpu};
use crate::losses::LossMeter;
use crate::redact::Redactor;
use crate::resume::Predecessor;
use crate::sample::Sampler;
use crate::source::Source;
use crate::spool::{Appended, SpoolWriter};
use crate::table::Table;
use crate::vitals::Vitals;
use upkeep::Upkeep;

/// How often the ring is looked into. An event leaves within 200 ms of happening.
const TICK: Duration = Duration::from_millis(100);
/// The same where nothing has happened for so long: each look wakes a processor.
const QUIET_TICK: Duration = Duration::from_millis(170);
const QUIET_AFTER: Duration = Duration::from_secs(2);
/// While exits wait for their totals.
const SHORT_TICK: Duration = Duration::from_millis(40);
/// Between two batches of events alone. A request costs as much as a hundred events, and an event leaves within 200 ms.
const SEND_SPACING: Duration = Duration::from_millis(150);
/// A process is in /proc some microseconds before its record is in the ring.
const RECORD_GRACE: Duration = Duration::from_millis(100);
/// A batch is closed at this many events, or bytes of argv: it must fit into a request.
const MAX_EVENTS: usize = 8192;
const MAX_ARGS_BYTES: usize = 4 << 20;

/// What [`Watch::new`] needs.
pub struct WatchOptions {
    pub speaker: Speaker,
    pub spool_max_bytes: u64,
    pub redactor: Redactor,
    /// Set by `ship` when the server asks for a key batch.
    pub resync: Arc<AtomicBool>,
    pub vitals: Arc<Vitals>,
    /// The configuration in force, and each that replaces it.
    pub config: Receiver<Arc<AgentConfig>>,
    /// The run before, where its rings are continued.
    pub predecessor: Option<Predecessor>,
}

pub struct Watch {
    source: Source,
    table: Table,
    sampler: Sampler,
    builder: BatchBuilder,
    spool: SpoolWriter,
    spool_max_bytes: u64,
    redactor: Redactor,
    resync: Arc<AtomicBool>,
    /// When something happened last.
    moved: Instant,
    last_sample: Option<Instant>,
    sample_cost: Duration,
    losses: LossMeter,
    lost_before: u64,
    /// Counts that the next batch tells.
    telling: Option<KernelCounters>,
    events: HashMap<String, u64>,
    limits: Limits,
    upkeep: Upkeep,
    vitals: Arc<Vitals>,
    config: Receiver<Arc<AgentConfig>>,
}

impl Watch {
    /// Takes the baseline, or what the run before knew, when its rings are continued. `source` is attached already, so
    /// that nothing falls between.
    pub fn new(mut source: Source, spool: SpoolWriter, options: WatchOptions) -> Result<Self> {
        let mut config = options.config;
        let current = Arc::clone(&config.borrow_and_update());
        let mut table = Table::new(current.fork_events, source.knows_totals());
        table.set_redactor(options.redactor.clone());
        table.set_hears_execs(source.has_events());
        let (mut limits, mut upkeep) = (Limits::new(current.allowance()), Upkeep::new());
        let mut builder = BatchBuilder::new(options.speaker)?;
        let capture = source.ebpf();
        let other_abi = capture.map_or(0, Capture::unreadable);
        let continued = options
            .predecessor
            .zip(capture)
            .filter(|(_, capture)| capture.is_continued());
        let losses = if let Some((before, capture)) = continued {
            for known in &before.processes {
                table.adopt(known);
                upkeep.measure(&mut limits, &mut table);
            }
            let is_complete = capture.counters()?.lost().next().is_none();
            builder.continue_run(before.covered_since_unix_ns, is_complete);
            LossMeter::since(before.last_built_unix_ns, other_abi)
        } else {
            table.baseline_while(|table| upkeep.measure(&mut limits, table))?;
            LossMeter::since(unix_ns(), other_abi)
        };
        let iterator = source.ebpf_mut().and_then(Capture::take_iterator);
        Ok(Self {
            source,
            table,
            sampler: Sampler::new(iterator)?,
            builder,
            spool,
            spool_max_bytes: options.spool_max_bytes,
            redactor: options.redactor,
            resync: options.resync,
            moved: Instant::now(),
            last_sample: None,
            sample_cost: Duration::ZERO,
            losses,
            lost_before: 0,
            telling: None,
            events: HashMap::new(),
            limits,
            upkeep,
            vitals: options.vitals,
            config,
        })
    }

    /// Runs until `shutdown`; what was seen until then is in the spool when it returns.
    pub fn run(mut self, shutdown: &CancellationToken) -> Result<()> {
        let mut sample_due = Instant::now();
        let mut next_send = Instant::now();
        while !shutdown.is_cancelled() {
            self.vitals.ticked();
            if Instant::now() >= sample_due {
                self.sample()?;
                next_send = Instant::now() + SEND_SPACING;
                sample_due = (sample_due + self.interval()).max(Instant::now());
            }
            self.reconfigure();
            self.look_after_itself()?;
            // What changes the interval applies to the one that has begun.
            let next_sample = sample_due.min(Instant::now() + self.interval());
            sample_due = next_sample;
            self.source.wait(self.tick(next_sample, next_send));
            self.catch_up()?;
            // Some levels wake this loop at each event: it is read at once, and sent with those that follow it.
            let is_due = Instant::now() >= next_send;
            if self.builder.health_is_urgent() {
                let health = Some(self.health()?);
                self.send(Content {
                    health,
                    ..Content::default()
                })?;
            } else if is_due && (self.table.has_changes() || self.must_key()) {
                self.send(Content::default())?;
                next_send = Instant::now() + SEND_SPACING;
            }
        }
        self.catch_up()?;
        self.source.stop_waiting(&mut self.table);
        let counters = self.source.counters()?;
        let closing = Content {
            losses: self.losses(counters),
            health: Some(self.health()?),
            ..Content::default()
        };
        self.send(closing)
    }

    /// How long there is nothing to do, unless something happens.
    fn tick(&self, next_sample: Instant, next_send: Instant) -> Duration {
        let now = Instant::now();
        let tick = if self.table.has_changes() {
            next_send.saturating_duration_since(now)
        } else if self.table.awaits_totals() {
            SHORT_TICK
        } else if now.duration_since(self.moved) < QUIET_AFTER {
            TICK
        } else {
            QUIET_TICK
        };
        tick.min(next_sample.saturating_duration_since(now))
    }

    /// Applies all pending events; closes a batch whenever one is full.
    fn catch_up(&mut self) -> Result<()> {
        loop {
            let losses = &mut self.losses;
            let undecodable = |error| losses.undecodable(error);
            let goes_on = self
                .source
                .catch_up(&mut self.table, is_full, undecodable)?;
            if self.table.has_changes() || self.table.awaits_totals() {
                self.moved = Instant::now();
            }
            if !goes_on {
                return Ok(());
            }
            self.send(Content::default())?;
            self.upkeep.measure(&mut self.limits, &mut self.table);
        }
    }

    /// A sample, within what it may cost.
    fn sample(&mut self) -> Result<()> {
        let (started, cpu) = (Instant::now(), thread_cpu());
        self.take_sample(started)?;
        let cpu = thread_cpu().saturating_sub(cpu);
        self.limits.sampled(cpu);
        self.apply_limits();
        self.vitals.sampled(started.elapsed(), cpu, self.interval());
        Ok(())
    }

    fn take_sample(&mut self, started: Instant) -> Result<()> {
        self.catch_up()?;
        let mut sample = self.sampler.take()?;
        self.catch_up()?;
        let grace = if self.source.has_events() {
            RECORD_GRACE
        } else {
            Duration::ZERO
        };
        let counters = self.source.counters()?;
        if self.must_compare_starts(&counters) {
            self.table.drop_replaced();
        }
        let losses = self.losses(counters);
        let (taken, ts_unix_ns) = (sample.taken, sample.ts_unix_ns);
        let host = Some(std::mem::take(&mut sample.host));
        self.table.merge(sample, self.last_sample, grace);
        // The server counts on it that no exit waits longer than it must when a batch is built.
        self.catch_up()?;
        self.last_sample = Some(taken);
        self.sample_cost = started.elapsed();
        self.spool.retry();
        let frame = wire::Frame {
            ts_unix_ns,
            short_lived: self.table.take_short_lived(),
            block_latency: self.block_latency()?,
            ..wire::Frame::default()
        };
        let health = if self.builder.health_is_due() {
            Some(self.health()?)
        } else {
            None
        };
        self.send(Content {
            frame: Some(frame),
            host,
            losses,
            health,
            ..Content::default()
        })
    }

    fn block_latency(&mut self) -> Result<Vec<wire::BlockLatency>> {
        let Some(capture) = self.source.ebpf_mut() else {
            return Ok(Vec::new());
        };
        Ok(self.table.block_latency(&capture.latencies()?))
    }

    /// Whether a pid may have been given to another process unnoticed: nothing tells, or something was lost.
    fn must_compare_starts(&mut self, counters: &KernelCounters) -> bool {
        if !self.source.has_events() {
            return true;
        }
        let lost = counters.lost().map(|(.., count)| count).sum();
        std::mem::replace(&mut self.lost_before, lost) != lost
    }

    fn must_key(&self) -> bool {
        self.spool.needs_key() || self.resync.load(Ordering::Relaxed)
    }

    /// Adds what the table learnt, and puts the batch into the spool.
    fn send(&mut self, mut content: Content) -> Result<()> {
        // Both, always: a resync that a full segment would have brought anyway is done with it.
        let resync = self.resync.swap(false, Ordering::Relaxed);
        content.key = self.spool.needs_key() || resync;
        let changes = if content.key {
            self.table.take_key()
        } else {
            self.table.take_changes()
        };
        self.count(&changes.events);
        if content.key && content.frame.is_none() {
            content.frame = Some(wire::Frame {
                ts_unix_ns: unix_ns(),
                ..wire::Frame::default()
            });
        }
        if content.key && content.health.is_none() {
            content.health = Some(self.health()?);
        }
        if let Some(frame) = &mut content.frame {
            (frame.columns, frame.ports) = self.table.take_frame();
            frame.gone.clone_from(&changes.gone);
        } else if !changes.gone.is_empty() {
            content.frame = Some(wire::Frame {
                ts_unix_ns: unix_ns(),
                gone: changes.gone,
                ..wire::Frame::default()
            });
        }
        content.processes = changes.processes;
        content.events = changes.events;
        let marks = self.source.ebpf().map(Capture::marks);
        content.rings = marks.into_iter().flatten().map(Into::into).collect();
        let tells_losses = !content.losses.is_empty();
        let mut appended = Appended::Disk;
        let mut last = (0, 0);
        for batch in self.builder.build(content)? {
            self.vitals.built(batch.payload.len());
            last = (batch.epoch, batch.seq);
            appended = self.spool.append(batch)?;
        }
        if tells_losses {
            self.spool.told(last, appended);
        }
        self.settle(appended)
    }

    /// Gives back to the kernel what the spool has now: this, and no sooner, makes a killed agent lose nothing.
    fn settle(&mut self, appended: Appended) -> Result<()> {
        let Some(capture) = self.source.ebpf_mut() else {
            return Ok(());
        };
        // What waits in memory for the disk stays in the ring, too, as long as there is room for more.
        if appended != Appended::Memory || capture.is_crowded() {
            capture.settle(self.table.oldest_open());
        }
        if let Some(told) = self.telling.take() {
            capture.note_told(&told)?;
        }
        Ok(())
    }

    fn count(&mut self, events: &[wire::Event]) {
        for event in events {
            let Some(kind) = event.kind.as_ref().map(wire::event::Kind::name) else {
                continue;
            };
            if let Some(count) = self.events.get_mut(kind) {
                *count += 1;
            } else {
                self.events.insert(kind.into(), 1);
            }
        }
    }

    fn health(&mut self) -> Result<wire::AgentHealth> {
        let condition = self.condition()?;
        if let Some(capture) = self.source.ebpf_mut() {
            capture.forget_fill();
        }
        Ok(self.builder.health(condition))
    }

    fn condition(&self) -> Result<Condition> {
        let spool = self.spool.stats();
        let fill = self.source.ebpf().map(Capture::fill);
        let (ring_used_bytes, ring_bytes) = fill.unwrap_or_default();
        Ok(Condition {
            drops: self.losses.totals(&self.source.counters()?, &spool),
            events: self.events.clone(),
            spool_bytes: spool.bytes(),
            spool_max_bytes: self.spool_max_bytes,
            sample: self.sample_cost,
            redactions: self.redactor.redactions(),
            degraded: self.limits.names(),
            mem_limit_bytes: self.limits.allowance().mem_limit_bytes,
            ring_used_bytes,
            ring_bytes,
        })
    }

    fn losses(&mut self, counters: KernelCounters) -> Vec<wire::Loss> {
        let table = &mut self.table;
        let losses = self
            .losses
            .take(&counters, &self.spool.stats(), |id| table.cgroup_path(id));
        self.telling = Some(counters);
        losses
    }
}

fn is_full(table: &Table) -> bool {
    table.pending_events() >= MAX_EVENTS || table.pending_args_bytes() >= MAX_ARGS_BYTES
}
