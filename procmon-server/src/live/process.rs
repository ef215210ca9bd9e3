//! A process that is there, and how the API shows it.

use std::ops::Deref;
use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::{ProcessId, Start};

use super::Host;
use super::marks::Marks;
use super::row::CompactRow;
use crate::batch::{Image, Life};
use crate::query::signature;

#[derive(Clone, Debug)]
pub struct LiveProcess {
    pub life: KeptLife,
    pub row: CompactRow,
    /// Unknown until a sample.
    pub ports: Option<Box<[u16]>>,
    pub(super) read: Rate,
    pub(super) write: Rate,
    /// The host's version when it last changed.
    pub(super) changed: u64,
}

/// How fast a counter grew between the last two samples; not a number while that is unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(f32);

impl Default for Rate {
    fn default() -> Self {
        Self(f32::NAN)
    }
}

/// A life, and beside the pointer to it what lists look at in every row: to follow a pointer takes longer than all the rest
/// of a comparison.
#[derive(Clone, Debug)]
pub struct KeptLife {
    life: Arc<Life>,
    image: Option<Arc<Image>>,
    known_id: Option<ProcessId>,
    marks: Marks,
    /// Of the arguments.
    signature: u64,
}

/// A life that nobody shares anything with.
impl From<Arc<Life>> for KeptLife {
    fn from(life: Arc<Life>) -> Self {
        let marks = Marks::absent(&life);
        Self::new(life, marks)
    }
}

impl Deref for KeptLife {
    type Target = Arc<Life>;

    fn deref(&self) -> &Arc<Life> {
        &self.life
    }
}

impl KeptLife {
    pub(super) fn new(life: Arc<Life>, marks: Marks) -> Self {
        let command = life.command().map(|image| signature(&image.args));
        Self {
            signature: command.unwrap_or(u64::MAX),
            image: life.image.clone(),
            known_id: life.id,
            marks,
            life,
        }
    }

    pub(super) fn process_id(&self) -> Option<ProcessId> {
        self.known_id
    }

    pub(super) fn is_uploaded(&self) -> bool {
        matches!(self.known_id.map(|id| id.start), Some(Start::Upload { .. }))
    }

    pub fn image(&self) -> Option<&Image> {
        self.image.as_deref()
    }

    pub fn name(&self) -> Option<&[u8]> {
        self.image().map(|image| &*image.name)
    }

    /// As [`Life::command`], without a look at the life.
    pub fn command(&self) -> Option<&Image> {
        self.image()?.command_of(self.known_id)
    }

    /// Of the command line; all bits where there is none.
    pub fn signature(&self) -> u64 {
        self.signature
    }

    pub fn marks(&self) -> &Marks {
        &self.marks
    }
}

impl Rate {
    pub(super) fn between(before: Option<u64>, now: Option<u64>, elapsed_s: Option<f64>) -> Self {
        match (before, now, elapsed_s) {
            (Some(before), Some(now), Some(elapsed_s)) => {
                Self((now.saturating_sub(before) as f64 / elapsed_s) as f32)
            }
            _ => Self::default(),
        }
    }

    /// Replaces it; returns whether it is another now.
    pub(super) fn set(&mut self, now: Self) -> bool {
        let before = std::mem::replace(self, now);
        before.0.to_bits() != self.0.to_bits()
    }

    /// Whether a sample in which the counter stays still changes it.
    pub(super) fn unsettled(self) -> bool {
        self.0 != 0.0
    }

    fn shown(self) -> Option<f64> {
        if self.0 == 0.0 {
            // As most are, and as it would come out.
            return Some(0.0);
        }
        (!self.0.is_nan()).then(|| f64::from(self.0).round())
    }
}

impl LiveProcess {
    pub(super) fn new(life: impl Into<KeptLife>, version: u64) -> Self {
        Self {
            life: life.into(),
            row: CompactRow::default(),
            ports: None,
            read: Rate::default(),
            write: Rate::default(),
            changed: version,
        }
    }

    pub(super) fn sampled(&self) -> bool {
        !self.row.is_empty()
    }
}

/// A process together with its host: everything the API shows of it is computed here.
#[derive(Clone, Copy, Debug)]
pub struct ProcessView<'a> {
    pub host: &'a Host,
    pub process: &'a LiveProcess,
    pub id: ProcessId,
    pub stale: bool,
    /// Among the rows of the host; later another process may stand there.
    pub row: u32,
}

impl ProcessView<'_> {
    pub fn ppid(&self) -> Option<u32> {
        let sampled = self.process.row.get(Column::Ppid);
        sampled.map(|ppid| ppid as u32).or(self.process.life.ppid)
    }

    pub fn status(&self) -> Option<char> {
        let letter = self.process.row.get(Column::Status)?;
        let letter = char::from(u8::try_from(letter).ok()?);
        letter.is_ascii_alphabetic().then_some(letter)
    }

    pub fn cpu_percent(&self) -> Option<f64> {
        let value = self.process.row.get(Column::CpuCentipercent)?;
        Some(value as f64 / 100.0)
    }

    /// Of descendants that began and ended since the sample before.
    pub fn short_lived_cpu_percent(&self) -> Option<f64> {
        let value = self.process.row.get(Column::ShortLivedCpuCentipercent)?;
        Some(value as f64 / 100.0)
    }

    pub fn rss_bytes(&self) -> Option<u64> {
        let kib = self.metric(Column::RssKib)?;
        let extra = self.metric(Column::RssExtraBytes).unwrap_or(0);
        Some(kib.saturating_mul(1024).saturating_add(extra))
    }

    /// Of the host's memory.
    pub fn memory_percent(&self) -> Option<f64> {
        if let Some(value) = self.process.row.get(Column::MemoryMicropercent) {
            return Some(value as f64 / 1e6);
        }
        let total = self.host.agent.totals?.memory_total_bytes;
        let share = self.rss_bytes()? as f64 * 100.0 / total as f64;
        (total > 0).then(|| (share * 1000.0).round() / 1000.0)
    }

    pub fn metric(&self, column: Column) -> Option<u64> {
        self.process.row.get(column)
    }

    /// Listening ports. A sample that counted the connections and names no port says that there is none.
    pub fn ports(&self) -> Option<&[u16]> {
        let counted = self.metric(Column::NetConns).is_some();
        let none: &[u16] = &[];
        self.process.ports.as_deref().or(counted.then_some(none))
    }

    pub fn read_bytes_per_s(&self) -> Option<f64> {
        self.process.read.shown()
    }

    pub fn write_bytes_per_s(&self) -> Option<f64> {
        self.process.write.shown()
    }

    pub fn rss_exact(&self) -> Option<bool> {
        self.metric(Column::RssExact).map(|exact| exact != 0)
    }

    /// By the server's clock where the host's is off.
    pub fn observed_ns(&self) -> Option<i64> {
        let host_ns = match self.host.frame_ns {
            Some(frame_ns) if self.process.sampled() => Some(frame_ns),
            _ => self.process.life.started_ns,
        };
        host_ns.map(|ns| self.host.agent.server_time_ns(ns))
    }
}
