//! Events as bytes: batches are added in order of arrival, and each block is compressed as soon as it is full.

use std::collections::HashMap;
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::exit::ExitWriter;
use super::kinds::{write_loss, write_oom, write_slow_io};
use super::{MAGIC, OpenRows, VERSION, column, section, table};
use crate::batch::{Event, EventKind, KindSet, Life};
use crate::store::format::bytes::put;
use crate::store::segment::block::BlockWriter;
use crate::store::segment::container::{Content, Effort, pack};
use crate::store::segment::life::{LifeRow, write_row};
use crate::store::segment::strings::{ArgumentKeeping, ArgumentWriter, WordWriter};

/// Lives, and events, of a block: enough to compress well, few enough to read a page of events quickly.
const BLOCK_LIVES: usize = 4096;
const BLOCK_EVENTS: usize = 16_384;

/// Where a batch stands in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BatchPlace {
    pub(super) slice: u32,
    pub(super) id: i64,
    pub(super) received_ms: i64,
}

/// Collects the events of an agent.
#[derive(Debug, Default)]
pub struct EventWriter {
    pub(super) words: WordWriter,
    pub(super) arguments: ArgumentWriter,
    arguments_known: u32,
    effort: Effort,
    names: Vec<bool>,
    index: BlockWriter,
    blocks: Vec<u8>,
    open: OpenBlock,
    pub(super) count: u32,
    kinds: u32,
    range_ms: Option<(i64, i64)>,
    places: Option<((u32, i64), (u32, i64))>,
}

/// What the row of a segment says of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSummary {
    pub count: u32,
    pub kinds: u32,
    pub range_ms: Option<(i64, i64)>,
    /// Slice and row of the first and the last batch.
    pub places: Option<((u32, i64), (u32, i64))>,
}

/// A block that is not full.
#[derive(Debug, Default)]
struct OpenBlock {
    batches: BlockWriter,
    events: BlockWriter,
    lives: BlockWriter,
    exits: ExitWriter,
    slow_io: BlockWriter,
    losses: BlockWriter,
    ooms: BlockWriter,
    rows: Vec<LifeRow>,
    /// The newest row of each life.
    newest: HashMap<ProcessId, u32, foldhash::fast::RandomState>,
    open_rows: OpenRows,
    first: Option<BatchPlace>,
    last: BatchPlace,
    last_ns: i64,
    arguments_before: u32,
    ranges: Ranges,
}

impl OpenBlock {
    /// Begins the next block, in the memory of the one before. Its tables are empty already.
    fn clear(&mut self) {
        self.rows.clear();
        self.newest.clear();
        self.open_rows.0.clear();
        self.first = None;
        self.last = BatchPlace::default();
        self.last_ns = 0;
        self.arguments_before = 0;
        self.ranges = Ranges::default();
    }
}

/// What a query may rule a block out by.
#[derive(Debug, Default)]
struct Ranges {
    kinds: u32,
    ms: Option<(i64, i64)>,
    code: Option<(u32, u32)>,
    signal: Option<(u32, u32)>,
    longest_ms: i64,
}

fn widen<T: Ord + Copy>(range: &mut Option<(T, T)>, value: T) {
    *range = Some(range.map_or((value, value), |(low, high)| {
        (low.min(value), high.max(value))
    }));
}

impl EventWriter {
    /// Of what is kept for long: more time may be spent on it, and of each argv so many bytes are kept.
    pub fn of_an_hour(most_argv_bytes: Option<usize>) -> Self {
        Self {
            arguments: ArgumentWriter::new(ArgumentKeeping {
                most_bytes: most_argv_bytes,
                effort: Effort::Tight,
            }),
            effort: Effort::Usual,
            ..Self::default()
        }
    }

