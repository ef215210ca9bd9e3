//! Numbers and encodes batches: who speaks (agent, boot, epoch), in what order (seq), and how this agent is doing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use procmon_common::ids::BootId;
use procmon_common::wire;

use crate::enrich::clock::unix_ns;
use crate::enrich::procfs;
use crate::limits::{own_rss_bytes, process_cpu};
use crate::spool::SpooledBatch;

/// Identities in one batch: a key span of more goes on in the next (`more`).
const MAX_PROCESSES: usize = 4096;
const MAX_IMAGE_BYTES: usize = 4 << 20;
const HEALTH_EVERY: Duration = Duration::from_secs(10);

/// What does not change while the agent runs.
#[derive(Clone, Debug, Default)]
pub struct Speaker {
    pub agent_id: String,
    pub boot_id: BootId,
    /// Empty where the host has no `/etc/machine-id`.
    pub machine_id: Vec<u8>,
    pub hostname: String,
    pub kernel: String,
    pub labels: HashMap<String, String>,
    pub interval: Duration,
    pub probe: &'static str,
    pub probe_reason: String,
}

impl Speaker {
    /// Fills in what the host says of itself.
    pub fn of_this_host(
        agent_id: String,
        labels: HashMap<String, String>,
        interval: Duration,
    ) -> Result<Self> {
        let uname = rustix::system::uname();
        let machine_id = std::fs::read_to_string("/etc/machine-id")
            .ok()
            .and_then(|text| text.parse::<BootId>().ok());
        Ok(Self {
            agent_id,
            boot_id: procfs::boot_id()?,
            machine_id: machine_id.map(|id| id.0.to_vec()).unwrap_or_default(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            labels,
            interval,
            ..Self::default()
        })
    }
}

/// What one batch says, before it is numbered.
#[derive(Debug, Default)]
pub struct Content {
    pub key: bool,
    pub processes: Vec<wire::Process>,
    pub events: Vec<wire::Event>,
    pub frame: Option<wire::Frame>,
    pub losses: Vec<wire::Loss>,
    pub host: Option<wire::HostTotals>,
    pub health: Option<wire::AgentHealth>,
    pub rings: Vec<wire::RingMark>,
}

/// The numbers that the health record reports.
#[derive(Debug, Default)]
pub struct Condition {
    pub drops: HashMap<String, u64>,
    pub events: HashMap<String, u64>,
    pub spool_bytes: u64,
    pub spool_max_bytes: u64,
    pub sample: Duration,
    /// What the agent gave up to keep its limits.
    pub degraded: Vec<String>,
    pub mem_limit_bytes: u64,
    pub ring_used_bytes: u64,
    pub ring_bytes: u64,
    pub redactions: u64,
}

pub struct BatchBuilder {
    speaker: Speaker,
    encoder: wire::Encoder,
    epoch: u64,
    next_seq: u64,
    covered_since_unix_ns: i64,
    is_continued: bool,
    health_sent: Option<Instant>,
    /// The time between two samples that is in force.
    interval: Duration,
}

impl BatchBuilder {
    /// Starts a new epoch.
    pub fn new(speaker: Speaker) -> Result<Self> {
        let now = unix_ns();
        Ok(Self {
            interval: speaker.interval,
            speaker,
            encoder: wire::Encoder::new()?,
            epoch: now as u64,
            next_seq: 1,
            covered_since_unix_ns: now,
            is_continued: false,
            health_sent: None,
        })
    }

    /// What happened while no agent ran is told, too: covered since the run before began to look. Complete only when nothing
    /// was lost in between.
    pub fn continue_run(&mut self, covered_since_unix_ns: i64, is_complete: bool) {
        self.covered_since_unix_ns = covered_since_unix_ns;
        self.is_continued = is_complete;
    }

    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// What an operator may change while the agent runs; the server is told with the next batch.
    pub fn set_speaker(&mut self, labels: HashMap<String, String>, interval: Duration) {
        self.speaker.labels = labels;
        self.speaker.interval = interval;
        self.health_sent = None;
    }

    /// The time between two samples as it is, which may be longer than the configured one.
    pub fn set_interval(&mut self, interval: Duration) {
        if self.interval != interval {
            self.interval = interval;
            self.health_sent = None;
        }
    }

    pub fn health_is_due(&self) -> bool {
        self.health_sent
            .is_none_or(|sent| sent.elapsed() >= HEALTH_EVERY)
    }

    /// Whether something changed that the server should know before the next sample.
    pub fn health_is_urgent(&self) -> bool {
        self.health_sent.is_none()
    }

    /// The agent's health, which is about to be sent.
    pub fn health(&mut self, condition: Condition) -> wire::AgentHealth {
        self.health_sent = Some(Instant::now());
        self.describe(condition)
    }

