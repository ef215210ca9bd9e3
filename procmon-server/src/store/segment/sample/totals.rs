//! When the host was sampled, and what it had and used as a whole.

use super::column::times as id;
use crate::batch::Totals;
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, BlockWriter, Values};

/// In the order of their column numbers.
fn numbers(totals: &Totals) -> [i64; 10] {
    [
        i64::from(totals.cpus),
        totals.memory_total_bytes as i64,
        totals.memory_available_bytes as i64,
        totals.swap_total_bytes as i64,
        totals.swap_used_bytes as i64,
        totals.boot_ns,
        totals.cpu_centipercent.map_or(-1, i64::from),
        i64::from(totals.load_centi[0]),
        i64::from(totals.load_centi[1]),
        i64::from(totals.load_centi[2]),
    ]
}

fn totals(numbers: &[i64; 10]) -> Totals {
    let [
        cpus,
        memory_total,
        memory_available,
        swap_total,
        swap_used,
        boot_ns,
        cpu,
        load @ ..,
    ] = *numbers;
    Totals {
        cpus: cpus as u32,
        memory_total_bytes: memory_total as u64,
        memory_available_bytes: memory_available as u64,
        swap_total_bytes: swap_total as u64,
        swap_used_bytes: swap_used as u64,
        boot_ns,
        cpu_centipercent: u32::try_from(cpu).ok(),
        load_centi: load.map(|load| load as u32),
    }
}

pub(super) fn write(sample_ms: &[i64], all: &[Option<Totals>]) -> BlockWriter {
    let mut block = BlockWriter::default();
    let (mut before_ms, mut step_ms) = (0_i64, 0_i64);
    let mut before = numbers(&Totals::default());
    for (sample_ms, totals) in sample_ms.iter().zip(all) {
        let step = sample_ms.wrapping_sub(before_ms);
        block.put_signed(id::SAMPLE_MS, step.wrapping_sub(step_ms));
        (before_ms, step_ms) = (*sample_ms, step);
        block.put(id::TOTALS, u64::from(totals.is_some()));
        if let Some(totals) = totals {
            let now = numbers(totals);
            for (column, (now, before)) in (id::FIRST_TOTAL..).zip(now.iter().zip(before)) {
                block.put_signed(column, now.wrapping_sub(before));
            }
            before = now;
        }
        block.rows += 1;
    }
    block
}

pub(super) fn read_times(block: &Block<'_>) -> Result<Vec<i64>, SegmentError> {
    block.require_rows(id::SAMPLE_MS)?;
    let mut steps = block.column(id::SAMPLE_MS)?;
    let mut all = Vec::with_capacity(block.rows);
    let (mut now_ms, mut step_ms) = (0_i64, 0_i64);
    for _ in 0..block.rows {
        step_ms = step_ms.wrapping_add(steps.signed()?);
        now_ms = now_ms.wrapping_add(step_ms);
        all.push(now_ms);
    }
    Ok(all)
}

pub(super) fn read_totals(block: &Block<'_>) -> Result<Vec<Option<Totals>>, SegmentError> {
    block.require_rows(id::SAMPLE_MS)?;
    let mut known = block.column(id::TOTALS)?;
    let mut columns: Vec<Values> = (id::FIRST_TOTAL..id::FIRST_TOTAL + 10)
        .map(|column| block.column(column))
        .collect::<Result<_, _>>()?;
    let mut now = numbers(&Totals::default());
    (0..block.rows)
        .map(|_| {
            if known.next()? == 0 {
                return Ok(None);
            }
            for (number, column) in now.iter_mut().zip(&mut columns) {
                *number = number.wrapping_add(column.signed()?);
            }
            Ok(Some(totals(&now)))
        })
        .collect()
}