    /// Adds the events of a batch; batches come in order of arrival, and those without events are not needed.
    pub fn push(&mut self, slice: u32, batch: i64, received_ms: i64, events: &[Event]) {
        let place = BatchPlace {
            slice,
            id: batch,
            received_ms,
        };
        let mut recent = RecentLives::default();
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let (words, arguments) = (&mut self.words, &mut self.arguments);
            let life = event.life.as_ref();
            rows.push(life.map(|life| recent.row(life, words, arguments)));
        }
        self.batch(place, events.iter().zip(rows));
    }

    /// Adds a batch: each event with the row of its life, in numbers of this segment.
    pub(super) fn batch<'a>(
        &mut self,
        place: BatchPlace,
        events: impl ExactSizeIterator<Item = (&'a Event, Option<LifeRow>)>,
    ) {
        use column::batch as id;
        if events.len() == 0 {
            return;
        }
        if self.open.rows.len() >= BLOCK_LIVES || self.open.events.rows >= BLOCK_EVENTS {
            self.end_block();
        }
        let here = (place.slice, place.id);
        self.places = Some(self.places.map_or((here, here), |(first, _)| (first, here)));
        if self.open.first.is_none() {
            self.open.first = Some(place);
            self.open.arguments_before = self.arguments_known;
        }
        let open = &mut self.open;
        let last = std::mem::replace(&mut open.last, place);
        open.batches.put(id::EVENTS, events.len() as u64);
        open.batches
            .put_signed(id::SLICE, i64::from(place.slice) - i64::from(last.slice));
        let before = if last.slice == place.slice {
            last.id
        } else {
            0
        };
        open.batches
            .put_signed(id::ID, place.id.wrapping_sub(before));
        let later_ms = place.received_ms.wrapping_sub(last.received_ms);
        open.batches.put_signed(id::RECEIVED_MS, later_ms);
        open.batches.rows += 1;
        for (event, row) in events {
            self.event(event, row);
        }
    }

    fn event(&mut self, event: &Event, row: Option<LifeRow>) {
        use column::event as id;
        let started_ns = row.and_then(|row| row.started_ns());
        let (life, row) = match row {
            Some(row) => self.life(row, event.ts_ns),
            None => (0, None),
        };
        let (open, words) = (&mut self.open, &mut self.words);
        let sampled = if event.sampled { id::SAMPLED } else { 0 };
        open.events
            .put(id::KIND, u64::from(event.kind.number()) + sampled);
        let later_ns = event.ts_ns.wrapping_sub(open.last_ns);
        open.events.put_signed(id::TS_NS, later_ns);
        open.last_ns = event.ts_ns;
        open.events.put(id::LIFE, life);
        open.events.rows += 1;
        match &event.kind {
            EventKind::Fork | EventKind::Exec => {}
            EventKind::Exit(exit) => {
                open.exits.push(exit, words);
                if let Some(row) = row {
                    open.open_rows.remove(row);
                }
            }
            EventKind::SlowIo(io) => write_slow_io(&mut open.slow_io, words, io),
            EventKind::Loss(loss) => write_loss(&mut open.losses, words, loss),
            EventKind::Oom(oom) => write_oom(&mut open.ooms, words, oom),
        }
        open.ranges.note(event, started_ns);
        self.count += 1;
        self.kinds |= KindSet::EMPTY.with(&event.kind).0;
        widen(&mut self.range_ms, event.ts_ns.div_euclid(1_000_000));
    }

    /// The reference to a life, and its row.
    fn life(&mut self, row: LifeRow, around_ns: i64) -> (u64, Option<u32>) {
        let open = &mut self.open;
        let known = row.id().and_then(|id| open.newest.get(&id)).copied();
        if let Some(number) = known
            && open.rows[number as usize] == row
            && let Some(rank) = open.open_rows.rank(number)
        {
            return (rank as u64 + 2, Some(number));
        }
        let number = open.rows.len() as u32;
        let prior = known.map_or(0, |known| number - known);
        if let Some(name) = row.name_word() {
            let name = name as usize;
            if self.names.len() <= name {
                self.names.resize(name + 1, false);
            }
            self.names[name] = true;
        }
        if let Some(id) = row.id() {
            open.newest.insert(id, number);
        }
        write_row(
            &mut open.lives,
            &mut open.rows,
            row,
            prior as usize,
            Some(around_ns),
            &mut self.arguments_known,
        );
        open.open_rows.add(number, prior);
        (1, Some(number))
    }

    fn end_block(&mut self) {
        use column::index as id;
        let open = &mut self.open;
        let Some(first) = open.first else { return };
        let events = open.events.rows;
        let mut tables: [Vec<u8>; table::COUNT] = Default::default();
        let blocks = [
            (table::BATCHES, &mut open.batches),
            (table::EVENTS, &mut open.events),
            (table::LIVES, &mut open.lives),
            (table::EXITS, open.exits.block()),
            (table::SLOW_IO, &mut open.slow_io),
            (table::LOSSES, &mut open.losses),
            (table::OOMS, &mut open.ooms),
        ];
        for (number, block) in blocks {
            if block.rows > 0 {
                block.finish(self.effort, &mut tables[number]);
            }
        }
        let before = self.blocks.len();
        put(&mut self.blocks, tables.len() as u64);
        for table in &tables {
            put(&mut self.blocks, table.len() as u64);
        }
        for table in &tables {
            self.blocks.extend_from_slice(table);
        }
        let bytes = self.blocks.len() - before;
        let index = &mut self.index;
        index.put(id::EVENTS, events as u64);
        index.put(id::BYTES, bytes as u64);
        index.put(id::FIRST_SLICE, u64::from(first.slice));
        index.put(id::LAST_SLICE, u64::from(open.last.slice));
        index.put_signed(id::FIRST_BATCH, first.id);
        index.put_signed(id::LAST_BATCH, open.last.id);
        index.put(id::ARGUMENTS, u64::from(open.arguments_before));
        open.ranges.write(index);
        index.rows += 1;
        open.clear();
    }

    /// About as much memory as it takes.
    pub fn bytes(&self) -> usize {
        let open = &self.open;
        let tables = [&open.events, &open.lives, &open.batches];
        let pending: usize = tables.iter().map(|block| block.bytes()).sum();
        self.words.bytes() + self.arguments.bytes() + self.blocks.len() + pending
    }

    /// The segment, empty when there is no event, and what its row says of it.
    pub fn finish(mut self) -> (Vec<u8>, EventSummary) {
        self.end_block();
        let summary = EventSummary {
            count: self.count,
            kinds: self.kinds,
            range_ms: self.range_ms,
            places: self.places,
        };
        if self.count == 0 {
            return (Vec::new(), summary);
        }
        let mut index = Vec::new();
        self.index.finish(self.effort, &mut index);
        let mut names = Vec::new();
        let numbers = self.names.iter().enumerate();
        for (number, _) in numbers.filter(|(_, is_name)| **is_name) {
            put(&mut names, number as u64);
        }
        let (directory, chunks) = self.arguments.finish();
        let sections = vec![
            (section::WORDS, Content::Plain(self.words.finish())),
            (section::ARGUMENTS, Content::Plain(directory)),
            (section::ARGUMENT_CHUNKS, Content::Frames(chunks)),
            (section::INDEX, Content::Frames(index)),
            (section::BLOCKS, Content::Frames(self.blocks)),
            (section::NAMES, Content::Plain(names)),
        ];
        (pack(MAGIC, VERSION, sections), summary)
    }
}

