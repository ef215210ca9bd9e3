//! A page of events: blocks that cannot have what a query asks for stay compressed, and of the others only the columns are
//! read that tell whether they have it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::exit;
use super::read::{BatchEvents, BlockHead, EventIndex};
use super::table;
use crate::batch::{Event, EventKind};
use crate::store::history::LifeFilter;
use crate::store::read::has_part;
use crate::store::segment::SegmentError;
use crate::store::segment::life::LifeRow;
use crate::store::segment::life_scan;
use crate::store::{EventQuery, StoredEvents};

/// Which batches of a segment.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub query: &'a EventQuery,
    /// Slice and row of the first and last one.
    pub range: RangeInclusive<(u32, i64)>,
    pub newest_first: bool,
    /// Batches at most.
    pub limit: usize,
    /// What was received before is no longer shown.
    pub kept_since_ms: i64,
}

/// What exits must have.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitBounds {
    pub code: Option<u32>,
    pub signal: Option<u32>,
    pub min_lived_ms: Option<u64>,
}

/// What was found, and what it took.
#[derive(Debug, Default)]
pub struct FoundEvents {
    pub batches: Vec<StoredEvents>,
    /// Blocks of which some columns were read, and those that were decoded.
    pub scanned: u64,
    pub decoded: u64,
}

impl ExitBounds {
    pub fn any(self) -> bool {
        self.code.is_some() || self.signal.is_some() || self.min_lived_ms.is_some()
    }

    fn may_be_in(&self, head: &BlockHead) -> bool {
        let within = |(lowest, highest): (u64, u64), wanted: Option<u32>| {
            wanted.is_none_or(|wanted| (lowest..=highest).contains(&(u64::from(wanted) + 1)))
        };
        within(head.code, self.code)
            && within(head.signal, self.signal)
            && self
                .min_lived_ms
                .is_none_or(|wanted| head.longest_ms >= wanted)
    }

    /// Whether an event has it.
    pub(in crate::store) fn take(self, event: &Event) -> bool {
        let started_ns = event.life.as_ref().and_then(|life| life.started_ns);
        self.take_started(event, started_ns)
    }

    fn take_started(self, event: &Event, started_ns: Option<i64>) -> bool {
        if !self.any() {
            return true;
        }
        let EventKind::Exit(exit) = &event.kind else {
            return false;
        };
        self.code.is_none_or(|code| exit.code == Some(code))
            && self.signal.is_none_or(|signal| exit.signal == Some(signal))
            && self.min_lived_ms.is_none_or(|wanted| {
                let lived_ns = started_ns.map(|started| event.ts_ns.saturating_sub(started).max(0));
                lived_ns.is_some_and(|lived_ns| lived_ns as u64 / 1_000_000 >= wanted)
            })
    }
}

/// Batches with an event that has what is wanted, in the wanted time; all events of such a batch, as the log gives them.
pub fn decode_events(
    segment: &[u8],
    agent_id: &Arc<str>,
    wanted: &Wanted<'_>,
) -> Result<FoundEvents, SegmentError> {
    let index = EventIndex::open(segment)?;
    let mut heads = index.blocks.clone();
    heads.retain(|head| may_have(head, wanted));
    if wanted.newest_first {
        heads.reverse();
    }
    if heads.is_empty() {
        return Ok(FoundEvents::default());
    }
    let names = match &wanted.query.name_part {
        Some(part) => Some(names_with(&index, part)?),
        None => None,
    };
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Ok(FoundEvents::default());
    }
    decode_blocks(&index, &heads, agent_id, wanted, names.as_deref())
}

