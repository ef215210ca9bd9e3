//! An event segment, opened: its index tells what is in each block, and a block is decompressed when it is asked for.

use super::exit::ExitReader;
use super::kinds::KindReader;
use super::{MAGIC, OpenRows, VERSION, column, section, table};
use crate::batch::{Event, EventKind};
use crate::store::format::bytes::Reader;
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, Values};
use crate::store::segment::container::Sections;
use crate::store::segment::life::{LifeReader, LifeRow, PRIOR};
use crate::store::segment::strings::{Arguments, Words};

/// What the index says of a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockHead {
    pub(super) first: (u32, i64),
    pub(super) last: (u32, i64),
    pub(super) kinds: u32,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// Lowest and highest + 1, 0 where there is none.
    pub(super) code: (u64, u64),
    pub(super) signal: (u64, u64),
    pub(super) longest_ms: u64,
    arguments_known: u32,
    at: usize,
    bytes: usize,
}

/// An event segment of which nothing is read but its index.
pub(super) struct EventIndex<'a> {
    pub(super) blocks: Vec<BlockHead>,
    sections: Sections<'a>,
    frames: &'a [u8],
}

/// An event segment.
pub struct EventSegment<'a> {
    pub(super) blocks: Vec<BlockHead>,
    pub(super) words: Words,
    names: Vec<u32>,
    pub(super) arguments: Arguments<'a>,
    frames: &'a [u8],
}

/// An event still without its life, and the row of that.
type EventWithRow = (Event, Option<u32>);

/// The events of one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchEvents {
    pub slice: u32,
    pub batch: i64,
    pub received_ms: i64,
    pub events: Vec<Event>,
}

impl<'a> EventIndex<'a> {
    /// No bytes are a segment without events.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let sections = if bytes.is_empty() {
            Sections::empty()
        } else {
            Sections::open(bytes, MAGIC, VERSION)?
        };
        Ok(Self {
            blocks: read_index(sections.frames(section::INDEX))?,
            frames: sections.frames(section::BLOCKS),
            sections,
        })
    }

    /// The words that are names of processes, by number.
    pub(super) fn names(&self) -> Result<(Words, Vec<u32>), SegmentError> {
        let names = self.sections.read(section::NAMES)?;
        let mut reader = Reader::new(&names);
        let mut numbers = Vec::new();
        while reader.remaining() > 0 {
            numbers.push(reader.number()? as u32);
        }
        Ok((Words::read(&self.sections.read(section::WORDS)?)?, numbers))
    }

    pub(super) fn tables(&self, head: &BlockHead) -> Result<Tables<'a>, SegmentError> {
        tables_of(self.frames, head)
    }

    pub(super) fn segment(&self) -> Result<EventSegment<'a>, SegmentError> {
        let directory = self.sections.read(section::ARGUMENTS)?;
        let chunks = self.sections.frames(section::ARGUMENT_CHUNKS);
        let (words, names) = self.names()?;
        Ok(EventSegment {
            arguments: Arguments::read(&directory, chunks)?,
            blocks: self.blocks.clone(),
            words,
            names,
            frames: self.frames,
        })
    }
}

