//! From a batch as it came over the wire to the changes it means. Reads the host's state and changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::frame::for_each_change;
use procmon_common::ids::BootId;
use procmon_common::wire;

use super::limits::IngestLimits;
use super::native::{interval, text};
use crate::batch::{Batch, BlockSource, ColumnChanges, Event, EventKind, Frame, Life};
use crate::error::Problem;
use crate::live::{Health, Host};
use crate::metrics::Reject;
use crate::store::{Door, format};

/// Lives by handle.
pub(super) type Lives = Vec<(u32, Arc<Life>)>;

/// A batch that can be stored and applied.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) batch: Batch,
    /// Lives that began and ended within it.
    pub(super) departed: Lives,
    /// Something in it referred to what the server does not know.
    pub(super) resync: bool,
    pub(super) agent: AgentNews,
    /// The batch in the storage format.
    pub(super) body: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(batch: Batch, departed: Lives, resync: bool, agent: AgentNews) -> Self {
        Self {
            body: format::encode(&batch),
            batch,
            departed,
            resync,
            agent,
        }
    }
}

/// What a batch says of its agent.
#[derive(Debug)]
pub(super) struct AgentNews {
    pub(super) door: Door,
    pub(super) machine_id: Vec<u8>,
    pub(super) boot_id: Option<BootId>,
    pub(super) interval_ms: u32,
    pub(super) built_ms: i64,
    pub(super) sent_ms: Option<i64>,
    pub(super) health: Option<Health>,
}

/// A life that this batch describes or ends.
struct Touched {
    life: Arc<Life>,
    ended: bool,
    /// The handle named it before this batch.
    known_before: bool,
}

struct Preparation<'a> {
    host: &'a Host,
    boot: BootId,
    /// The handles of the batches before still count.
    same_space: bool,
    touched: HashMap<u32, Touched, foldhash::quality::RandomState>,
    unknown_handles: usize,
}

/// Checks a batch and works out what it changes.
pub(super) fn prepare(
    mut batch: wire::Batch,
    boot: BootId,
    host: &Host,
    limits: &IngestLimits,
) -> Result<(Batch, Lives, bool), Problem> {
    let events = batch.events.len() + batch.losses.len();
    if events as u64 > limits.events {
        return Err(Problem::too_large(format!(
            "{events} events in one batch; the server takes at most {} (ingest_limits.events); send smaller batches",
            limits.events
        ))
        .because(Reject::Events));
    }
    let follows = host.follows(batch.epoch, batch.seq);
    let mut preparation = Preparation {
        host,
        boot,
        same_space: follows,
        touched: HashMap::default(),
        unknown_handles: 0,
    };
    let continues = follows && host.span_open && !batch.key;
    if batch.key {
        preparation.same_space = false;
    }
    for process in &batch.processes {
        preparation.describe(process)?;
    }
    let mut events = Vec::with_capacity(batch.events.len() + batch.losses.len());
    for event in std::mem::take(&mut batch.events) {
        events.extend(preparation.event(event));
    }
    events.extend(batch.losses.iter().map(text::loss));
    let synced = batch.key || follows && host.synced;
    let mut frame = None;
    if let Some(sample) = batch.frame.take() {
        preparation.end_gone(&sample.gone);
        let read = preparation.frame(sample)?;
        // Differences to values that were missed mean nothing.
        frame = synced.then_some(read);
    }
    preparation.check_size(limits)?;
    let resync = preparation.unknown_handles > 0 || !synced;
    if preparation.unknown_handles > 0 {
        let unknown = preparation.unknown_handles;
        tracing::debug!(agent_id = %host.agent_id, unknown, "a batch names processes that were never described");
    }
    let (lives, ended, departed) = preparation.finish();
    let prepared = Batch {
        key: batch.key,
        more: batch.more,
        continues,
        events,
        lives,
        ended,
        frame,
        totals: batch.host.as_ref().map(text::totals),
    };
    Ok((prepared, departed, resync))
}