fn decode_blocks(
    index: &EventIndex<'_>,
    heads: &[BlockHead],
    agent_id: &Arc<str>,
    wanted: &Wanted<'_>,
    names: Option<&[bool]>,
) -> Result<FoundEvents, SegmentError> {
    let mut found = FoundEvents::default();
    let mut opened = None;
    for head in heads {
        found.scanned += 1;
        if !columns_may_have(index, head, wanted.query, names)? {
            continue;
        }
        found.decoded += 1;
        let segment = match &opened {
            Some(segment) => segment,
            None => opened.insert(index.segment()?),
        };
        let mut batches =
            segment.block_where(head, |batch, rows| is_wanted(batch, rows, wanted, names))?;
        if wanted.newest_first {
            batches.reverse();
        }
        let batches = batches.into_iter().map(|batch| StoredEvents {
            slice: batch.slice,
            batch: batch.batch,
            agent_id: Arc::clone(agent_id),
            received_ms: batch.received_ms,
            events: batch.events,
        });
        found.batches.extend(batches);
        if found.batches.len() >= wanted.limit {
            found.batches.truncate(wanted.limit);
            break;
        }
    }
    Ok(found)
}

/// By the index alone.
fn may_have(head: &BlockHead, wanted: &Wanted<'_>) -> bool {
    let query = wanted.query;
    head.first <= *wanted.range.end()
        && head.last >= *wanted.range.start()
        && (query.kinds == 0 || query.kinds & head.kinds != 0)
        && query.since_ms.is_none_or(|since| head.last_ms >= since)
        && query.until_ms.is_none_or(|until| head.first_ms <= until)
        && query.exits.may_be_in(head)
}

/// By the columns of a block that are cheap to read: exit codes and signals, pids, and names by number.
fn columns_may_have(
    index: &EventIndex<'_>,
    head: &BlockHead,
    query: &EventQuery,
    names: Option<&[bool]>,
) -> Result<bool, SegmentError> {
    let tables = index.tables(head)?;
    let (code, signal) = (query.exits.code, query.exits.signal);
    if (code.is_some() || signal.is_some())
        && !exit::has_exit(&tables.block(table::EXITS)?, code, signal)?
    {
        return Ok(false);
    }
    let lives = tables.block(table::LIVES)?;
    if let Some(pid) = query.lives.and_then(LifeFilter::pid)
        && !life_scan::has_pid(&lives, pid)?
    {
        return Ok(false);
    }
    match names {
        Some(names) => life_scan::has_name(&lives, names),
        None => Ok(true),
    }
}

/// Which words are names that have a part; empty when none is.
fn names_with(index: &EventIndex<'_>, part: &str) -> Result<Vec<bool>, SegmentError> {
    let (words, names) = index.names()?;
    let part = part.to_lowercase();
    let mut wanted = Vec::new();
    for number in names {
        if has_part(words.bytes(number)?, &part) {
            // The word is there, so its number is one of few.
            let number = number as usize;
            if wanted.len() <= number {
                wanted.resize(number + 1, false);
            }
            wanted[number] = true;
        }
    }
    Ok(wanted)
}

fn is_wanted(
    batch: &BatchEvents,
    rows: &[Option<LifeRow>],
    wanted: &Wanted<'_>,
    names: Option<&[bool]>,
) -> bool {
    let query = wanted.query;
    let ms = batch
        .events
        .iter()
        .map(|event| event.ts_ns.div_euclid(1_000_000));
    let has_name = |row: Option<&LifeRow>| {
        names.is_none_or(|names| {
            let word = row.and_then(LifeRow::name_word);
            word.is_some_and(|word| names.get(word as usize) == Some(&true))
        })
    };
    let lives = |row: Option<&LifeRow>| {
        query.lives.is_none_or(|lives| {
            let id = row.and_then(LifeRow::id);
            id.is_some_and(|id| lives.takes(id))
        })
    };
    let takes = |event: &Event, row: Option<&LifeRow>| {
        let started_ns = row.and_then(LifeRow::started_ns);
        (query.kinds == 0 || query.kinds & 1 << event.kind.number() != 0)
            && query.exits.take_started(event, started_ns)
            && lives(row)
            && has_name(row)
    };
    wanted.range.contains(&(batch.slice, batch.batch))
        && batch.received_ms >= wanted.kept_since_ms
        && query
            .since_ms
            .is_none_or(|since| ms.clone().max().is_some_and(|last| last >= since))
        && query
            .until_ms
            .is_none_or(|until| ms.min().is_some_and(|first| first <= until))
        && batch
            .events
            .iter()
            .zip(rows)
            .any(|(event, row)| takes(event, row.as_ref()))
}
