//! The state that a segment ended with, for whoever reads on in the log.

use std::sync::Arc;

use procmon_common::columns::{Column, Row};

use super::read::Part;
use super::resume::last_values;
use super::{carry, split_parts};
use crate::batch::Life;
use crate::store::history::LifeFilter;
use crate::store::segment::SegmentError;
use crate::store::segment::replay::Standing;

/// Where the batches of an agent had come to.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    pub epoch: u64,
    pub seq: u64,
    pub synced: bool,
    pub await_key_frame: bool,
    /// Those that the handles name.
    pub lives: Vec<CarriedLife>,
}

#[derive(Clone, Debug)]
pub struct CarriedLife {
    pub handle: u32,
    pub life: Arc<Life>,
    /// Of the columns asked for.
    pub values: Row,
    pub ports: Option<Arc<[u16]>>,
}

/// None when a segment says nothing of it.
pub fn carried(
    segment: &[u8],
    lives: LifeFilter,
    columns: &[Column],
) -> Result<Option<Carried>, SegmentError> {
    let Some(last) = split_parts(segment)?.pop() else {
        return Ok(None);
    };
    let part = Part::open(last)?;
    let bytes = part.carry_bytes()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let (carry, unwritten) = carry::decode(&bytes)?;
    let mut wanted = vec![false; part.processes.len()];
    for (standing, _, process) in &carry.handles {
        let head = part.processes.get(*process as usize);
        let head = head.ok_or(SegmentError::Reference)?;
        let id = part.lives[head.life].id();
        wanted[*process as usize] =
            *standing == Standing::Running && id.is_some_and(|id| lives.takes(id));
    }
    let (values, ports) = last_values(&part, &wanted, columns, unwritten)?;
    let texts = part.texts()?;
    let mut found = Vec::new();
    for (standing, handle, process) in &carry.handles {
        let index = *process as usize;
        if *standing != Standing::Running || !wanted[index] {
            continue;
        }
        let head = part.processes[index];
        found.push(CarriedLife {
            handle: *handle,
            life: part.life(head.life + head.lives - 1, &texts)?,
            values: values[index],
            ports: ports[index].clone(),
        });
    }
    Ok(Some(Carried {
        epoch: carry.epoch,
        seq: carry.seq,
        synced: carry.synced,
        await_key_frame: carry.await_key_frame,
        lives: found,
    }))
}
