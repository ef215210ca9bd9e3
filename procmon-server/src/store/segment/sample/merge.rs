//! Several segments of one agent as one: a walk over the processes of all of them in their common order, so that memory
//! holds one group of each and the compressed result.

use std::sync::Arc;

use procmon_common::columns::COLUMN_COUNT;

use super::read::{Part, PortChange, Texts};
use super::rows::RowBuffer;
use super::write::{PartWriter, ProcessEntry};
use super::{Interval, Order, join_parts, order_of, split_parts};
use crate::batch::Life;
use crate::store::segment::SegmentError;
use crate::store::segment::block::Values;
use crate::store::segment::container::Effort;

/// One segment of what several say, given in order of time. What the last one carries is carried on.
pub fn merge_samples(segments: &[Vec<u8>]) -> Result<Vec<u8>, SegmentError> {
    let mut sources = Vec::new();
    let mut offset = 0;
    for segment in segments {
        for part in split_parts(segment)? {
            let source = Source::open(part, offset)?;
            offset += source.part.sample_ms.len() as u32;
            sources.push(source);
        }
    }
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let (mut sample_ms, mut totals) = (Vec::new(), Vec::new());
    for source in &sources {
        sample_ms.extend_from_slice(&source.part.sample_ms);
        totals.extend(source.part.totals()?);
    }
    let mut merger = Merger {
        writer: PartWriter::new(&sample_ms, &totals, Effort::Usual),
        numbers: sources
            .iter()
            .map(|source| vec![0; source.part.processes.len()])
            .collect(),
        written: 0,
        open: None,
    };
    while let Some(order) = sources.iter().filter_map(Source::order).min() {
        for (index, source) in sources.iter_mut().enumerate() {
            while source.order() == Some(order) {
                merger.add(index, source)?;
            }
        }
        merger.end_process();
    }
    let Merger {
        mut writer,
        numbers,
        ..
    } = merger;
    writer.intervals(intervals(&sources, &numbers)?.into_iter());
    let carry = match sources.last() {
        Some(last) => last.carry(numbers.last())?,
        None => None,
    };
    Ok(join_parts(&[writer.finish(carry.as_deref())]))
}

/// A part that is being walked.
struct Source<'a> {
    part: Part<'a>,
    texts: Texts<'a>,
    ports: Vec<PortChange>,
    /// Samples of the parts before.
    offset: u32,
    /// The next process.
    next: usize,
    next_ports: usize,
    group: Option<usize>,
    gaps: Values,
    columns: Vec<Values>,
}

impl<'a> Source<'a> {
    fn open(bytes: &'a [u8], offset: u32) -> Result<Self, SegmentError> {
        let part = Part::open(bytes)?;
        Ok(Self {
            texts: part.texts()?,
            ports: part.ports()?,
            part,
            offset,
            next: 0,
            next_ports: 0,
            group: None,
            gaps: Values::zeros(),
            columns: Vec::new(),
        })
    }

    fn order(&self) -> Option<Order> {
        let head = self.part.processes.get(self.next)?;
        Some(order_of(self.part.lives[head.life].id()))
    }

    fn open_group(&mut self, group: usize) -> Result<(), SegmentError> {
        if self.group == Some(group) {
            return Ok(());
        }
        self.gaps = self.part.gaps(group)?;
        self.columns.clear();
        for column in 0..COLUMN_COUNT {
            self.columns.push(self.part.column(group, column)?);
        }
        self.group = Some(group);
        Ok(())
    }

    /// What is carried, with processes as they are numbered in the result.
    fn carry(&self, numbers: Option<&Vec<u32>>) -> Result<Option<Vec<u8>>, SegmentError> {
        let bytes = self.part.carry_bytes()?;
        let Some(numbers) = numbers.filter(|_| !bytes.is_empty()) else {
            return Ok(None);
        };
        let (mut carried, mut unwritten) = super::carry::decode(&bytes)?;
        let number = |process: u32| {
            let number = numbers.get(process as usize).copied();
            number.ok_or(SegmentError::Reference)
        };
        for (.., process) in &mut carried.handles {
            *process = number(*process)?;
        }
        for each in &mut unwritten {
            each.process = number(each.process)?;
        }
        Ok(Some(super::carry::encode(&carried, &unwritten)))
    }
}

/// A process of the result while its rows are gathered.
struct OpenProcess {
    lives: Vec<(u32, Arc<Life>)>,
    first: u32,
    end: u32,
    /// Value + 1 of each column as last written.
    values: [u64; COLUMN_COUNT],
    rows: RowBuffer,
    ports: Vec<(u32, Option<Arc<[u16]>>)>,
}

struct Merger {
    writer: PartWriter,
    /// By source and process: its number in the result.
    numbers: Vec<Vec<u32>>,
    written: u32,
    open: Option<OpenProcess>,
}

