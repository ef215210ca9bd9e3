//! A part as bytes: processes are added in their order, and each group is compressed as soon as it is full.

use std::sync::Arc;

use procmon_common::columns::{COLUMN_COUNT, COLUMNS};

use super::rows::RowBuffer;
use super::share::{self, SHARE, ShareState};
use super::{Interval, MAGIC, VERSION, column, higher, interval, section, totals};
use crate::batch::{Life, Totals};
use crate::store::format::bytes::{put, put_signed};
use crate::store::segment::block::BlockWriter;
use crate::store::segment::container::{Content, Effort, pack, shrink_numbers};
use crate::store::segment::life::{LifeRow, write_row};
use crate::store::segment::strings::{ArgumentKeeping, ArgumentWriter, WordWriter};

/// Changed rows of a group: enough to compress well, few enough to read one process quickly.
const GROUP_ROWS: u32 = 4096;

/// A process to be written.
pub(super) struct ProcessEntry<'a> {
    /// What it was, each from a sample on; one at least.
    pub(super) lives: &'a [(u32, Arc<Life>)],
    /// Samples that it was in: from this one to before `end`.
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) rows: &'a RowBuffer,
    pub(super) ports: &'a [(u32, Option<Arc<[u16]>>)],
}

#[derive(Default)]
struct Group {
    processes: u64,
    rows: u32,
    gaps: Vec<u8>,
    columns: [Vec<u8>; COLUMN_COUNT],
    changed: [bool; COLUMN_COUNT],
    highest: [u64; COLUMN_COUNT],
}

pub(super) struct PartWriter {
    effort: Effort,
    samples: u32,
    sample_ms: Vec<i64>,
    times: BlockWriter,
    processes: BlockWriter,
    process_count: u32,
    lives: BlockWriter,
    life_rows: Vec<LifeRow>,
    words: WordWriter,
    arguments: ArgumentWriter,
    arguments_known: u32,
    group: Group,
    groups: BlockWriter,
    frames: Vec<u8>,
    ports: BlockWriter,
    short_lived: BlockWriter,
    latencies: BlockWriter,
    /// Lowest and highest value of each column, + 1; 0 for none.
    ranges: [(u64, u64); COLUMN_COUNT],
}

impl PartWriter {
    pub(super) fn new(sample_ms: &[i64], all_totals: &[Option<Totals>], effort: Effort) -> Self {
        Self {
            effort,
            samples: sample_ms.len() as u32,
            sample_ms: sample_ms.to_vec(),
            times: totals::write(sample_ms, all_totals),
            processes: BlockWriter::default(),
            process_count: 0,
            lives: BlockWriter::default(),
            life_rows: Vec::new(),
            words: WordWriter::default(),
            arguments: ArgumentWriter::new(ArgumentKeeping {
                most_bytes: None,
                effort,
            }),
            arguments_known: 0,
            group: Group::default(),
            groups: BlockWriter::default(),
            frames: Vec::new(),
            ports: BlockWriter::default(),
            short_lived: BlockWriter::default(),
            latencies: BlockWriter::default(),
            ranges: [(0, 0); COLUMN_COUNT],
        }
    }

    /// Adds a process; they come in the order of `super::order_of`.
    pub(super) fn process(&mut self, process: &ProcessEntry<'_>) {
        use column::process as id;
        let beyond = |since: u32| since > process.first && since >= process.end;
        let lives = process.lives.iter().enumerate();
        // What it became after its last sample is only of use where it goes on.
        let lives: Vec<_> = lives
            .filter(|(index, (since, _))| {
                *index == 0 || process.end >= self.samples || !beyond(*since)
            })
            .map(|(_, life)| life)
            .collect();
        self.processes
            .put(id::MORE_LIVES, lives.len().saturating_sub(1) as u64);
        self.processes.put(id::FIRST, u64::from(process.first));
        let after = self.samples.saturating_sub(process.end);
        self.processes.put(id::AFTER, u64::from(after));
        self.processes.put(id::ROWS, u64::from(process.rows.count));
        self.processes.rows += 1;
        let mut before = process.first;
        for (index, (since, life)) in lives.into_iter().enumerate() {
            if index > 0 {
                let since = (*since).max(before);
                self.processes.put(id::SINCE, u64::from(since - before));
                before = since;
            }
            self.life(life, usize::from(index > 0));
        }
        self.rows(process);
        for (sample, ports) in process.ports {
            self.ports(*sample, ports.as_deref());
        }
        self.process_count += 1;
    }

    fn life(&mut self, life: &Life, prior: usize) {
        let row = LifeRow::new(life, &mut self.words, &mut self.arguments);
        write_row(
            &mut self.lives,
            &mut self.life_rows,
            row,
            prior,
            None,
            &mut self.arguments_known,
        );
    }

