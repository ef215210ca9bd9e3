//! A part, opened: who is in it and where their rows are. Rows are decompressed by group and column, when asked for.

use std::sync::Arc;

use procmon_common::columns::{COLUMN_COUNT, COLUMNS, Column};

use super::{Interval, MAGIC, VERSION, column, interval, section, share, totals};
use crate::batch::{Life, Totals};
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, MAX_ROWS, Values};
use crate::store::segment::container::{Sections, expand_within};
use crate::store::segment::life::{LifeReader, LifeRow};
use crate::store::segment::strings::{Arguments, Words};

/// Where a process of a part is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessHead {
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) rows: u32,
    /// Its lives: index of the first, and how many.
    pub(super) life: usize,
    pub(super) lives: usize,
    pub(super) group: usize,
    /// Rows of its group before its own.
    pub(super) skip: usize,
}

#[derive(Debug)]
struct Group {
    rows: usize,
    gaps: (u64, usize, usize),
    /// Per column: encoding, beginning and length of its frame.
    columns: [(u64, usize, usize); COLUMN_COUNT],
    highest: [u64; COLUMN_COUNT],
}

pub(super) struct Part<'a> {
    sections: Sections<'a>,
    frames: &'a [u8],
    pub(super) sample_ms: Vec<i64>,
    pub(super) processes: Vec<ProcessHead>,
    /// From which sample on each life holds.
    pub(super) since: Vec<u32>,
    pub(super) lives: Vec<LifeRow>,
    groups: Vec<Group>,
}

/// The strings of a part, for whoever needs whole lives.
pub(super) struct Texts<'a> {
    pub(super) words: Words,
    arguments: Arguments<'a>,
}

/// The ports of a process from a sample on.
pub(super) type PortChange = (u32, u32, Option<Arc<[u16]>>);