impl Merger {
    /// Takes the next process of a source: it goes on with the one before, or is another.
    fn add(&mut self, index: usize, source: &mut Source<'_>) -> Result<(), SegmentError> {
        let number = source.next;
        source.next += 1;
        let head = source.part.processes[number];
        let first = source.offset + head.first;
        let has_id = source.part.lives[head.life].id().is_some();
        let goes_on = |open: &OpenProcess| has_id && open.end == first;
        if !self.open.as_ref().is_some_and(goes_on) {
            self.end_process();
        }
        self.numbers[index][number] = self.written;
        let open = self.open.get_or_insert_with(|| OpenProcess {
            lives: Vec::new(),
            first,
            end: first,
            values: [0; COLUMN_COUNT],
            rows: RowBuffer::default(),
            ports: Vec::new(),
        });
        open.end = source.offset + head.end;
        for life in head.life..head.life + head.lives {
            let since = source.offset + source.part.since[life];
            let life = source.part.life(life, &source.texts)?;
            if open.lives.last().is_none_or(|(_, known)| *known != life) {
                open.lives.push((since, life));
            }
        }
        open.add_rows(source, number)?;
        open.add_ports(source, number);
        Ok(())
    }

    fn end_process(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.writer.process(&ProcessEntry {
            lives: &open.lives,
            first: open.first,
            end: open.end,
            rows: &open.rows,
            ports: &open.ports,
        });
        self.written += 1;
    }
}

impl OpenProcess {
    fn add_rows(&mut self, source: &mut Source<'_>, number: usize) -> Result<(), SegmentError> {
        let head = source.part.processes[number];
        if head.rows > 0 {
            source.open_group(head.group)?;
        }
        let mut now = [0_u64; COLUMN_COUNT];
        let mut next = head.first;
        for row in 0..head.rows {
            let sample = next.wrapping_add(source.gaps.next()? as u32);
            if sample as usize >= source.part.sample_ms.len() {
                return Err(SegmentError::Lengths);
            }
            next = sample + 1;
            if row == 0 && sample > head.first && head.first < head.end {
                self.write(source.offset + head.first, &now);
            }
            for (value, deltas) in now.iter_mut().zip(&mut source.columns) {
                *value = value.wrapping_add_signed(deltas.signed()?);
            }
            self.write(source.offset + sample, &now);
        }
        if head.rows == 0 && head.first < head.end {
            self.write(source.offset + head.first, &now);
        }
        Ok(())
    }

    /// The values from a sample on, if they are others than before.
    fn write(&mut self, sample: u32, now: &[u64; COLUMN_COUNT]) {
        let mut deltas = [0_i64; COLUMN_COUNT];
        let mut mask = 0_u64;
        for (column, delta) in deltas.iter_mut().enumerate() {
            *delta = now[column].wrapping_sub(self.values[column]) as i64;
            mask |= u64::from(*delta != 0) << column;
        }
        if mask != 0 {
            self.rows.push_deltas(sample, mask, &deltas);
            self.values = *now;
        }
    }

    fn add_ports(&mut self, source: &mut Source<'_>, number: usize) {
        let head = source.part.processes[number];
        let rest = &source.ports[source.next_ports..];
        let passed = rest.partition_point(|(process, ..)| (*process as usize) < number);
        let own = rest[passed..]
            .iter()
            .take_while(|(process, ..)| *process as usize == number);
        let changes: Vec<_> = own
            .map(|(_, sample, ports)| (*sample, ports.clone()))
            .collect();
        source.next_ports += passed + changes.len();
        let restated = changes
            .first()
            .is_some_and(|(sample, _)| *sample == head.first);
        if !restated && head.first < head.end {
            self.write_ports(source.offset + head.first, None);
        }
        for (sample, ports) in changes {
            self.write_ports(source.offset.wrapping_add(sample), ports);
        }
    }

    fn write_ports(&mut self, sample: u32, ports: Option<Arc<[u16]>>) {
        let held = self.ports.last().and_then(|(_, held)| held.as_ref());
        if held != ports.as_ref() {
            self.ports.push((sample, ports));
        }
    }
}

/// What the samples of all parts say beyond the processes, in order of time.
fn intervals(sources: &[Source<'_>], numbers: &[Vec<u32>]) -> Result<Vec<Interval>, SegmentError> {
    let mut all = Vec::new();
    for (source, numbers) in sources.iter().zip(numbers) {
        let words = &source.texts.words;
        let mut own = source.part.short_lived(words)?;
        own.extend(source.part.block_latencies(words)?);
        for interval in own {
            all.push(match interval {
                Interval::ShortLived(sample, group) => {
                    Interval::ShortLived(sample.wrapping_add(source.offset), group)
                }
                Interval::BlockLatency(sample, latency, issuer) => {
                    let issuer = match issuer {
                        Some(process) => {
                            let number = numbers.get(process as usize).copied();
                            Some(number.ok_or(SegmentError::Reference)?)
                        }
                        None => None,
                    };
                    Interval::BlockLatency(sample.wrapping_add(source.offset), latency, issuer)
                }
            });
        }
    }
    Ok(all)
}
