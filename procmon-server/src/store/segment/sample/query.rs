//! What a query asks of a segment: the groups of other processes, and the columns that nobody asked for, stay compressed.

use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column};

use super::read::{Part, PortChange, ProcessHead, Texts};
use super::{Interval, split_parts};
use crate::batch::{BlockLatency, Life, Totals};
use crate::store::history::{HostSamples, LifeFilter, LifeSamples, SampleQuery, UNKNOWN};
use crate::store::segment::SegmentError;
use crate::store::segment::block::Values;

/// The samples of a segment that a query asks for.
pub fn decode_samples(segment: &[u8], query: &SampleQuery) -> Result<HostSamples, SegmentError> {
    let mut all = HostSamples::default();
    for part in split_parts(segment)? {
        all.append(decode_part(&Part::open(part)?, query)?);
    }
    Ok(all)
}

/// What the host had and used as a whole, per sample in a stretch of time (from and until, exclusive).
pub fn decode_totals(
    segment: &[u8],
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<(i64, Totals)>, SegmentError> {
    let mut all = Vec::new();
    for part in split_parts(segment)? {
        let part = Part::open(part)?;
        let samples = part.sample_ms.iter().zip(part.totals()?);
        all.extend(samples.filter_map(|(sample_ms, totals)| {
            let within = (from_ms..to_ms).contains(sample_ms);
            totals.filter(|_| within).map(|totals| (*sample_ms, totals))
        }));
    }
    Ok(all)
}

/// A histogram of block requests as a sample told it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentLatency {
    pub sample_ms: i64,
    /// Its handle means nothing any more where it names an issuer.
    pub latency: BlockLatency,
    pub issuer: Option<Arc<Life>>,
}

pub fn decode_block_latencies(segment: &[u8]) -> Result<Vec<SegmentLatency>, SegmentError> {
    let mut all = Vec::new();
    for part in split_parts(segment)? {
        let part = Part::open(part)?;
        let texts = part.texts()?;
        for interval in part.block_latencies(&texts.words)? {
            let Interval::BlockLatency(sample, latency, issuer) = interval else {
                continue;
            };
            let sample_ms = part.sample_ms.get(sample as usize);
            let issuer = match issuer {
                Some(process) => {
                    let head = part.processes.get(process as usize);
                    let head = head.ok_or(SegmentError::Reference)?;
                    Some(part.life(head.life + head.lives - 1, &texts)?)
                }
                None => None,
            };
            all.push(SegmentLatency {
                sample_ms: *sample_ms.ok_or(SegmentError::Reference)?,
                latency,
                issuer,
            });
        }
    }
    Ok(all)
}

/// The samples of a part that lie in the stretch of time, and where each sample is among them.
struct Window {
    sample_ms: Vec<i64>,
    /// By sample: how many before it are in the window. One more than there are samples.
    rank: Vec<u32>,
}

impl Window {
    fn new(part: &Part<'_>, query: &SampleQuery) -> Self {
        let mut window = Self {
            sample_ms: Vec::new(),
            rank: Vec::with_capacity(part.sample_ms.len() + 1),
        };
        for sample_ms in &part.sample_ms {
            window.rank.push(window.sample_ms.len() as u32);
            if (query.from_ms..query.to_ms).contains(sample_ms) {
                window.sample_ms.push(*sample_ms);
            }
        }
        window.rank.push(window.sample_ms.len() as u32);
        window
    }

    fn rank(&self, sample: u32) -> u32 {
        let last = self.rank.last().copied().unwrap_or(0);
        self.rank.get(sample as usize).copied().unwrap_or(last)
    }
}

fn decode_part(part: &Part<'_>, query: &SampleQuery) -> Result<HostSamples, SegmentError> {
    let window = Window::new(part, query);
    if window.sample_ms.is_empty() {
        return Ok(HostSamples::default());
    }
    if query.lives == LifeFilter::None && !query.short_lived {
        return Ok(HostSamples {
            sample_ms: window.sample_ms,
            ..HostSamples::default()
        });
    }
    let texts = part.texts()?;
    let ports = if query.ports {
        part.ports()?
    } else {
        Vec::new()
    };
    let mut lives: Vec<LifeSamples> = Vec::new();
    let mut open = OpenGroup::default();
    for (number, head) in part.processes.iter().enumerate() {
        let (first, end) = (window.rank(head.first), window.rank(head.end));
        let id = part.lives[head.life].id();
        if first >= end || id.is_none_or(|id| !query.lives.takes(id)) {
            continue;
        }
        let mut before = lives_of(part, head, &window, end, &texts)?;
        let (_, life) = before.pop().ok_or(SegmentError::Reference)?;
        let samples = LifeSamples {
            life,
            before,
            first: first as usize,
            last: end as usize - 1,
            columns: open.columns(part, number, &window, query)?,
            ports: ports_of(&ports, number as u32, &window, end),
        };
        match lives.last_mut() {
            // It was away for a time.
            Some(before) if before.life.id == id => before.go_on(samples),
            _ => lives.push(samples),
        }
    }
    lives.sort_by_key(|life| life.first);
    let short_lived = if query.short_lived {
        short_lived(part, &texts, &window)?
    } else {
        Vec::new()
    };
    Ok(HostSamples {
        sample_ms: window.sample_ms,
        lives,
        short_lived,
    })
}