impl<'a> Part<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let sections = Sections::open(bytes, MAGIC, VERSION)?;
        let times = Block::open(sections.frames(section::TIMES))?;
        let sample_ms = if times.rows == 0 {
            Vec::new()
        } else {
            totals::read_times(&times)?
        };
        let mut part = Self {
            frames: sections.frames(section::FRAMES),
            sections,
            sample_ms,
            processes: Vec::new(),
            since: Vec::new(),
            lives: Vec::new(),
            groups: Vec::new(),
        };
        part.read_groups()?;
        part.read_processes()?;
        Ok(part)
    }

    fn block(&self, section: u64) -> Result<Block<'a>, SegmentError> {
        Block::open(self.sections.frames(section))
    }

    fn read_groups(&mut self) -> Result<(), SegmentError> {
        use column::group as id;
        let block = self.block(section::GROUPS)?;
        if block.rows == 0 {
            return Ok(());
        }
        // The first column, which bounds the number of groups.
        block.require_rows(id::PROCESSES)?;
        let (mut rows, mut gaps, mut bytes) = (
            block.column(id::ROWS)?,
            block.column(id::GAPS)?,
            block.column(id::BYTES)?,
        );
        let mut sizes = Vec::with_capacity(COLUMN_COUNT);
        let mut highest = Vec::with_capacity(COLUMN_COUNT);
        for column in COLUMNS {
            sizes.push(block.column(id::FIRST_SIZE + u64::from(column.id()))?);
            highest.push(block.column(id::FIRST_MAX + u64::from(column.id()))?);
        }
        // Version 1 knew two encodings.
        let bits = if self.sections.version == 1 { 1 } else { 2 };
        let mut begin = 0_usize;
        for _ in 0..block.rows {
            let mut at = begin;
            let mut frame = |size: u64| {
                let length = usize::try_from(size >> bits).unwrap_or(usize::MAX);
                let frame = (size & ((1 << bits) - 1), at, length);
                at = at.saturating_add(length);
                frame
            };
            let mut group = Group {
                rows: usize::try_from(rows.next()?).map_err(|_| SegmentError::Lengths)?,
                gaps: frame(gaps.next()?),
                columns: [(0, 0, 0); COLUMN_COUNT],
                highest: [0; COLUMN_COUNT],
            };
            for index in 0..COLUMN_COUNT {
                group.columns[index] = frame(sizes[index].next()?);
                group.highest[index] = highest[index].next()?;
            }
            if group.rows > MAX_ROWS {
                return Err(SegmentError::Lengths);
            }
            self.groups.push(group);
            let bytes = usize::try_from(bytes.next()?).map_err(|_| SegmentError::Lengths)?;
            begin = begin.saturating_add(bytes);
        }
        Ok(())
    }

    fn read_processes(&mut self) -> Result<(), SegmentError> {
        use column::process as id;
        let block = self.block(section::PROCESSES)?;
        if block.rows == 0 {
            return Ok(());
        }
        block.require_rows(id::MORE_LIVES)?;
        let (mut more, mut first, mut after) = (
            block.column(id::MORE_LIVES)?,
            block.column(id::FIRST)?,
            block.column(id::AFTER)?,
        );
        let (mut rows, mut since) = (block.column(id::ROWS)?, block.column(id::SINCE)?);
        let mut members = self
            .block(section::GROUPS)?
            .column(column::group::PROCESSES)?;
        let lives = self.block(section::LIVES)?;
        // Lives are bounded by the rows of their block, so a wrong count ends there.
        lives.require_rows(1)?;
        let mut reader = LifeReader::new(&lives, 0)?;
        if self.groups.is_empty() {
            return Err(SegmentError::Lengths);
        }
        let (mut group, mut left, mut skip) = (0_usize, members.next()?, 0_usize);
        let samples = self.sample_ms.len() as u32;
        for _ in 0..block.rows {
            while left == 0 {
                group += 1;
                skip = 0;
                if group >= self.groups.len() {
                    return Err(SegmentError::Lengths);
                }
                left = members.next()?;
            }
            left -= 1;
            let first = first.next()? as u32;
            if first > samples {
                return Err(SegmentError::Lengths);
            }
            let end = samples.saturating_sub(after.next()? as u32);
            let head = ProcessHead {
                first,
                end: end.max(first),
                rows: rows.next()? as u32,
                life: reader.rows.len(),
                lives: usize::try_from(more.next()?)
                    .ok()
                    .and_then(|more| more.checked_add(1))
                    .ok_or(SegmentError::Lengths)?,
                group,
                skip,
            };
            skip = skip.saturating_add(head.rows as usize);
            if skip > self.groups[group].rows {
                return Err(SegmentError::Lengths);
            }
            if head.lives > lives.rows - reader.rows.len() {
                return Err(SegmentError::Lengths);
            }
            let mut from = first;
            for index in 0..head.lives {
                if index > 0 {
                    from = from.wrapping_add(since.next()? as u32);
                }
                if from > samples {
                    return Err(SegmentError::Lengths);
                }
                self.since.push(from);
                reader.read(None)?;
            }
            self.processes.push(head);
        }
        self.lives = reader.rows;
        Ok(())
    }

    pub(super) fn texts(&self) -> Result<Texts<'a>, SegmentError> {
        Ok(Texts {
            words: Words::read(&self.sections.read(section::WORDS)?)?,
            arguments: Arguments::read(
                &self.sections.read(section::ARGUMENTS)?,
                self.sections.frames(section::ARGUMENT_CHUNKS),
            )?,
        })
    }

    /// A life by its index, whole.
    pub(super) fn life(&self, index: usize, texts: &Texts<'_>) -> Result<Arc<Life>, SegmentError> {
        let row = self.lives.get(index).ok_or(SegmentError::Reference)?;
        row.life(&texts.words, &texts.arguments)
    }

    /// Which samples of which process changed.
    pub(super) fn gaps(&self, group: usize) -> Result<Values, SegmentError> {
        let group = self.groups.get(group).ok_or(SegmentError::Reference)?;
        if group.rows == 0 {
            return Ok(Values::zeros());
        }
        self.frame(group.gaps, group.rows, 5)
    }

    /// The differences of one column in those rows.
    pub(super) fn column(&self, group: usize, column: usize) -> Result<Values, SegmentError> {
        if column == share::SHARE && self.sections.version > 1 {
            return share::read(self, group);
        }
        self.stored_column(group, column)
    }

    pub(super) fn stored_column(
        &self,
        group: usize,
        column: usize,
    ) -> Result<Values, SegmentError> {
        let group = self.groups.get(group).ok_or(SegmentError::Reference)?;
        if group.columns[column].2 == 0 {
            return Ok(Values::zeros());
        }
        self.frame(group.columns[column], group.rows, 10)
    }

    /// Whether any value of a column in a group is known at all.
    pub(super) fn is_known(&self, group: usize, column: usize) -> bool {
        let group = self.groups.get(group);
        group.is_some_and(|group| group.highest[column] > 0)
    }

    /// Whether any value of a column in a group is at least so high.
    pub(super) fn reaches(&self, group: usize, column: Column, value: u64) -> bool {
        let index = COLUMNS.iter().position(|known| *known == column);
        let group = self.groups.get(group);
        // Stored as + 1; a column whose heights are not known is read.
        group
            .zip(index)
            .is_none_or(|(group, index)| group.highest[index] > value)
    }

    fn frame(
        &self,
        (encoding, at, length): (u64, usize, usize),
        rows: usize,
        most_per_row: usize,
    ) -> Result<Values, SegmentError> {
        let end = at.checked_add(length).ok_or(SegmentError::Lengths)?;
        let stored = self.frames.get(at..end).ok_or(SegmentError::Truncated)?;
        let plain = expand_within(encoding, stored, rows.saturating_mul(most_per_row))?;
        Ok(Values::of(plain))
    }

    pub(super) fn totals(&self) -> Result<Vec<Option<Totals>>, SegmentError> {
        let block = self.block(section::TIMES)?;
        if block.rows == 0 {
            return Ok(Vec::new());
        }
        totals::read_totals(&block)
    }

    /// All changes of ports, by process and then sample.
    pub(super) fn ports(&self) -> Result<Vec<PortChange>, SegmentError> {
        use column::ports as id;
        let block = self.block(section::PORTS)?;
        if block.rows == 0 {
            return Ok(Vec::new());
        }
        block.require_rows(id::PROCESS)?;
        let (mut process, mut sample) = (block.column(id::PROCESS)?, block.column(id::SAMPLE)?);
        let (mut count, mut port) = (block.column(id::COUNT)?, block.column(id::PORT)?);
        let mut all = Vec::with_capacity(block.rows);
        for _ in 0..block.rows {
            let (process, sample) = (process.next()? as u32, sample.next()? as u32);
            let ports = match count.next()?.checked_sub(1) {
                None => None,
                // A list has as many ports as there are at most.
                Some(count) if count > 1 << 16 => return Err(SegmentError::Lengths),
                Some(count) => Some(
                    (0..count)
                        .map(|_| Ok(port.next()? as u16))
                        .collect::<Result<_, SegmentError>>()?,
                ),
            };
            all.push((process, sample, ports));
        }
        Ok(all)
    }

    /// Both kinds of intervals; each in order of time.
    pub(super) fn short_lived(&self, words: &Words) -> Result<Vec<Interval>, SegmentError> {
        interval::read_short_lived(&self.block(section::SHORT_LIVED)?, words)
    }

    pub(super) fn block_latencies(&self, words: &Words) -> Result<Vec<Interval>, SegmentError> {
        interval::read_block_latency(&self.block(section::BLOCK_LATENCY)?, words)
    }

    pub(super) fn carry_bytes(&self) -> Result<Vec<u8>, SegmentError> {
        self.sections.read(section::CARRY)
    }
}
