//! The loaded programs: wait, drain, give back, count.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya::programs::ProgramFd;
use procmon_common::kernel::{Kind, Latency, LatencyKey};

use super::counters::{Counters, KernelCounters};
use super::inherited::Inherited;
use super::iterator::TaskIterator;
use super::latency::LatencyTable;
use super::options::{CaptureOptions, Continuity};
use super::overlap::Overlap;
use super::pin::{self, PinFolder};
use super::place::{Drained, OWN_RING, Place, RingMark};
use super::programs::{self, Frozen, PROGRAMS, ProgramRow};
use super::ring::Ring;
use super::wake::Wake;
use crate::enrich::clock::boot_ns;

/// Space is given back to the programs after so much was read.
const RELEASE_BYTES: u64 = 64 << 10;
/// Programs that are attached, and the consumer's end of their ring.
pub struct Capture {
    ring: Ring,
    wake: Wake,
    iterator: Option<TaskIterator>,
    counters: Counters,
    latencies: LatencyTable,
    continuity: Option<Continuity>,
    inherited: Vec<Inherited>,
    /// What other versions of the programs counted and no agent told; whether we have.
    untold: KernelCounters,
    has_told: bool,
    unreadable: u64,
    overlap: Overlap,
    attached_boot_ns: u64,
    /// Where the run before stopped reading.
    mark: u64,
    is_continued: bool,
    highest_used_bytes: u64,
    /// Keeps the programs attached that are not pinned.
    _ebpf: Ebpf,
    #[cfg(feature = "ebpf-log")]
    log: aya_log::EbpfLogger<&'static dyn log::Log>,
}

impl Capture {
    /// Loads and attaches all programs. After this returns nothing is missed: take the baseline now.
    pub fn start(options: CaptureOptions) -> Result<Self> {
        Self::start_after(options, None)
    }

    /// The same, going on with what is pinned for this spool: the programs themselves if they are of this version, what
    /// others left in their rings otherwise.
    pub fn start_after(options: CaptureOptions, continuity: Option<Continuity>) -> Result<Self> {
        let pins = continuity.as_ref().filter(|continuity| continuity.pin);
        let frozen = options.freeze(pins.is_some())?;
        let object = programs::object()?;
        let version = pins.map(|pins| pins.folder.version(&object, &frozen.to_bytes()));
        let mut capture = match (&version, pins) {
            (Some(version), _) if version.exists() => Self::go_on(&object, &frozen, version)?,
            (Some(version), Some(pins)) => {
                Self::attach_pinned(&object, &frozen, version, &pins.folder)?
            }
            _ => {
                let mut ebpf = programs::load_object(&object, &frozen, None)?;
                let iterator = programs::attach_all(&mut ebpf, None)?;
                Self::of(ebpf, &PROGRAMS)?.with_iterator(iterator)
            }
        };
        if let Some(continuity) = continuity {
            capture.inherit(continuity)?;
        }
        crate::limits::give_memory_back();
        Ok(capture)
    }

    /// With the programs that are attached already.
    fn go_on(object: &[u8], frozen: &Frozen, version: &Path) -> Result<Self> {
        programs::ensure_attached(version)?;
        let mut ebpf = programs::load_object(object, frozen, Some(version))?;
        let iterator = programs::load_iterator(&mut ebpf)?;
        let descriptors = programs::pinned_descriptors(version)?;
        let mut capture = Self::of_descriptors(ebpf, descriptors)?.with_iterator(iterator);
        // Requests of a time without an agent belong to no sample.
        capture.latencies()?;
        capture.is_continued = true;
        capture.attached_boot_ns = capture.counters.attached_boot_ns();
        Ok(capture)
    }

    fn attach_pinned(
        object: &[u8],
        frozen: &Frozen,
        version: &Path,
        folder: &PinFolder,
    ) -> Result<Self> {
        let mut ebpf = programs::load_object(object, frozen, None)?;
        let unfinished = folder.begin()?;
        programs::pin_maps(&ebpf, &unfinished)?;
        let iterator = programs::attach_all(&mut ebpf, Some(&unfinished))?;
        let mut capture = Self::of(ebpf, &PROGRAMS)?.with_iterator(iterator);
        capture.counters.note_attached(capture.attached_boot_ns)?;
        PinFolder::finish(&unfinished, version)?;
        Ok(capture)
    }

