//! The bookkeeping that writer and reader share: which segments there are, how far the reader is, what is in memory.

use std::collections::VecDeque;

use super::{SpoolLoss, SpooledBatch, dropped, record};

/// A place in the spool: the reader's is where the next batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// One file. What it says about its length is true: bytes after `len` are not there for the reader.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) index: u64,
    pub(super) len: u64,
    pub(super) batches: u64,
    /// Batches that the reader is done with.
    pub(super) taken: u64,
    /// Time built of the last batch taken (of the first batch, before that) and of the last batch.
    pub(super) from_unix_ns: i64,
    pub(super) until_unix_ns: i64,
    pub(super) last_id: (u64, u64),
    /// When the spool was opened: the first batch that was not taken.
    pub(super) first_waiting: Option<(u64, u64)>,
    /// Nothing more will be appended.
    pub(super) sealed: bool,
}

impl Segment {
    pub(super) fn new(index: u64, first_built_unix_ns: i64) -> Self {
        Self {
            index,
            len: 0,
            batches: 0,
            taken: 0,
            from_unix_ns: first_built_unix_ns,
            until_unix_ns: first_built_unix_ns,
            last_id: (0, 0),
            first_waiting: None,
            sealed: false,
        }
    }

    /// As lost, without the `kept` batches that are safe elsewhere.
    fn as_loss(&self, reason: &'static str, kept: u64) -> SpoolLoss {
        let batches = (self.batches - self.taken).saturating_sub(kept);
        SpoolLoss {
            reason,
            batches,
            bytes: self.len * batches / self.batches.max(1),
            from_unix_ns: self.from_unix_ns,
            until_unix_ns: self.until_unix_ns,
        }
    }
}

/// The batch that the reader gave out and that is not answered yet. The reader still has it when its segment is evicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) id: (u64, u64),
    /// Where it is on disk, and where the next one begins.
    pub(super) place: Option<(u64, u64)>,
    pub(super) built_unix_ns: i64,
}

/// Where the reader finds the next batch.
pub(super) enum Next {
    Ready {
        batch: SpooledBatch,
        /// Segment, and offset of the record after it; `None` while it is in memory only.
        place: Option<(u64, u64)>,
    },
    OnDisk {
        at: Position,
        limit: u64,
    },
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Oldest first. Only the last may be open for appending.
    pub(super) segments: VecDeque<Segment>,
    pub(super) cursor: Position,
    /// Up to here, the batches of this epoch are answered for.
    pub(super) done: Option<(u64, u64)>,
    pub(super) held: Option<Held>,
    /// Time built of the last batch that was answered for.
    pub(super) last_taken_unix_ns: Option<i64>,
    /// The last batch that was given up.
    pub(super) gone_until: (u64, u64),
    /// Of the batches that were appended since the spool was opened.
    pub(super) own_epoch: Option<u64>,
    /// Batches that the disk does not have yet; they come after everything in `segments`.
    pub(super) memory: VecDeque<SpooledBatch>,
    /// The latest batches of the disk, without a gap up to its end.
    cached: VecDeque<(Position, SpooledBatch)>,
    cached_bytes: u64,
}

