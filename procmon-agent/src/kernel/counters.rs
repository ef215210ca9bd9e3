//! What the programs count, and what of it was told: in maps, which outlive the agent where they are pinned.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray, PerCpuHashMap};
use aya::programs::ProgramFd;
use aya::util::nr_cpus;
use procmon_common::kernel::{COUNTERS, Comm, Counter, KINDS, Kind, LostKey};

use super::batch_lookup::WholeMap;
use super::program_info::recursion_misses;

/// aya wants to know which types may be bytes.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Key(LostKey);

#[expect(unsafe_code, reason = "a marker of aya")]
// SAFETY: `LostKey` is `bytemuck::Pod`: fixed layout, no padding, any bytes are valid.
unsafe impl aya::Pod for Key {}

/// What the programs count, since the agent started or, of pinned ones, since the last loss that an agent told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// (kind, reason or `emitted`, count); zero counts are left out.
    pub counts: Vec<(Kind, &'static str, u64)>,
    /// Whose records found the ring full, as far as that is known; part of `counts`.
    pub lost_by: Vec<LostBy>,
    /// Events that the proc connector could not deliver, of any kind.
    pub undelivered: u64,
    /// The same where only the statuses of exits are taken from it.
    pub statuses_undelivered: u64,
    /// The maps' own figures, to be noted as told.
    pub(crate) figures: Vec<u64>,
}

/// Records of one kind, command and cgroup that found the ring full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostBy {
    pub kind: Kind,
    pub command: Comm,
    /// 0: not known.
    pub cgroup_id: u64,
    pub count: u64,
}

impl KernelCounters {
    /// What was lost, by kind and reason.
    pub fn lost(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let undelivered = [
            ("event", "socket_full", self.undelivered),
            ("exit_status", "socket_full", self.statuses_undelivered),
        ];
        self.counts
            .iter()
            .map(|(kind, reason, count)| (kind.name(), *reason, *count))
            .chain(undelivered)
            .filter(|(_, reason, count)| *reason != Counter::Emitted.name() && *count > 0)
    }

    /// Adds what another version of the programs has counted and nobody told.
    pub(super) fn add(&mut self, other: &Self) {
        for (kind, reason, count) in &other.counts {
            let known = self
                .counts
                .iter_mut()
                .find(|(known, why, _)| (known, *why) == (kind, reason));
            match known {
                Some((.., sum)) => *sum += count,
                None => self.counts.push((*kind, reason, *count)),
            }
        }
        self.lost_by.extend(&other.lost_by);
    }
}

/// The maps of one version of the programs.
pub(super) struct Counters {
    counts: WholeMap,
    cpus: usize,
    slots: usize,
    lost_by: PerCpuHashMap<MapData, Key, u64>,
    told: Array<MapData, u64>,
    programs: Vec<(Kind, ProgramFd)>,
    /// Kinds that this version knows: the layout of the counters. Kinds are only ever appended within an ABI version.
    kinds: usize,
    /// What was told before this agent, and what is by now.
    base: Vec<u64>,
    noted: Vec<u64>,
}

impl Counters {
    pub(super) fn of(ebpf: &mut Ebpf, programs: Vec<(Kind, ProgramFd)>) -> Result<Self> {
        let mut take = |name: &str| {
            ebpf.take_map(name)
                .with_context(|| format!("the object has no map {name}"))
        };
        let (counts, lost_by, told) = (take("COUNTERS")?, take("LOST_BY")?, take("TOLD")?);
        Self::new(counts, lost_by, told, programs)
    }