impl<'a> EventSegment<'a> {
    /// No bytes are a segment without events.
    pub fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        EventIndex::open(bytes)?.segment()
    }

    /// Names of the processes that the events are about, each once.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter();
        names.filter_map(|number| self.words.bytes(*number).ok())
    }

    /// All batches with events, in order of arrival.
    pub fn batches(&self) -> impl Iterator<Item = Result<Vec<BatchEvents>, SegmentError>> + '_ {
        self.blocks.iter().map(|head| self.block(head))
    }

    pub(super) fn block(&self, head: &BlockHead) -> Result<Vec<BatchEvents>, SegmentError> {
        self.block_where(head, |_, _| true)
    }

    /// The batches of a block that are wanted. The texts of the others are not read.
    pub(super) fn block_where(
        &self,
        head: &BlockHead,
        wanted: impl Fn(&BatchEvents, &[Option<LifeRow>]) -> bool,
    ) -> Result<Vec<BatchEvents>, SegmentError> {
        let mut shown = Vec::new();
        let mut found = Vec::new();
        self.block_rows(head, |mut batch, rows, lives| {
            shown.resize(lives.len(), None);
            let row = |row: &Option<u32>| row.map(|row| lives[row as usize]);
            let rows_of: Vec<_> = rows.iter().map(row).collect();
            if !wanted(&batch, &rows_of) {
                return Ok(());
            }
            for (event, row) in batch.events.iter_mut().zip(rows) {
                let Some(row) = row else { continue };
                let life = &mut shown[row as usize];
                if life.is_none() {
                    let row = lives[row as usize];
                    *life = Some(row.life(&self.words, &self.arguments)?);
                }
                event.life.clone_from(life);
            }
            found.push(batch);
            Ok(())
        })?;
        Ok(found)
    }

    /// The batches of a block without lives, each with the rows of its lives among those of the block.
    pub(super) fn block_rows(
        &self,
        head: &BlockHead,
        mut each: impl FnMut(BatchEvents, Vec<Option<u32>>, &[LifeRow]) -> Result<(), SegmentError>,
    ) -> Result<(), SegmentError> {
        let tables = tables_of(self.frames, head)?;
        let (events, lives) = self.events(head, &tables)?;
        split(&tables.block(table::BATCHES)?, events, |batch, rows| {
            each(batch, rows, &lives.rows)
        })
    }

    /// The events of a block, still without their lives, each with the row of its life.
    fn events(
        &self,
        head: &BlockHead,
        tables: &Tables<'_>,
    ) -> Result<(Vec<EventWithRow>, LifeReader), SegmentError> {
        use column::event as id;
        let block = tables.block(table::EVENTS)?;
        block.require_rows(id::KIND)?;
        let (mut kind, mut ts) = (block.column(id::KIND)?, block.column(id::TS_NS)?);
        let mut lives = Lives::new(&tables.block(table::LIVES)?, head.arguments_known)?;
        lives.references = block.column(id::LIFE)?;
        let mut more = More::new(tables)?;
        let mut events = Vec::with_capacity(block.rows.min(1 << 16));
        let mut ts_ns = 0_i64;
        for _ in 0..block.rows {
            let kind = kind.next()?;
            ts_ns = ts_ns.wrapping_add(ts.signed()?);
            let row = lives.next(ts_ns)?;
            let known = more.next(kind & (id::SAMPLED - 1), &self.words)?;
            if let (EventKind::Exit(_), Some(row)) = (&known, row) {
                lives.open.remove(row);
            }
            let event = Event {
                ts_ns,
                life: None,
                sampled: kind & id::SAMPLED != 0,
                kind: known,
            };
            events.push((event, row));
        }
        Ok((events, lives.reader))
    }
}

fn tables_of<'a>(frames: &'a [u8], head: &BlockHead) -> Result<Tables<'a>, SegmentError> {
    let end = head.at.checked_add(head.bytes);
    let bytes = end.and_then(|end| frames.get(head.at..end));
    Tables::open(bytes.ok_or(SegmentError::Truncated)?)
}

fn read_index(bytes: &[u8]) -> Result<Vec<BlockHead>, SegmentError> {
    use column::index as id;
    let block = Block::open(bytes)?;
    if block.rows == 0 {
        return Ok(Vec::new());
    }
    block.require_rows(id::EVENTS)?;
    let mut columns: Vec<Values> = (1..=id::LONGEST_MS)
        .map(|id| block.column(id))
        .collect::<Result<_, _>>()?;
    let mut at = 0_usize;
    let mut heads = Vec::with_capacity(block.rows);
    for _ in 0..block.rows {
        let mut next = |id: u64| columns[id as usize - 1].next();
        let size = |value: u64| usize::try_from(value).map_err(|_| SegmentError::Lengths);
        let mut head = BlockHead {
            bytes: size(next(id::BYTES)?)?,
            at,
            kinds: next(id::KINDS)? as u32,
            arguments_known: next(id::ARGUMENTS)? as u32,
            code: (next(id::LOWEST_CODE)?, next(id::HIGHEST_CODE)?),
            signal: (next(id::LOWEST_SIGNAL)?, next(id::HIGHEST_SIGNAL)?),
            longest_ms: next(id::LONGEST_MS)?,
            ..BlockHead::default()
        };
        let (first, last) = (next(id::FIRST_SLICE)? as u32, next(id::LAST_SLICE)? as u32);
        let mut signed = |id: u64| columns[id as usize - 1].signed();
        head.first = (first, signed(id::FIRST_BATCH)?);
        head.last = (last, signed(id::LAST_BATCH)?);
        head.first_ms = signed(id::FIRST_MS)?;
        head.last_ms = signed(id::LAST_MS)?;
        at = at.checked_add(head.bytes).ok_or(SegmentError::Lengths)?;
        heads.push(head);
    }
    Ok(heads)
}

/// The tables of a block; those of newer versions are passed over.
pub(super) struct Tables<'a>([&'a [u8]; table::COUNT]);