impl State {
    pub(super) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory.iter().map(record::length).sum()
    }

    /// Batches not answered for.
    pub(super) fn pending(&self) -> u64 {
        let on_disk: u64 = self.segments.iter().map(|s| s.batches - s.taken).sum();
        on_disk + self.memory.len() as u64
    }

    pub(super) fn is_done(&self, (epoch, seq): (u64, u64)) -> bool {
        self.done
            .is_some_and(|(done_epoch, done_seq)| done_epoch == epoch && seq <= done_seq)
    }

    /// Whether a batch of the run before was not taken, when the spool was opened.
    pub(super) fn waits(&self, id: (u64, u64)) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| {
            segment
                .first_waiting
                .is_some_and(|first| (first..=segment.last_id).contains(&id))
        })
    }

    /// The segment being written, unless the reader gave it up.
    pub(super) fn active(&self, index: u64) -> Option<&Segment> {
        self.segments.back().filter(|last| last.index == index)
    }

    /// Records that a batch is now on disk, at the end of the last segment. False when that was given up meanwhile.
    pub(super) fn publish(&mut self, index: u64, batch: &SpooledBatch, cache_limit: u64) -> bool {
        let Some(segment) = self.segments.back_mut().filter(|s| s.index == index) else {
            return false;
        };
        let at = Position {
            segment: segment.index,
            offset: segment.len,
        };
        segment.len += record::length(batch);
        segment.batches += 1;
        segment.last_id = batch.id();
        segment.until_unix_ns = batch.built_unix_ns;
        let end = segment.len;
        if self.memory.front().is_some_and(|b| b.id() == batch.id()) {
            self.memory.pop_front();
        }
        if let Some(held) = &mut self.held
            && held.id == batch.id()
        {
            held.place = Some((at.segment, end));
        }
        self.cache(at, batch, cache_limit);
        true
    }

    fn cache(&mut self, at: Position, batch: &SpooledBatch, limit: u64) {
        self.cached.push_back((at, batch.clone()));
        self.cached_bytes += record::length(batch);
        while self.cached_bytes > limit {
            self.forget_first_cached();
        }
    }

    fn forget_first_cached(&mut self) {
        if let Some((_, batch)) = self.cached.pop_front() {
            self.cached_bytes -= record::length(&batch);
        }
    }

    /// Finds the batch at the cursor, after moving that to the next segment where one ended.
    pub(super) fn next(&mut self) -> Next {
        self.settle();
        let on_disk = self
            .segments
            .iter()
            .find(|segment| segment.index == self.cursor.segment)
            .filter(|segment| self.cursor.offset < segment.len)
            .map(|segment| segment.len);
        if let Some(limit) = on_disk {
            return self.at_cursor(limit);
        }
        match self.memory.front() {
            Some(batch) => Next::Ready {
                batch: batch.clone(),
                place: None,
            },
            None => Next::Nothing,
        }
    }

    fn at_cursor(&mut self, limit: u64) -> Next {
        while self.cached.front().is_some_and(|(at, _)| *at < self.cursor) {
            self.forget_first_cached();
        }
        match self.cached.front() {
            Some((at, batch)) if *at == self.cursor => Next::Ready {
                batch: batch.clone(),
                place: Some((at.segment, at.offset + record::length(batch))),
            },
            _ => Next::OnDisk {
                at: self.cursor,
                limit,
            },
        }
    }

    /// Moves the cursor off an end, and off a segment that is gone.
    fn settle(&mut self) {
        for segment in &self.segments {
            if segment.index < self.cursor.segment {
                continue;
            }
            if segment.index > self.cursor.segment {
                self.cursor = Position {
                    segment: segment.index,
                    offset: 0,
                };
            }
            if self.cursor.offset < segment.len || !segment.sealed {
                return;
            }
        }
    }

    /// Takes the batch that ends at `end` of its segment.
    pub(super) fn take_disk(&mut self, (index, end): (u64, u64), built_unix_ns: i64) {
        if self.cursor.segment != index || self.cursor.offset >= end {
            return;
        }
        self.cursor.offset = end;
        if let Some(segment) = self.segments.iter_mut().find(|s| s.index == index) {
            segment.taken += 1;
            segment.from_unix_ns = built_unix_ns;
        }
    }

    /// Removes the segments that hold nothing more for the reader; their files are to be unlinked.
    pub(super) fn retire(&mut self) -> Vec<u64> {
        let mut retired = Vec::new();
        while let Some(first) = self.segments.front() {
            if !first.sealed || first.taken < first.batches {
                break;
            }
            retired.push(first.index);
            self.segments.pop_front();
        }
        retired
    }

    /// Gives up the oldest segment, if it is not the one being written.
    pub(super) fn evict(&mut self) -> Option<(u64, SpoolLoss)> {
        if !self.segments.front()?.sealed {
            return None;
        }
        let segment = self.segments.pop_front()?;
        let mut loss = self.lose(&segment, dropped::REASON);
        if let Some(taken) = self.last_taken_unix_ns {
            // Its first batch tells of the time since the one before.
            loss.from_unix_ns = loss.from_unix_ns.min(taken);
        }
        Some((segment.index, loss))
    }

    /// Gives up the rest of a segment that can no longer be read.
    pub(super) fn abandon(&mut self, index: u64) -> Option<SpoolLoss> {
        let place = self.segments.iter().position(|s| s.index == index)?;
        let segment = self.segments.remove(place)?;
        Some(self.lose(&segment, "spool_corrupt"))
    }

    /// Gives up the oldest batches in memory, up to the next key batch: what follows them cannot be understood.
    pub(super) fn drop_memory(&mut self, reason: &'static str) -> Option<SpoolLoss> {
        let first = self.memory.front()?;
        let mut loss = SpoolLoss {
            reason,
            batches: 0,
            bytes: 0,
            from_unix_ns: first.built_unix_ns,
            until_unix_ns: first.built_unix_ns,
        };
        while let Some(batch) = self.memory.pop_front() {
            self.gone_until = batch.id();
            if self.held.is_none_or(|held| held.id != batch.id()) {
                loss.batches += 1;
                loss.bytes += record::length(&batch);
                loss.until_unix_ns = batch.built_unix_ns;
            }
            if self.memory.front().is_some_and(|next| next.key) {
                break;
            }
        }
        Some(loss)
    }

    fn lose(&mut self, segment: &Segment, reason: &'static str) -> SpoolLoss {
        let held_here = |held: &Held| held.place.is_some_and(|(index, _)| index == segment.index);
        let kept = u64::from(self.held.as_ref().is_some_and(held_here));
        self.gone_until = segment.last_id;
        while self
            .cached
            .front()
            .is_some_and(|(at, _)| at.segment <= segment.index)
        {
            self.forget_first_cached();
        }
        segment.as_loss(reason, kept)
    }
}