    pub(super) fn pinned(version: &Path, programs: Vec<(Kind, ProgramFd)>) -> Result<Self> {
        let open = |name: &str| -> Result<Map> {
            let path = version.join(format!("map_{name}"));
            let data = MapData::from_pin(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            Ok(Map::from_map_data(data)?)
        };
        Self::new(open("COUNTERS")?, open("LOST_BY")?, open("TOLD")?, programs)
    }

    fn new(counts: Map, lost_by: Map, told: Map, programs: Vec<(Kind, ProgramFd)>) -> Result<Self> {
        let whole = WholeMap::of(&counts)?;
        let counts: PerCpuArray<MapData, u64> = counts.try_into()?;
        let slots = counts.len() as usize;
        let told: Array<MapData, u64> = told.try_into()?;
        let base = (0..told.len())
            .map(|slot| told.get(&slot, 0))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            kinds: slots / COUNTERS.len(),
            counts: whole,
            cpus: nr_cpus().map_err(|(path, error)| anyhow::anyhow!("{path}: {error}"))?,
            slots,
            lost_by: lost_by.try_into()?,
            told,
            programs,
            noted: base.clone(),
            base,
        })
    }

    /// When all programs of these maps were attached, as their first agent noted.
    pub(super) fn attached_boot_ns(&self) -> u64 {
        self.base.last().copied().unwrap_or(0)
    }

    pub(super) fn note_attached(&mut self, boot_ns: u64) -> Result<()> {
        Ok(self.told.set(self.told.len() - 1, boot_ns, 0)?)
    }

    /// Sums over CPUs, and the hooks that the kernel itself skipped. The parts are read before the sums: what is counted
    /// meanwhile is in the sums alone.
    pub(super) fn read(&self) -> Result<KernelCounters> {
        let lost_by = self.read_lost_by()?;
        let figures = self.figures()?;
        let mut counts = Vec::new();
        for kind in KINDS.iter().take(self.kinds) {
            for (row, reason) in COUNTERS.iter().map(|counter| counter.name()).enumerate() {
                self.push(&figures, row, *kind, reason, &mut counts);
            }
            self.push(&figures, COUNTERS.len(), *kind, "recursion", &mut counts);
        }
        Ok(KernelCounters {
            counts,
            lost_by,
            figures,
            ..KernelCounters::default()
        })
    }

    fn push(
        &self,
        figures: &[u64],
        row: usize,
        kind: Kind,
        reason: &'static str,
        counts: &mut Vec<(Kind, &'static str, u64)>,
    ) {
        let slot = row * self.kinds + kind as usize - 1;
        let figure = figures.get(slot).copied().unwrap_or(0);
        let count = figure.saturating_sub(self.base.get(slot).copied().unwrap_or(0));
        if count > 0 {
            counts.push((kind, reason, count));
        }
    }

    /// In the layout of `TOLD`: the counters, then the skipped hooks by kind.
    fn figures(&self) -> Result<Vec<u64>> {
        let mut figures = vec![0; self.slots + self.kinds];
        self.counts.read(self.cpus, |slot: &u32, values: &[u64]| {
            if let Some(figure) = figures.get_mut(*slot as usize) {
                *figure = values.iter().sum();
            }
        })?;
        for (kind, program) in &self.programs {
            if let Some(sum) = figures.get_mut(self.slots + *kind as usize - 1) {
                *sum += recursion_misses(program.as_fd())?;
            }
        }
        Ok(figures)
    }

    fn read_lost_by(&self) -> Result<Vec<LostBy>> {
        let mut sums = HashMap::new();
        for entry in &self.lost_by {
            // An entry that is gone meanwhile was taken by nobody else: the map is being changed by the programs.
            let (Key(key), values) = entry?;
            let Ok(kind) = Kind::try_from(key.kind as u16) else {
                continue;
            };
            sums.insert(key, (kind, values.iter().sum()));
        }
        let lost = sums.into_iter().map(|(key, (kind, count))| LostBy {
            kind,
            command: key.comm,
            cgroup_id: key.cgroup_id,
            count,
        });
        Ok(lost.filter(|lost| lost.count > 0).collect())
    }

    /// Notes that these counts were told, and are safe on disk.
    pub(super) fn note_told(&mut self, told: &KernelCounters, is_pinned: bool) -> Result<()> {
        // Records that were written are no loss. Without pins nobody comes after us to read the notes.
        let losses = (self.kinds..told.figures.len()).take_while(|_| is_pinned);
        for slot in losses {
            let figure = told.figures[slot];
            if self.noted.get(slot).is_some_and(|noted| *noted != figure) {
                self.told.set(slot as u32, figure, 0)?;
                self.noted[slot] = figure;
            }
        }
        for lost in &told.lost_by {
            let key = Key(LostKey {
                kind: lost.kind as u32,
                padding: 0,
                cgroup_id: lost.cgroup_id,
                comm: lost.command,
            });
            // One that another version of the programs counted is not here.
            let _ = self.lost_by.remove(&key);
        }
        Ok(())
    }
}