impl Preparation<'_> {
    fn known(&self, handle: u32) -> Option<&Arc<Life>> {
        match self.touched.get(&handle) {
            Some(touched) => Some(&touched.life),
            None if self.same_space => self.host.life(handle),
            None => None,
        }
    }

    fn describe(&mut self, process: &wire::Process) -> Result<(), Problem> {
        let handle = process.handle;
        if handle == 0 {
            return Err(Problem::invalid("a process has handle 0, which names none"));
        }
        let life = text::life(process, self.boot);
        if let Some(known) = self.known(handle)
            && known.id != life.id
        {
            return Err(Problem::invalid(format!(
                "handle {handle} already names another process; begin a key batch to give handles anew"
            )));
        }
        let known_before = self.same_space && self.host.is_running(handle);
        let touched = Touched {
            life: Arc::new(life),
            ended: false,
            known_before,
        };
        self.touched.insert(handle, touched);
        Ok(())
    }

    fn event(&mut self, event: wire::Event) -> Option<Event> {
        use wire::event::Kind;
        // A kind of a newer agent.
        let kind = event.kind?;
        let handle = event.handle;
        let known = self.known(handle).cloned();
        if known.is_none() && handle != 0 {
            self.unknown_handles += 1;
        }
        let (life, kind) = match kind {
            Kind::Fork(wire::Fork {}) => (known, EventKind::Fork),
            Kind::Exec(exec) => {
                let life = text::life_after_exec(known.as_deref(), &exec);
                if known.is_some() {
                    self.touch(handle, Arc::clone(&life), false);
                }
                (Some(life), EventKind::Exec)
            }
            Kind::Exit(exit) => {
                // A zombie is still there; a frame says when it is reaped.
                if let Some(life) = known.as_ref().filter(|_| exit.totals_final) {
                    self.touch(handle, Arc::clone(life), true);
                }
                (
                    known,
                    EventKind::Exit(Box::new(text::exit(&exit, self.boot))),
                )
            }
            Kind::Oom(oom) => (known, EventKind::Oom(Box::new(text::oom(&oom)))),
            Kind::IoSlow(io) => (known, EventKind::SlowIo(Box::new(text::slow_io(&io)))),
        };
        Some(Event {
            ts_ns: event.ts_unix_ns,
            life,
            sampled: event.sampled,
            kind,
        })
    }

    fn touch(&mut self, handle: u32, life: Arc<Life>, ended: bool) {
        let known_before = self.same_space && self.host.is_running(handle);
        if !known_before && !self.touched.contains_key(&handle) {
            // It ended in a batch before: what comes late does not bring it back.
            return;
        }
        let touched = self.touched.entry(handle).or_insert(Touched {
            life: Arc::clone(&life),
            ended: false,
            known_before,
        });
        touched.life = life;
        touched.ended |= ended;
    }

    fn end_gone(&mut self, gone: &[u32]) {
        for handle in gone {
            if let Some(life) = self.known(*handle).cloned() {
                self.touch(*handle, life, true);
            }
        }
    }

    fn frame(&mut self, frame: wire::Frame) -> Result<Frame, Problem> {
        let mut read = Frame {
            ts_ns: frame.ts_unix_ns,
            ..Frame::default()
        };
        for encoded in &frame.columns {
            let Some(column) = Column::from_id(encoded.id) else {
                continue;
            };
            let mut changes = Vec::with_capacity(encoded.deltas.len());
            let mut unknown = 0;
            for_each_change(std::slice::from_ref(encoded), |handle, _, delta| {
                if self.known(handle).is_some() {
                    changes.push((handle, delta));
                } else {
                    unknown += 1;
                }
            })
            .map_err(|error| Problem::invalid(format!("the frame is inconsistent: {error}")))?;
            self.unknown_handles += unknown;
            if !changes.is_empty() {
                read.columns.push(ColumnChanges { column, changes });
            }
        }
        for ports in frame.ports {
            if self.known(ports.handle).is_some() {
                read.ports.push((ports.handle, text::ports(&ports.ports)));
            }
        }
        read.short_lived = interval::short_lived(&frame.short_lived);
        for latency in interval::block_latency(&frame.block_latency) {
            // Issuer 0 is those that have ended since.
            if let BlockSource::Issuer(handle) = latency.of
                && handle != 0
                && self.known(handle).is_none()
            {
                self.unknown_handles += 1;
            }
            read.block_latency.push(latency);
        }
        Ok(read)
    }

    /// Refuses what would make the host larger than one may be.
    fn check_size(&self, limits: &IngestLimits) -> Result<(), Problem> {
        if self.touched.is_empty() {
            return Ok(());
        }
        let staying = || self.touched.values().filter(|touched| !touched.ended);
        let new = staying().filter(|touched| !touched.known_before).count();
        let named = self.same_space.then_some(self.host);
        let count = named.map_or(0, Host::named_count) + new;
        check_processes(count, limits)?;
        let new_text: usize = staying().map(|touched| touched.life.text_bytes()).sum();
        // What is described anew is in both: that much is forgiven before anybody is refused.
        if new_text as u64 + named.map_or(0, Host::named_text_bytes) as u64 > limits.text_bytes {
            let renewed = self.touched.iter().filter_map(|(handle, touched)| {
                let before = touched.known_before.then(|| self.host.life(*handle))?;
                before.map(|life| life.text_bytes())
            });
            let before = named.map_or(0, Host::named_text_bytes) - renewed.sum::<usize>();
            check_text(before + new_text, limits)?;
        }
        // There are at least as many processes as names.
        if count as u64 > limits.names {
            let mut different = named.map(Host::names).unwrap_or_default();
            different.extend(staying().filter_map(|touched| touched.life.name()));
            check_names(different.len(), limits)?;
        }
        Ok(())
    }

    /// Lives to know from now on, handles that ended, and lives that began and ended here.
    fn finish(self) -> (Lives, Vec<u32>, Lives) {
        let (mut lives, mut ended, mut departed) = (Vec::new(), Vec::new(), Vec::new());
        for (handle, touched) in self.touched {
            match touched {
                Touched { ended: false, .. } => lives.push((handle, touched.life)),
                Touched {
                    known_before: true, ..
                } => ended.push(handle),
                Touched { .. } => departed.push((handle, touched.life)),
            }
        }
        lives.sort_unstable_by_key(|(handle, _)| *handle);
        departed.sort_unstable_by_key(|(handle, _)| *handle);
        ended.sort_unstable();
        (lives, ended, departed)
    }
}

/// Of one agent, as after the upload.
pub(super) fn check_processes(count: usize, limits: &IngestLimits) -> Result<(), Problem> {
    if count as u64 <= limits.processes {
        return Ok(());
    }
    Err(Problem::too_large(format!(
        "{count} processes at once; the server keeps at most {} of one agent (ingest_limits.processes)",
        limits.processes
    ))
    .because(Reject::Processes))
}

pub(super) fn check_names(count: usize, limits: &IngestLimits) -> Result<(), Problem> {
    if count as u64 <= limits.names {
        return Ok(());
    }
    Err(Problem::too_large(format!(
        "processes of {count} different names at once; the server keeps at most {} of one agent (ingest_limits.names). Do \
         they put numbers into their names?",
        limits.names
    ))
    .because(Reject::Names))
}

pub(super) fn check_text(bytes: usize, limits: &IngestLimits) -> Result<(), Problem> {
    if bytes as u64 <= limits.text_bytes {
        return Ok(());
    }
    Err(Problem::too_large(format!(
        "names, paths, arguments, users and cgroups of all processes take {bytes} bytes; the server keeps at most {} of one \
         agent (ingest_limits.text_bytes); send shorter command lines",
        limits.text_bytes
    ))
    .because(Reject::Text))
}
