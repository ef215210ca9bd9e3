//! What completed and ended between two samples.

use super::Interval;
use crate::batch::{BUCKETS, BlockLatency, BlockSource, Histogram, Operation, ShortLived};
use crate::store::format::column;
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, BlockWriter, Values};
use crate::store::segment::strings::{WordWriter, Words};

/// Samples since the row before; beside the columns of stored batches.
const SINCE: u64 = 100;
const SHORT_LIVED_COLUMNS: u64 = column::short_lived::MAJOR_FAULTS;
const LATENCY_COLUMNS: u64 = column::block_latency::FIRST_BUCKET - 1 + BUCKETS as u64;

pub(super) fn write_short_lived(
    block: &mut BlockWriter,
    words: &mut WordWriter,
    since: u32,
    group: &ShortLived,
) {
    use column::short_lived as id;
    let mut word = |word: Option<&[u8]>| word.map_or(0, |word| u64::from(words.number(word)) + 1);
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::as_bytes).map(<[u8]>::to_vec);
    block.put(SINCE, u64::from(since));
    block.put(id::LIVES, u64::from(group.lives));
    block.put(id::NAME, word(group.name.as_deref()));
    block.put(id::UID, group.uid.map_or(0, |uid| u64::from(uid) + 1));
    block.put(id::USERNAME, word(text(&group.username).as_deref()));
    block.put(id::CGROUP, word(text(&group.cgroup).as_deref()));
    block.put(id::CONTAINER, word(text(&group.container_id).as_deref()));
    block.put(id::CPU_TIME_NS, group.cpu_time_ns);
    block.put(id::READ_BYTES, group.read_bytes);
    block.put(id::WRITE_BYTES, group.write_bytes);
    block.put(id::MINOR_FAULTS, group.minor_faults);
    block.put(id::MAJOR_FAULTS, group.major_faults);
    block.rows += 1;
}

pub(super) fn read_short_lived(
    block: &Block<'_>,
    words: &Words,
) -> Result<Vec<Interval>, SegmentError> {
    use column::short_lived as id;
    if block.rows == 0 {
        return Ok(Vec::new());
    }
    block.require_rows(SINCE)?;
    let mut since = block.column(SINCE)?;
    let mut columns = columns(block, SHORT_LIVED_COLUMNS)?;
    let mut all = Vec::with_capacity(block.rows);
    let mut sample = 0_u32;
    for _ in 0..block.rows {
        sample = sample.wrapping_add(since.next()? as u32);
        let mut next = |id: u64| columns[id as usize - 1].next();
        let (lives, name, uid) = (next(id::LIVES)?, next(id::NAME)?, next(id::UID)?);
        let mut text = |id: u64| word_text(words, next(id)?);
        let (username, cgroup, container_id) =
            (text(id::USERNAME)?, text(id::CGROUP)?, text(id::CONTAINER)?);
        let name = word(words, name)?.map(Box::from);
        let group = ShortLived {
            name,
            uid: uid.checked_sub(1).map(|uid| uid as u32),
            username,
            cgroup,
            container_id,
            lives: lives as u32,
            cpu_time_ns: next(id::CPU_TIME_NS)?,
            read_bytes: next(id::READ_BYTES)?,
            write_bytes: next(id::WRITE_BYTES)?,
            minor_faults: next(id::MINOR_FAULTS)?,
            major_faults: next(id::MAJOR_FAULTS)?,
        };
        all.push(Interval::ShortLived(sample, group));
    }
    Ok(all)
}

pub(super) fn write_block_latency(
    block: &mut BlockWriter,
    words: &mut WordWriter,
    since: u32,
    latency: &BlockLatency,
    issuer: Option<u32>,
) {
    use column::block_latency as id;
    let (source, device) = match &latency.of {
        BlockSource::Device { major, minor, name } => (0, Some((*major, *minor, name))),
        BlockSource::Issuer(_) => (1, None),
        BlockSource::Writeback => (2, None),
    };
    block.put(SINCE, u64::from(since));
    block.put(id::SOURCE, source);
    let (major, minor) = device.map_or((0, 0), |(major, minor, _)| (major, minor));
    block.put(id::MAJOR, u64::from(major));
    block.put(id::MINOR, u64::from(minor));
    let name = device.map_or(0, |(.., name)| words.number(name.as_bytes()));
    block.put(id::NAME, u64::from(name));
    // The number of a process + 1 stands where a stored batch has a handle.
    block.put(
        id::ISSUER,
        issuer.map_or(0, |process| u64::from(process) + 1),
    );
    block.put(id::OPERATION, latency.operation as u64);
    block.put(id::BYTES, latency.histogram.bytes);
    block.put(id::LATENCY_SUM_NS, latency.histogram.latency_sum_ns);
    for (id, bucket) in (id::FIRST_BUCKET..).zip(latency.histogram.buckets) {
        block.put(id, bucket);
    }
    block.rows += 1;
}

pub(super) fn read_block_latency(
    block: &Block<'_>,
    words: &Words,
) -> Result<Vec<Interval>, SegmentError> {
    use column::block_latency as id;
    if block.rows == 0 {
        return Ok(Vec::new());
    }
    block.require_rows(SINCE)?;
    let mut since = block.column(SINCE)?;
    let mut columns = columns(block, LATENCY_COLUMNS)?;
    let mut all = Vec::with_capacity(block.rows);
    let mut sample = 0_u32;
    for _ in 0..block.rows {
        sample = sample.wrapping_add(since.next()? as u32);
        let mut next = |id: u64| columns[id as usize - 1].next();
        let (source, major, minor) = (next(id::SOURCE)?, next(id::MAJOR)?, next(id::MINOR)?);
        let (name, issuer) = (next(id::NAME)?, next(id::ISSUER)?);
        let operation = Operation::from_number(next(id::OPERATION)?);
        let mut histogram = Histogram {
            bytes: next(id::BYTES)?,
            latency_sum_ns: next(id::LATENCY_SUM_NS)?,
            ..Histogram::default()
        };
        for (number, bucket) in (id::FIRST_BUCKET..).zip(&mut histogram.buckets) {
            *bucket = next(number)?;
        }
        let of = match source {
            0 => BlockSource::Device {
                major: major as u32,
                minor: minor as u32,
                name: words.text(name as u32)?,
            },
            1 => BlockSource::Issuer(0),
            2 => BlockSource::Writeback,
            _ => continue,
        };
        let latency = BlockLatency {
            of,
            operation,
            histogram,
        };
        let issuer = issuer.checked_sub(1).map(|process| process as u32);
        all.push(Interval::BlockLatency(sample, latency, issuer));
    }
    Ok(all)
}

fn columns(block: &Block<'_>, count: u64) -> Result<Vec<Values>, SegmentError> {
    (1..=count).map(|id| block.column(id)).collect()
}

fn word(words: &Words, stored: u64) -> Result<Option<&[u8]>, SegmentError> {
    let number = stored.checked_sub(1);
    number.map(|number| words.bytes(number as u32)).transpose()
}

fn word_text(words: &Words, stored: u64) -> Result<Option<Box<str>>, SegmentError> {
    let number = stored.checked_sub(1);
    number.map(|number| words.text(number as u32)).transpose()
}