/// What a process was in the samples of the window, each until a sample.
fn lives_of(
    part: &Part<'_>,
    head: &ProcessHead,
    window: &Window,
    end: u32,
    texts: &Texts<'_>,
) -> Result<Vec<(u32, Arc<Life>)>, SegmentError> {
    let first = window.rank(head.first);
    let since = part.since.get(head.life..head.life + head.lives);
    let since = since.unwrap_or_default();
    let mut lives = Vec::new();
    for index in 0..head.lives {
        let next = since.get(index + 1).map(|since| window.rank(*since));
        let until = next.unwrap_or(end).min(end);
        // What it was only before the window, or between two samples, no sample says.
        let from = since.get(index).map_or(first, |since| window.rank(*since));
        if from.max(first) < until || (lives.is_empty() && index + 1 == head.lives) {
            lives.push((until, part.life(head.life + index, texts)?));
        }
    }
    Ok(lives)
}

/// The frames of the group that was read last: its processes come one after the other.
#[derive(Default)]
struct OpenGroup {
    number: Option<usize>,
    gaps: Option<Values>,
    columns: Vec<Values>,
    /// Rows that were read.
    at: usize,
    /// Nothing in it is as high as what is looked for.
    is_low: bool,
}

impl OpenGroup {
    fn columns(
        &mut self,
        part: &Part<'_>,
        process: usize,
        window: &Window,
        query: &SampleQuery,
    ) -> Result<Vec<Vec<(u32, i64)>>, SegmentError> {
        let head = part.processes[process];
        if query.columns.is_empty() {
            return Ok(Vec::new());
        }
        if self.number != Some(head.group) {
            self.open(part, head.group, query)?;
        }
        if self.is_low {
            let first = window.rank(head.first);
            return Ok(vec![vec![(first, 0)]; query.columns.len()]);
        }
        let Some(gaps) = &mut self.gaps else {
            return Ok(vec![Vec::new(); query.columns.len()]);
        };
        let skip = head.skip.saturating_sub(self.at);
        self.at = head.skip + head.rows as usize;
        gaps.skip(skip)?;
        let end = window.rank(head.end);
        let mut ranks = Vec::with_capacity((head.rows as usize).min(4096));
        let mut next = head.first;
        for _ in 0..head.rows {
            let sample = next.wrapping_add(gaps.next()? as u32);
            next = sample.wrapping_add(1);
            ranks.push(window.rank(sample));
        }
        let columns = self.columns.iter_mut();
        columns
            .map(|deltas| {
                if deltas.is_zeros() {
                    return Ok(Vec::new());
                }
                deltas.skip(skip)?;
                changes(deltas, &ranks, end)
            })
            .collect()
    }

    fn open(
        &mut self,
        part: &Part<'_>,
        group: usize,
        query: &SampleQuery,
    ) -> Result<(), SegmentError> {
        self.number = Some(group);
        self.at = 0;
        self.columns.clear();
        self.gaps = None;
        // Of a column of which nothing is known, that is what is told.
        let is_known = |column: &Column| {
            let index = COLUMNS.iter().position(|known| known == column);
            index.is_some_and(|index| part.is_known(group, index))
        };
        let reaching = query.reaching.iter();
        let mut known = reaching.filter(|(column, _)| is_known(column)).peekable();
        self.is_low = known.peek().is_some()
            && !known.any(|(column, value)| part.reaches(group, *column, *value));
        if self.is_low {
            return Ok(());
        }
        let mut any = false;
        for wanted in &query.columns {
            let index = COLUMNS.iter().position(|column| column == wanted);
            let index = index.filter(|index| part.is_known(group, *index));
            any |= index.is_some();
            self.columns.push(match index {
                Some(index) => part.column(group, index)?,
                None => Values::zeros(),
            });
        }
        self.gaps = if any { Some(part.gaps(group)?) } else { None };
        Ok(())
    }
}

/// The values of one process as they change within the window.
fn changes(deltas: &mut Values, ranks: &[u32], end: u32) -> Result<Vec<(u32, i64)>, SegmentError> {
    let mut stored = 0_u64;
    let mut all: Vec<(u32, i64)> = Vec::new();
    for rank in ranks {
        let delta = deltas.signed()?;
        stored = stored.wrapping_add_signed(delta);
        // What changed before the window, or between two of its samples, shows in the next of them.
        if delta == 0 || *rank >= end {
            continue;
        }
        let value = stored.checked_sub(1).map_or(UNKNOWN, |value| value as i64);
        match all.last_mut() {
            Some((at, last)) if at == rank => *last = value,
            _ => all.push((*rank, value)),
        }
    }
    let mut held = UNKNOWN;
    all.retain(|(_, value)| std::mem::replace(&mut held, *value) != *value);
    Ok(all)
}

fn ports_of(all: &[PortChange], process: u32, window: &Window, end: u32) -> Vec<(u32, Arc<[u16]>)> {
    let from = all.partition_point(|(number, ..)| *number < process);
    let own = all[from..].iter().take_while(|(it, ..)| *it == process);
    let mut changes: Vec<(u32, Arc<[u16]>)> = Vec::new();
    for (_, sample, ports) in own {
        let rank = window.rank(*sample);
        // A new list that does not name it says that it has none.
        let ports = ports.clone().unwrap_or_default();
        if rank >= end {
            break;
        }
        match changes.last_mut() {
            Some((at, last)) if *at == rank => *last = ports,
            _ => changes.push((rank, ports)),
        }
    }
    changes.dedup_by(|later, before| later.1 == before.1);
    changes
}

fn short_lived(
    part: &Part<'_>,
    texts: &Texts<'_>,
    window: &Window,
) -> Result<Vec<(u32, crate::batch::ShortLived)>, SegmentError> {
    let all = part.short_lived(&texts.words)?.into_iter();
    let within = all.filter_map(|interval| match interval {
        Interval::ShortLived(sample, group) => {
            let rank = window.rank(sample);
            (rank < window.rank(sample.saturating_add(1))).then_some((rank, group))
        }
        Interval::BlockLatency(..) => None,
    });
    Ok(within.collect())
}