    fn rows(&mut self, process: &ProcessEntry<'_>) {
        if self.group.processes > 0 && self.group.rows + process.rows.count > GROUP_ROWS {
            self.end_group();
        }
        let group = &mut self.group;
        group.processes += 1;
        group.rows += process.rows.count;
        let mut next = process.first;
        let mut values = [0_u64; COLUMN_COUNT];
        let mut state = ShareState::default();
        for row in process.rows.iter() {
            put(&mut group.gaps, u64::from(row.sample.saturating_sub(next)));
            next = row.sample + 1;
            let interval_ms = share::interval_ms(&self.sample_ms, row.sample);
            let coded_share = state.code(&row.deltas, interval_ms);
            for (column, delta) in row.deltas.iter().enumerate() {
                let coded = if column == SHARE { coded_share } else { *delta };
                put_signed(&mut group.columns[column], coded);
                group.changed[column] |= coded != 0;
                if *delta == 0 {
                    continue;
                }
                let value = values[column].wrapping_add_signed(*delta);
                values[column] = value;
                group.highest[column] = higher(group.highest[column], value);
                let (lowest, highest) = &mut self.ranges[column];
                *highest = higher(*highest, value);
                if value != 0 && (*lowest == 0 || value < *lowest) {
                    *lowest = value;
                }
            }
        }
        if self.group.rows >= GROUP_ROWS {
            self.end_group();
        }
    }

    fn end_group(&mut self) {
        use column::group as id;
        let group = std::mem::take(&mut self.group);
        self.groups.put(id::PROCESSES, group.processes);
        self.groups.put(id::ROWS, u64::from(group.rows));
        let before = self.frames.len();
        let gaps = self.frame(&group.gaps);
        self.groups.put(id::GAPS, gaps);
        for (index, column) in COLUMNS.iter().enumerate() {
            let number = u64::from(column.id());
            let size = if group.changed[index] {
                self.frame(&group.columns[index])
            } else {
                0
            };
            self.groups.put(id::FIRST_SIZE + number, size);
            self.groups
                .put(id::FIRST_MAX + number, group.highest[index]);
        }
        let bytes = self.frames.len() - before;
        self.groups.put(id::BYTES, bytes as u64);
        self.groups.rows += 1;
    }

    /// Stores a frame; returns its length, and in the lowest two bits its encoding.
    fn frame(&mut self, plain: &[u8]) -> u64 {
        let (encoding, shrunk) = shrink_numbers(plain, self.effort);
        let stored = shrunk.as_deref().unwrap_or(plain);
        self.frames.extend_from_slice(stored);
        (stored.len() as u64) << 2 | encoding
    }

    fn ports(&mut self, sample: u32, ports: Option<&[u16]>) {
        use column::ports as id;
        self.ports.put(id::PROCESS, u64::from(self.process_count));
        self.ports.put(id::SAMPLE, u64::from(sample));
        let count = ports.map_or(0, |ports| ports.len() as u64 + 1);
        self.ports.put(id::COUNT, count);
        for port in ports.unwrap_or_default() {
            self.ports.put(id::PORT, u64::from(*port));
        }
        self.ports.rows += 1;
    }

    /// Adds what samples say beyond the processes, in order.
    pub(super) fn intervals(&mut self, all: impl Iterator<Item = Interval>) {
        let (mut short_lived_at, mut latency_at) = (0, 0);
        for each in all {
            match each {
                Interval::ShortLived(sample, group) => {
                    let since = sample.wrapping_sub(short_lived_at);
                    short_lived_at = sample;
                    interval::write_short_lived(
                        &mut self.short_lived,
                        &mut self.words,
                        since,
                        &group,
                    );
                }
                Interval::BlockLatency(sample, latency, issuer) => {
                    let since = sample.wrapping_sub(latency_at);
                    latency_at = sample;
                    interval::write_block_latency(
                        &mut self.latencies,
                        &mut self.words,
                        since,
                        &latency,
                        issuer,
                    );
                }
            }
        }
    }

    fn write_ranges(&self) -> BlockWriter {
        use column::ranges as id;
        let mut block = BlockWriter::default();
        for (column, (lowest, highest)) in COLUMNS.iter().zip(self.ranges) {
            if highest > 0 {
                block.put(id::COLUMN, u64::from(column.id()));
                block.put(id::LOWEST, lowest);
                block.put(id::HIGHEST, highest);
                block.rows += 1;
            }
        }
        block
    }

    pub(super) fn finish(mut self, carry: Option<&[u8]>) -> Vec<u8> {
        if self.group.processes > 0 {
            self.end_group();
        }
        let ranges = self.write_ranges();
        let blocks = [
            (section::TIMES, self.times),
            (section::PROCESSES, self.processes),
            (section::LIVES, self.lives),
            (section::GROUPS, self.groups),
            (section::PORTS, self.ports),
            (section::SHORT_LIVED, self.short_lived),
            (section::BLOCK_LATENCY, self.latencies),
            (section::RANGES, ranges),
        ];
        let mut sections = Vec::new();
        for (id, mut block) in blocks {
            if block.rows > 0 {
                let mut bytes = Vec::new();
                block.finish(self.effort, &mut bytes);
                sections.push((id, Content::Frames(bytes)));
            }
        }
        let (directory, chunks) = self.arguments.finish();
        sections.push((section::WORDS, Content::Plain(self.words.finish())));
        sections.push((section::ARGUMENTS, Content::Plain(directory)));
        sections.push((section::ARGUMENT_CHUNKS, Content::Frames(chunks)));
        sections.push((section::FRAMES, Content::Frames(self.frames)));
        if let Some(carry) = carry {
            sections.push((section::CARRY, Content::Plain(carry.to_vec())));
        }
        pack(MAGIC, VERSION, sections)
    }
}