impl<'a> Tables<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        let mut lengths = Vec::with_capacity(count.min(16));
        for _ in 0..count {
            lengths.push(usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?);
        }
        let mut tables = [&[][..]; table::COUNT];
        for (table, length) in tables.iter_mut().zip(lengths) {
            *table = reader.take(length)?;
        }
        Ok(Self(tables))
    }

    pub(super) fn block(&self, table: usize) -> Result<Block<'a>, SegmentError> {
        Block::open(self.0[table])
    }
}

/// The lives of a block, row by row, as events refer to them.
struct Lives {
    reader: LifeReader,
    count: usize,
    prior: Values,
    open: OpenRows,
    references: Values,
}

impl Lives {
    fn new(block: &Block<'_>, arguments_known: u32) -> Result<Self, SegmentError> {
        Ok(Self {
            reader: LifeReader::new(block, arguments_known)?,
            count: block.rows,
            prior: block.column(PRIOR)?,
            open: OpenRows::default(),
            references: Values::zeros(),
        })
    }

    /// The row of the life of the next event.
    fn next(&mut self, ts_ns: i64) -> Result<Option<u32>, SegmentError> {
        let row = match self.references.next()? {
            0 => return Ok(None),
            1 => {
                let row = self.reader.rows.len();
                if row >= self.count {
                    return Err(SegmentError::Reference);
                }
                let prior = self.prior.next()?;
                self.reader.read(Some(ts_ns))?;
                // The reader has checked that there is a prior row.
                self.open.add(row as u32, prior as u32);
                row as u32
            }
            rank => {
                let rank = usize::try_from(rank - 2).map_err(|_| SegmentError::Reference)?;
                self.open.at(rank).ok_or(SegmentError::Reference)?
            }
        };
        Ok(Some(row))
    }
}

/// What some kinds of events say more.
struct More {
    exits: ExitReader,
    slow_io: KindReader,
    losses: KindReader,
    ooms: KindReader,
}

impl More {
    fn new(tables: &Tables<'_>) -> Result<Self, SegmentError> {
        Ok(Self {
            exits: ExitReader::new(&tables.block(table::EXITS)?)?,
            slow_io: KindReader::new(&tables.block(table::SLOW_IO)?, 7)?,
            losses: KindReader::new(&tables.block(table::LOSSES)?, 6)?,
            ooms: KindReader::new(&tables.block(table::OOMS)?, 4)?,
        })
    }

    /// A kind that is not known is a mistake: a new one would be a new version, because cursors count all events.
    fn next(&mut self, kind: u64, words: &Words) -> Result<EventKind, SegmentError> {
        Ok(match kind {
            0 => EventKind::Fork,
            1 => EventKind::Exec,
            2 => EventKind::Exit(Box::new(self.exits.next(words)?)),
            3 => EventKind::SlowIo(Box::new(self.slow_io.slow_io(words)?)),
            4 => EventKind::Loss(Box::new(self.losses.loss(words)?)),
            5 => EventKind::Oom(Box::new(self.ooms.oom(words)?)),
            _ => return Err(SegmentError::Reference),
        })
    }
}

/// Hands on the batches that brought the events, each with the rows of its lives.
fn split(
    block: &Block<'_>,
    events: Vec<EventWithRow>,
    mut each: impl FnMut(BatchEvents, Vec<Option<u32>>) -> Result<(), SegmentError>,
) -> Result<(), SegmentError> {
    use column::batch as id;
    block.require_rows(id::EVENTS)?;
    let (mut count, mut slices) = (block.column(id::EVENTS)?, block.column(id::SLICE)?);
    let (mut ids, mut received) = (block.column(id::ID)?, block.column(id::RECEIVED_MS)?);
    let mut events = events.into_iter();
    let (mut slice, mut batch, mut received_ms) = (0_u32, 0_i64, 0_i64);
    for _ in 0..block.rows {
        let count = usize::try_from(count.next()?).map_err(|_| SegmentError::Lengths)?;
        let further = slices.signed()?;
        if further != 0 {
            slice = i64::from(slice).wrapping_add(further) as u32;
            batch = 0;
        }
        batch = batch.wrapping_add(ids.signed()?);
        received_ms = received_ms.wrapping_add(received.signed()?);
        if count > events.len() {
            return Err(SegmentError::Lengths);
        }
        let (events, rows) = events.by_ref().take(count).unzip();
        let batch = BatchEvents {
            slice,
            batch,
            received_ms,
            events,
        };
        each(batch, rows)?;
    }
    Ok(())
}
