//! Where the samples of a segment ended: what the next one goes on from.

use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column, Row};

use super::carry::{self, Unwritten};
use super::read::Part;
use crate::store::segment::SegmentError;
use crate::store::segment::replay::{Replay, Standing};

/// Goes on where a segment ended: the state of the replay, and a builder with all processes that it names.
pub fn resume(segment: &[u8]) -> Result<(Replay, super::SampleBuilder), SegmentError> {
    let mut builder = super::SampleBuilder::default();
    let Some(last) = super::split_parts(segment)?.pop() else {
        return Ok((Replay::default(), builder));
    };
    let part = Part::open(last)?;
    let bytes = part.carry_bytes()?;
    if bytes.is_empty() {
        return Ok((Replay::default(), builder));
    }
    let (mut carried, unwritten) = carry::decode(&bytes)?;
    let mut wanted = vec![false; part.processes.len()];
    for (.., process) in &carried.handles {
        *wanted
            .get_mut(*process as usize)
            .ok_or(SegmentError::Reference)? = true;
    }
    let (values, mut ports) = last_values(&part, &wanted, &COLUMNS, unwritten)?;
    let texts = part.texts()?;
    let mut restored = vec![None; part.processes.len()];
    for (.., process) in &mut carried.handles {
        let index = *process as usize;
        let head = part.processes.get(index).ok_or(SegmentError::Reference)?;
        *process = if let Some(number) = restored[index] {
            number
        } else {
            let life = part.life(head.life + head.lives - 1, &texts)?;
            let number = builder.restore(life, values[index], ports[index].take());
            restored[index] = Some(number);
            number
        };
    }
    for (standing, _, process) in &carried.handles {
        if *standing == Standing::Departed {
            builder.end(*process);
        }
    }
    let replay = Replay::resume(&carried, &builder);
    Ok((replay, builder))
}

type LastValues = (Vec<Row>, Vec<Option<Arc<[u16]>>>);

/// The values of wanted processes in wanted columns, and all ports: as of the last sample, and then with what no sample tells.
pub(super) fn last_values(
    part: &Part<'_>,
    wanted: &[bool],
    columns: &[Column],
    unwritten: Vec<Unwritten>,
) -> Result<LastValues, SegmentError> {
    let mut values = vec![Row::default(); part.processes.len()];
    let numbered: Vec<_> = part.processes.iter().enumerate().collect();
    for members in numbered.chunk_by(|left, right| left.1.group == right.1.group) {
        if !members.iter().any(|(number, _)| wanted[*number]) {
            continue;
        }
        let group = members[0].1.group;
        for (index, column) in COLUMNS.iter().enumerate() {
            if !columns.contains(column) || !part.is_known(group, index) {
                continue;
            }
            let mut deltas = part.column(group, index)?;
            for (number, head) in members {
                if !wanted[*number] {
                    deltas.skip(head.rows as usize)?;
                    continue;
                }
                for _ in 0..head.rows {
                    values[*number].apply(*column, deltas.signed()?);
                }
            }
        }
    }
    let mut ports = vec![None; part.processes.len()];
    for (process, _, changed) in part.ports()? {
        *ports
            .get_mut(process as usize)
            .ok_or(SegmentError::Reference)? = changed;
    }
    for each in unwritten {
        let index = each.process as usize;
        let row = values.get_mut(index).ok_or(SegmentError::Reference)?;
        for (column, value) in each.values {
            row.set(column, value);
        }
        ports[index] = each.ports;
    }
    Ok((values, ports))
}