/// The lives that the last events of a batch were about: an exit is mostly about the same as the exec before.
#[derive(Debug, Default)]
struct RecentLives<'a>(Vec<(&'a Arc<Life>, LifeRow)>);

impl<'a> RecentLives<'a> {
    const LOOKED_AT: usize = 16;

    fn row(
        &mut self,
        life: &'a Arc<Life>,
        words: &mut WordWriter,
        arguments: &mut ArgumentWriter,
    ) -> LifeRow {
        let recent = self.0.iter().rev().take(Self::LOOKED_AT);
        for (known, row) in recent {
            if Arc::ptr_eq(known, life) {
                return *row;
            }
        }
        let row = LifeRow::new(life, words, arguments);
        self.0.push((life, row));
        row
    }
}

impl Ranges {
    fn note(&mut self, event: &Event, started_ns: Option<i64>) {
        self.kinds |= KindSet::EMPTY.with(&event.kind).0;
        widen(&mut self.ms, event.ts_ns.div_euclid(1_000_000));
        let EventKind::Exit(exit) = &event.kind else {
            return;
        };
        if let Some(code) = exit.code {
            widen(&mut self.code, code);
        }
        if let Some(signal) = exit.signal {
            widen(&mut self.signal, signal);
        }
        if let Some(started_ns) = started_ns {
            let lived_ms = event.ts_ns.saturating_sub(started_ns) / 1_000_000;
            self.longest_ms = self.longest_ms.max(lived_ms);
        }
    }

    fn write(&self, index: &mut BlockWriter) {
        use column::index as id;
        let (first_ms, last_ms) = self.ms.unwrap_or((0, 0));
        index.put(id::KINDS, u64::from(self.kinds));
        index.put_signed(id::FIRST_MS, first_ms);
        index.put_signed(id::LAST_MS, last_ms);
        let ends = |range: Option<(u32, u32)>| {
            range.map_or((0, 0), |(low, high)| {
                (u64::from(low) + 1, u64::from(high) + 1)
            })
        };
        let (code, signal) = (ends(self.code), ends(self.signal));
        index.put(id::LOWEST_CODE, code.0);
        index.put(id::HIGHEST_CODE, code.1);
        index.put(id::LOWEST_SIGNAL, signal.0);
        index.put(id::HIGHEST_SIGNAL, signal.1);
        index.put(id::LONGEST_MS, self.longest_ms as u64);
    }
}