    /// The consumer's end of programs that are attached.
    pub(super) fn of(ebpf: Ebpf, rows: &[ProgramRow]) -> Result<Self> {
        let descriptors = programs::descriptors(&ebpf, rows)?;
        Self::of_descriptors(ebpf, descriptors)
    }

    fn with_iterator(self, iterator: TaskIterator) -> Self {
        Self {
            iterator: Some(iterator),
            ..self
        }
    }

    fn of_descriptors(mut ebpf: Ebpf, descriptors: Vec<(Kind, ProgramFd)>) -> Result<Self> {
        let Some(Map::RingBuf(ring)) = ebpf.take_map("EVENTS") else {
            anyhow::bail!("the object has no ring EVENTS")
        };
        let latencies = ebpf
            .take_map("LATENCIES")
            .context("the object has no map LATENCIES")?;
        let ring = Ring::open(ring)?;
        Ok(Self {
            wake: Wake::new(&ring)?,
            ring,
            iterator: None,
            latencies: LatencyTable::new(latencies)?,
            counters: Counters::of(&mut ebpf, descriptors)?,
            continuity: None,
            inherited: Vec::new(),
            untold: KernelCounters::default(),
            has_told: false,
            unreadable: 0,
            overlap: Overlap::default(),
            attached_boot_ns: boot_ns(),
            mark: 0,
            is_continued: false,
            highest_used_bytes: 0,
            #[cfg(feature = "ebpf-log")]
            log: aya_log::EbpfLogger::init(&mut ebpf)
                .context("this object was not built with `cargo xtask build-ebpf --log`")?,
            _ebpf: ebpf,
        })
    }

    /// Takes over what other versions left. Our own programs are attached already, so that nothing falls between.
    fn inherit(&mut self, continuity: Continuity) -> Result<()> {
        let own = self.ring.id();
        let mark_of = |ring: u32| {
            let mark = continuity.marks.iter().find(|mark| mark.ring_id == ring);
            mark.map_or(0, |mark| mark.position)
        };
        self.mark = mark_of(own);
        for version in continuity.folder.versions()? {
            if self.is_own(&version)? {
                continue;
            }
            let mut inherited = Inherited::take_over(&version)?;
            inherited.mark = inherited.ring.as_ref().map_or(0, |ring| mark_of(ring.id()));
            self.untold.add(&inherited.untold);
            self.unreadable += inherited.unreadable;
            self.inherited.push(inherited);
        }
        if !self.inherited.is_empty() {
            self.overlap = Overlap::new(self.attached_boot_ns);
        }
        self.continuity = Some(continuity);
        Ok(())
    }

    fn is_own(&self, version: &Path) -> Result<bool> {
        let ring = MapData::from_pin(version.join("map_EVENTS"))
            .with_context(|| format!("cannot open the ring in {}", version.display()))?;
        Ok(ring.info()?.id() == self.ring.id())
    }

    /// The iterator over all tasks, once.
    pub fn take_iterator(&mut self) -> Option<TaskIterator> {
        self.iterator.take()
    }

    /// Block requests that completed since the last call.
    pub fn latencies(&mut self) -> Result<Vec<(LatencyKey, Latency)>> {
        self.latencies.take()
    }

    /// Returns when the programs call for the reader, or after `timeout`.
    pub fn wait(&self, timeout: Duration) {
        if self.is_pinned() {
            // What is read and not given back yet would end a poll at once.
            std::thread::sleep(timeout);
            return;
        }
        self.wake.wait(timeout);
    }

