//! Lives that are looked for by one or two of their columns; what is found may still be none of them.

use super::SegmentError;
use super::block::Block;
use super::life_numbers::column;

/// Whether a row has a pid.
pub(super) fn has_pid(block: &Block<'_>, pid: u32) -> Result<bool, SegmentError> {
    block.require_rows(column::FLAGS)?;
    let (mut priors, mut deltas) = (block.column(column::PRIOR)?, block.column(column::PID)?);
    let mut pids: Vec<u32> = Vec::with_capacity(block.rows.min(1 << 14));
    for index in 0..block.rows {
        let prior = usize::try_from(priors.next()?).map_err(|_| SegmentError::Lengths)?;
        let base = index.checked_sub(prior.max(1));
        let base = match base {
            Some(base) => pids[base],
            None if prior == 0 => 0,
            None => return Err(SegmentError::Reference),
        };
        let found = i64::from(base).wrapping_add(deltas.signed()?) as u32;
        if found == pid {
            return Ok(true);
        }
        pids.push(found);
    }
    Ok(false)
}

/// Whether a row has one of some names, by number.
pub(super) fn has_name(block: &Block<'_>, names: &[bool]) -> Result<bool, SegmentError> {
    block.require_rows(column::FLAGS)?;
    let mut found = block.column(column::NAME)?;
    for _ in 0..block.rows {
        if names.get(found.next()? as usize) == Some(&true) {
            return Ok(true);
        }
    }
    Ok(false)
}