    /// The agent's health.
    pub fn describe(&self, condition: Condition) -> wire::AgentHealth {
        let slower = self.interval > self.speaker.interval;
        wire::AgentHealth {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: self.speaker.hostname.clone(),
            kernel: self.speaker.kernel.clone(),
            probe: self.speaker.probe.into(),
            probe_reason: self.speaker.probe_reason.clone(),
            drops: condition.drops,
            events: condition.events,
            spool_bytes: condition.spool_bytes,
            spool_max_bytes: condition.spool_max_bytes,
            rss_bytes: own_rss_bytes(),
            cpu_time_ns: process_cpu().as_nanos() as u64,
            degraded: condition.degraded,
            mem_limit_bytes: condition.mem_limit_bytes,
            effective_interval_ms: if slower {
                self.interval.as_millis() as u32
            } else {
                0
            },
            sample_ns: condition.sample.as_nanos() as u64,
            covered_since_unix_ns: self.covered_since_unix_ns,
            continued: self.is_continued,
            ring_used_bytes: condition.ring_used_bytes,
            ring_bytes: condition.ring_bytes,
            labels: self.speaker.labels.clone(),
            redactions: condition.redactions,
        }
    }

    /// The content as one batch, or several when it names too many processes for one.
    pub fn build(&mut self, mut content: Content) -> Result<Vec<SpooledBatch>> {
        let mut batches = Vec::new();
        let mut key = content.key;
        loop {
            let fitting = fitting(&content.processes);
            if fitting == content.processes.len() {
                break;
            }
            let rest = content.processes.split_off(fitting);
            let processes = std::mem::replace(&mut content.processes, rest);
            let part = Content {
                key,
                processes,
                ..Content::default()
            };
            batches.push(self.encode(part, true)?);
            key = false;
        }
        content.key = key;
        batches.push(self.encode(content, false)?);
        Ok(batches)
    }

    fn encode(&mut self, content: Content, more: bool) -> Result<SpooledBatch> {
        let batch = wire::Batch {
            agent_id: self.speaker.agent_id.clone(),
            boot_id: self.speaker.boot_id.0.to_vec().into(),
            machine_id: self.speaker.machine_id.clone().into(),
            epoch: self.epoch,
            seq: self.next_seq,
            built_unix_ns: unix_ns(),
            interval_ms: self.interval.as_millis() as u32,
            key: content.key,
            more,
            processes: content.processes,
            events: content.events,
            frame: content.frame,
            losses: content.losses,
            host: content.host,
            health: content.health,
            rings: content.rings,
        };
        let payload = self.encoder.encode(&batch)?;
        self.next_seq += 1;
        let (epoch, seq, key, built_unix_ns) =
            (batch.epoch, batch.seq, batch.key, batch.built_unix_ns);
        Ok(SpooledBatch {
            epoch,
            seq,
            key,
            built_unix_ns,
            payload: payload.into(),
        })
    }
}

/// How many of them go into one batch: at least one.
fn fitting(processes: &[wire::Process]) -> usize {
    let mut bytes = 0;
    let too_many = processes.iter().take(MAX_PROCESSES).position(|process| {
        bytes += process
            .image
            .as_ref()
            .map_or(0, |image| image.args.len() + image.exe.len());
        bytes > MAX_IMAGE_BYTES
    });
    too_many.map_or(processes.len().min(MAX_PROCESSES), |first| first.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(handle: u32, args_bytes: usize) -> wire::Process {
        let image = wire::Image {
            args: vec![b'a'; args_bytes].into(),
            ..wire::Image::default()
        };
        wire::Process {
            handle,
            image: Some(image),
            ..wire::Process::default()
        }
    }

    fn batches(processes: Vec<wire::Process>) -> Vec<wire::Batch> {
        let mut builder = BatchBuilder::new(Speaker::default()).expect("starts");
        let frame = Some(wire::Frame::default());
        let built = builder.build(Content {
            key: true,
            processes,
            frame,
            ..Content::default()
        });
        let spooled = built.expect("builds");
        let decode = |batch: SpooledBatch| wire::decode(&batch.payload, wire::MAX_DECODED_BYTES);
        spooled
            .into_iter()
            .map(|batch| decode(batch).expect("decodes"))
            .collect()
    }

    #[test]
    fn a_large_key_goes_on_in_further_batches() {
        let batches = batches((1..=5000).map(|handle| process(handle, 2000)).collect());
        assert!(batches.len() > 2);
        let last = batches.len() - 1;
        for (index, batch) in batches.iter().enumerate() {
            assert_eq!(batch.seq, index as u64 + 1);
            assert_eq!(batch.key, index == 0);
            assert_eq!(batch.more, index < last);
            assert_eq!(
                batch.frame.is_some(),
                index == last,
                "values follow when all are named"
            );
        }
        let handles: Vec<u32> = batches
            .iter()
            .flat_map(|batch| &batch.processes)
            .map(|process| process.handle)
            .collect();
        assert_eq!(handles, (1..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn one_process_always_fits() {
        assert_eq!(
            batches(vec![process(1, MAX_IMAGE_BYTES + 1), process(2, 1)]).len(),
            2
        );
    }
}
