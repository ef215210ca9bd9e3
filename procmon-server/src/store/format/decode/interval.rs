//! What completed and ended between two samples.

use super::event::{known_bytes, known_text};
use crate::batch::{BUCKETS, BlockLatency, BlockSource, Histogram, Operation, ShortLived};
use crate::store::format::strings::Strings;
use crate::store::format::table::{ColumnReader, Table};
use crate::store::format::{FormatError, column};

pub(super) fn read_short_lived(
    bytes: &[u8],
    strings: &Strings<'_>,
) -> Result<Vec<ShortLived>, FormatError> {
    use column::short_lived as id;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, id::LIVES)?;
    let mut columns: [ColumnReader<'_>; 11] =
        std::array::from_fn(|index| table.column(index as u64 + 1));
    let mut groups = Vec::with_capacity(table.rows);
    for _ in 0..table.rows {
        let mut next = |id: u64| columns[id as usize - 1].next();
        let lives = next(id::LIVES)? as u32;
        let mut known = |id: u64| Ok::<_, FormatError>(next(id)?.checked_sub(1));
        groups.push(ShortLived {
            lives,
            name: known_bytes(known(id::NAME)?, strings)?,
            uid: known(id::UID)?.map(|uid| uid as u32),
            username: known_text(known(id::USERNAME)?, strings)?,
            cgroup: known_text(known(id::CGROUP)?, strings)?,
            container_id: known_text(known(id::CONTAINER)?, strings)?,
            cpu_time_ns: next(id::CPU_TIME_NS)?,
            read_bytes: next(id::READ_BYTES)?,
            write_bytes: next(id::WRITE_BYTES)?,
            minor_faults: next(id::MINOR_FAULTS)?,
            major_faults: next(id::MAJOR_FAULTS)?,
        });
    }
    Ok(groups)
}

pub(super) fn read_block_latency(
    bytes: &[u8],
    strings: &Strings<'_>,
) -> Result<Vec<BlockLatency>, FormatError> {
    use column::block_latency as id;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, id::SOURCE)?;
    let mut columns: [ColumnReader<'_>; 8 + BUCKETS] =
        std::array::from_fn(|index| table.column(index as u64 + 1));
    let mut all = Vec::with_capacity(table.rows);
    for _ in 0..table.rows {
        let mut next = |id: u64| columns[id as usize - 1].next();
        let source = next(id::SOURCE)?;
        let (major, minor) = (next(id::MAJOR)? as u32, next(id::MINOR)? as u32);
        let (name, issuer) = (next(id::NAME)?, next(id::ISSUER)? as u32);
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
                major,
                minor,
                name: strings.text(name)?,
            },
            1 => BlockSource::Issuer(issuer),
            2 => BlockSource::Writeback,
            _ => continue,
        };
        all.push(BlockLatency {
            of,
            operation,
            histogram,
        });
    }
    Ok(all)
}