    /// Readable when the programs call for the reader.
    pub(crate) fn ring(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Hands over pending records in order until there is none or `take` returns false; how many there were.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> usize {
        self.drain_placed(|record| take(record.bytes))
    }

    /// The same, with where each record was. Pinned rings keep what was read until [`Capture::settle`].
    pub fn drain_placed(&mut self, mut take: impl FnMut(Drained<'_>) -> bool) -> usize {
        #[cfg(feature = "ebpf-log")]
        self.log.flush();
        self.highest_used_bytes = self.highest_used_bytes.max(self.ring.used_bytes());
        let mut drained = 0;
        let mut take = |record: Drained<'_>| {
            drained += 1;
            take(record)
        };
        if self.drain_inherited(&mut take) {
            self.drain_own(&mut take);
        }
        drained
    }

    /// False when `take` has enough.
    fn drain_inherited(&mut self, take: &mut impl FnMut(Drained<'_>) -> bool) -> bool {
        for (order, old) in self.inherited.iter_mut().enumerate() {
            while let Some((position, bytes)) = old.ring.as_mut().and_then(Ring::next) {
                let place = Place {
                    ring: order as u32,
                    position,
                };
                let again = position < old.mark;
                if self.overlap.belongs_to_old(bytes)
                    && !take(Drained {
                        bytes,
                        place,
                        again,
                    })
                {
                    return false;
                }
            }
        }
        true
    }

    fn drain_own(&mut self, take: &mut impl FnMut(Drained<'_>) -> bool) {
        let is_pinned = self.is_pinned();
        let mut unreleased_from = self.ring.position();
        while let Some((position, bytes)) = self.ring.next() {
            let again = position < self.mark;
            let place = Place {
                ring: OWN_RING,
                position,
            };
            let goes_on = self.overlap.takes(bytes)
                || take(Drained {
                    bytes,
                    place,
                    again,
                });
            if !is_pinned && position - unreleased_from >= RELEASE_BYTES {
                self.ring.release_all();
                unreleased_from = position;
            }
            if !goes_on {
                break;
            }
        }
        if !is_pinned {
            self.ring.release_all();
        }
    }

    /// Everything that was read is safe on disk, but for what came from `oldest_open` and later places.
    pub fn settle(&mut self, oldest_open: Option<Place>) {
        let keep_from = oldest_open.unwrap_or(Place {
            ring: OWN_RING,
            position: self.ring.position(),
        });
        if keep_from.ring == OWN_RING {
            self.ring.release(keep_from.position);
            let is_read = |old: &Inherited| old.ring.as_ref().is_none_or(Ring::is_read);
            if self.has_told && self.inherited.iter().all(is_read) {
                self.remove_inherited();
            }
        }
    }

    fn remove_inherited(&mut self) {
        for old in std::mem::take(&mut self.inherited) {
            if let Err(error) = pin::remove(&old.path) {
                tracing::warn!("{error:#}; remove it with `procmon-agent unpin`");
            }
        }
        if let Some(Continuity { folder, .. }) =
            self.continuity.take_if(|continuity| !continuity.pin)
            && let Err(error) = folder.remove_all()
        {
            tracing::warn!("{error:#}");
        }
    }

    /// How far all rings were read: what the batch that is being built answers for.
    pub fn marks(&self) -> Vec<RingMark> {
        if self.continuity.is_none() {
            return Vec::new();
        }
        let old = self.inherited.iter().filter_map(|old| old.ring.as_ref());
        old.chain([&self.ring])
            .map(|ring| RingMark {
                ring_id: ring.id(),
                position: ring.position(),
            })
            .collect()
    }

    pub fn is_pinned(&self) -> bool {
        self.continuity
            .as_ref()
            .is_some_and(|continuity| continuity.pin)
    }

    /// Whether programs were attached while no agent ran, and what they wrote can be read.
    pub fn is_continued(&self) -> bool {
        self.unreadable == 0 && (self.is_continued || !self.inherited.is_empty())
    }

    /// Whether so little of the ring is left that what cannot be made safe must be given back all the same.
    pub fn is_crowded(&self) -> bool {
        self.ring.used_bytes() > self.ring.bytes() / 2
    }

    /// The highest fill since it was last forgotten, and the size.
    pub fn fill(&self) -> (u64, u64) {
        let highest = self.highest_used_bytes.max(self.ring.used_bytes());
        (highest, self.ring.bytes())
    }

    pub fn forget_fill(&mut self) {
        self.highest_used_bytes = 0;
    }

    /// Records that another version of procmon wrote and this one cannot read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// What was counted, by this version of the programs and by those it took over from.
    pub fn counters(&self) -> Result<KernelCounters> {
        let mut counters = self.counters.read()?;
        counters.add(&self.untold);
        Ok(counters)
    }

    /// Notes that these counts were told, and are safe on disk.
    pub fn note_told(&mut self, told: &KernelCounters) -> Result<()> {
        self.has_told = true;
        self.untold.lost_by.clear();
        let is_pinned = self.is_pinned();
        self.counters.note_told(told, is_pinned)
    }
}
