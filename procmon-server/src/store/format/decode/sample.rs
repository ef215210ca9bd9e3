//! The sample: whose handle is whose, and what changed.

use std::sync::Arc;

use procmon_common::columns::Column;

use super::life::reference;
use crate::batch::{Batch, ColumnChanges, Frame, Life, Totals};
use crate::store::format::bytes::Reader;
use crate::store::format::table::Table;
use crate::store::format::{FormatError, span};

pub(super) fn read_span(
    bytes: &[u8],
    lives: &[Arc<Life>],
    batch: &mut Batch,
) -> Result<(), FormatError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(bytes);
    let flags = reader.number()?;
    batch.key = flags & span::KEY != 0;
    batch.more = flags & span::MORE != 0;
    batch.continues = flags & span::CONTINUES != 0;
    for _ in 0..reader.count()? {
        batch.ended.push(reader.number()? as u32);
    }
    let mut handle = 0_i64;
    for _ in 0..reader.count()? {
        handle = handle.wrapping_add(reader.signed()?);
        let number = reader.number()?;
        batch.lives.push((handle as u32, reference(lives, number)?));
    }
    Ok(())
}

/// Whether a span lists any life: else the table of lives only serves events.
pub(super) fn span_has_lives(bytes: &[u8]) -> Result<bool, FormatError> {
    if bytes.is_empty() {
        return Ok(false);
    }
    let mut reader = Reader::new(bytes);
    reader.number()?;
    for _ in 0..reader.count()? {
        reader.number()?;
    }
    Ok(reader.count()? > 0)
}

/// Whether a frame has values. One without only names who is gone.
pub(super) fn frame_has_values(bytes: &[u8]) -> Result<bool, FormatError> {
    if bytes.is_empty() {
        return Ok(false);
    }
    let mut reader = Reader::new(bytes);
    reader.signed()?;
    Ok(reader.count()? > 0)
}

/// The columns that are wanted of a sample. Ports are read apart.
pub(super) fn read_frame(
    bytes: &[u8],
    wanted: impl Fn(Column) -> bool,
) -> Result<Option<Frame>, FormatError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(bytes);
    let mut frame = Frame {
        ts_ns: reader.signed()?,
        ..Frame::default()
    };
    for _ in 0..reader.count()? {
        let id = reader.number()?;
        let mut block = reader.block()?;
        let column = u32::try_from(id).ok().and_then(Column::from_id);
        let Some(column) = column.filter(|column| wanted(*column)) else {
            continue;
        };
        let count = block.count()?;
        let mut changes = Vec::with_capacity(count);
        let mut handle = 0_u64;
        for _ in 0..count {
            handle = handle.wrapping_add(block.number()?);
            changes.push((handle as u32, 0));
        }
        for change in &mut changes {
            change.1 = block.signed()?;
        }
        frame.columns.push(ColumnChanges { column, changes });
    }
    Ok(Some(frame))
}

pub(super) fn read_ports(bytes: &[u8]) -> Result<Vec<(u32, Vec<u16>)>, FormatError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    for _ in 0..reader.count()? {
        let handle = reader.number()? as u32;
        let count = reader.count()?;
        let ports = (0..count)
            .map(|_| Ok(reader.number()? as u16))
            .collect::<Result<_, _>>()?;
        all.push((handle, ports));
    }
    Ok(all)
}

pub(super) fn read_totals(bytes: &[u8]) -> Result<Option<Totals>, FormatError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let table = Table::read(bytes, 1)?;
    if table.rows == 0 {
        return Ok(None);
    }
    let number = |id| table.column(id).next();
    Ok(Some(Totals {
        cpus: number(1)? as u32,
        memory_total_bytes: number(2)?,
        memory_available_bytes: number(3)?,
        swap_total_bytes: number(4)?,
        swap_used_bytes: number(5)?,
        boot_ns: table.column(6).signed()?,
        cpu_centipercent: table.column(7).known_u32()?,
        load_centi: [number(8)? as u32, number(9)? as u32, number(10)? as u32],
    }))
}
