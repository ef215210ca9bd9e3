//! From batches in order of arrival to samples: the state of a host is followed as the live state is, but nothing is kept of
//! it other than what the query wants. What is not known of it (after a hole in the batches, until the next key batch) is
//! left out, never guessed.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::columns::{COLUMN_COUNT, Column};
use procmon_common::ids::ProcessId;

use super::{HostSamples, LifeSamples, SampleQuery, UNKNOWN};
use crate::batch::{Batch, Frame, Life};
use crate::store::segment::Carried;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Debug)]
pub(super) struct Replay<'q> {
    query: &'q SampleQuery,
    /// Where in the query's columns a column is, by its number.
    places: [Option<u8>; COLUMN_COUNT + 1],
    epoch: u64,
    seq: u64,
    /// The handles are those of the last key batch, and nothing was missed since.
    synced: bool,
    /// The next sample's values are differences to unknown.
    await_key_frame: bool,
    /// Lives by handle, as indices into `tracks`; of lives that the query does not want there are none.
    handles: Map<u32, usize>,
    by_id: Map<ProcessId, usize>,
    tracks: Vec<Track>,
    /// Tracks whose values changed since the last sample that was told; all of them after a key frame.
    touched: Vec<usize>,
    untold: bool,
    samples: HostSamples,
}

/// What is followed of a life.
#[derive(Debug)]
struct Track {
    life: Arc<Life>,
    /// As it was in the last sample that was told.
    told_life: Arc<Life>,
    /// What it was told to be before.
    before: Vec<(u32, Arc<Life>)>,
    /// Values as they travel: value + 1, and 0 for unknown.
    stored: Vec<u64>,
    /// What `columns` says now.
    told: Vec<i64>,
    columns: Vec<Vec<(u32, i64)>>,
    ports: Option<Arc<[u16]>>,
    told_ports: Vec<(u32, Arc<[u16]>)>,
    /// The first sample that it is in, and the first that it is no longer in.
    first: usize,
    end: Option<usize>,
    touched: bool,
}

/// Where a batch stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) seq: u64,
}

impl<'q> Replay<'q> {
    pub(super) fn new(query: &'q SampleQuery) -> Self {
        let mut places = [None; COLUMN_COUNT + 1];
        for (place, column) in (0..).zip(&query.columns) {
            places[column.id() as usize] = Some(place);
        }
        Self {
            query,
            places,
            epoch: 0,
            seq: 0,
            synced: false,
            await_key_frame: false,
            handles: Map::default(),
            by_id: Map::default(),
            tracks: Vec::new(),
            touched: Vec::new(),
            untold: false,
            samples: HostSamples::default(),
        }
    }

    /// Goes on where a segment ended, before any batch.
    pub(super) fn seed(&mut self, carried: &Carried) {
        (self.epoch, self.seq) = (carried.epoch, carried.seq);
        self.synced = carried.synced;
        self.await_key_frame = carried.await_key_frame;
        for known in &carried.lives {
            self.upsert(known.handle, &known.life);
            let Some(track) = self
                .handles
                .get(&known.handle)
                .map(|index| &mut self.tracks[*index])
            else {
                continue;
            };
            for (stored, column) in track.stored.iter_mut().zip(&self.query.columns) {
                let value = known.values.get(*column);
                *stored = value.map_or(0, |value| value.wrapping_add(1));
            }
            track.ports.clone_from(&known.ports);
        }
    }

    /// A batch that cannot be read: what comes after it is not known until the next key batch.
    pub(super) fn skip(&mut self) {
        self.detach();
    }

    /// The next batch. It has the parts that the query wants.
    pub(super) fn apply(&mut self, place: Place, batch: &Batch) {
        let follows = place.epoch == self.epoch && place.seq == self.seq.wrapping_add(1);
        let begins = batch.key && !batch.continues;
        if begins || !follows {
            self.detach();
        }
        (self.epoch, self.seq) = (place.epoch, place.seq);
        if begins {
            self.synced = true;
            self.await_key_frame = true;
        }
        for (handle, life) in &batch.lives {
            self.upsert(*handle, life);
        }
        for handle in &batch.ended {
            if let Some(index) = self.handles.remove(handle) {
                self.tracks[index].end = Some(self.samples.sample_ms.len());
            }
        }
        if self.synced
            && let Some(frame) = &batch.frame
        {
            self.frame(frame, !batch.repeats_a_sample());
        }
    }

    /// The handles mean nothing any more. Where a life is not listed again, its last sample was the last one so far.
    fn detach(&mut self) {
        let now = self.samples.sample_ms.len();
        for (_, index) in self.handles.drain() {
            self.tracks[index].end = Some(now);
        }
        self.synced = false;
    }

    fn upsert(&mut self, handle: u32, life: &Arc<Life>) {
        let Some(id) = life.id.filter(|id| self.query.lives.takes(*id)) else {
            return;
        };
        if let Some(index) = self.handles.get(&handle) {
            self.tracks[*index].life = Arc::clone(life);
            touch(&mut self.tracks, &mut self.touched, *index);
            return;
        }
        let now = self.samples.sample_ms.len();
        let index = *self.by_id.entry(id).or_insert(self.tracks.len());
        if index == self.tracks.len() {
            self.tracks.push(Track::new(life, &self.query.columns, now));
        } else {
            self.tracks[index].resume(life, now);
        }
        touch(&mut self.tracks, &mut self.touched, index);
        self.handles.insert(handle, index);
    }

    fn frame(&mut self, frame: &Frame, is_sample: bool) {
        let key_frame = std::mem::take(&mut self.await_key_frame);
        if key_frame {
            for index in self.handles.values() {
                self.tracks[*index].forget();
            }
        }
        for changes in &frame.columns {
            let Some(place) = self.places[changes.column.id() as usize] else {
                continue;
            };
            for (handle, delta) in &changes.changes {
                if let Some(index) = self.handles.get(handle) {
                    let stored = &mut self.tracks[*index].stored[usize::from(place)];
                    *stored = stored.wrapping_add_signed(*delta);
                    touch(&mut self.tracks, &mut self.touched, *index);
                }
            }
        }
        for (handle, ports) in &frame.ports {
            if let Some(index) = self.handles.get(handle) {
                self.tracks[*index].ports = Some(ports.as_slice().into());
                touch(&mut self.tracks, &mut self.touched, *index);
            }
        }
        self.untold |= key_frame;
        // Outside of the time asked for, and between samples, nothing is told: the next sample says what changed.
        let sampled_ms = frame.ts_ns.div_euclid(1_000_000);
        if is_sample && (self.query.from_ms..self.query.to_ms).contains(&sampled_ms) {
            self.tell(frame, sampled_ms);
        }
    }

    fn tell(&mut self, frame: &Frame, sampled_ms: i64) {
        let samples = &mut self.samples;
        let index = u32::try_from(samples.sample_ms.len()).unwrap_or(u32::MAX);
        samples.sample_ms.push(sampled_ms);
        for group in &frame.short_lived {
            samples.short_lived.push((index, group.clone()));
        }
        if std::mem::take(&mut self.untold) || index == 0 {
            for track in self.tracks.iter_mut().filter(|track| track.end.is_none()) {
                track.tell(index);
            }
        } else {
            // Whoever ended since the sample before is not in this one.
            for touched in &self.touched {
                let track = &mut self.tracks[*touched];
                if track.end.is_none() {
                    track.tell(index);
                }
            }
        }
        for touched in self.touched.drain(..) {
            self.tracks[touched].touched = false;
        }
    }

    pub(super) fn finish(self) -> HostSamples {
        let count = self.samples.sample_ms.len();
        let mut samples = self.samples;
        let mut tracks = self.tracks;
        tracks.sort_by_key(|track| track.first);
        for track in tracks {
            let end = track.end.unwrap_or(count);
            if let Some(last) = end.checked_sub(1).filter(|last| *last >= track.first) {
                samples.lives.push(LifeSamples {
                    life: track.told_life,
                    before: track.before,
                    first: track.first,
                    last,
                    columns: track.columns,
                    ports: track.told_ports,
                });
            }
        }
        samples
    }
}

fn touch(tracks: &mut [Track], touched: &mut Vec<usize>, index: usize) {
    let track = &mut tracks[index];
    if !track.touched {
        track.touched = true;
        touched.push(index);
    }
}

impl Track {
    fn new(life: &Arc<Life>, columns: &[Column], first: usize) -> Self {
        Self {
            life: Arc::clone(life),
            told_life: Arc::clone(life),
            before: Vec::new(),
            stored: vec![0; columns.len()],
            told: vec![UNKNOWN; columns.len()],
            columns: vec![Vec::new(); columns.len()],
            ports: None,
            told_ports: Vec::new(),
            first,
            end: None,
            touched: false,
        }
    }

    /// It is listed again. Samples that it was not in are not its.
    fn resume(&mut self, life: &Arc<Life>, now: usize) {
        let gone = self.end.take().unwrap_or(now);
        self.life = Arc::clone(life);
        if gone <= self.first {
            self.first = now;
            return;
        }
        if gone < now {
            let index = u32::try_from(gone).unwrap_or(u32::MAX);
            for (told, column) in self.told.iter_mut().zip(&mut self.columns) {
                if *told != UNKNOWN {
                    *told = UNKNOWN;
                    column.push((index, UNKNOWN));
                }
            }
        }
    }

    fn forget(&mut self) {
        self.stored.fill(0);
        self.ports = None;
    }

    /// Writes down what is another value than before.
    fn tell(&mut self, index: u32) {
        if !Arc::ptr_eq(&self.life, &self.told_life) {
            let told = std::mem::replace(&mut self.told_life, Arc::clone(&self.life));
            if index as usize > self.first && *told != *self.life {
                self.before.push((index, told));
            }
        }
        for ((stored, told), column) in self
            .stored
            .iter()
            .zip(&mut self.told)
            .zip(&mut self.columns)
        {
            let value = match stored.checked_sub(1) {
                Some(value) => i64::try_from(value).unwrap_or(i64::MAX),
                None => UNKNOWN,
            };
            if value != *told {
                *told = value;
                column.push((index, value));
            }
        }
        if let Some(ports) = &self.ports
            && self.told_ports.last().is_none_or(|(_, told)| told != ports)
        {
            self.told_ports.push((index, Arc::clone(ports)));
        }
    }
}
