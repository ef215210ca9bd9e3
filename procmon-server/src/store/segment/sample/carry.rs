//! What the next segment of an agent needs to go on: whom the handles name, and values that no sample has said yet.

use std::sync::Arc;

use procmon_common::columns::Column;

use crate::store::format::bytes::{Reader, put};
use crate::store::segment::SegmentError;
use crate::store::segment::replay::{Carry, Standing};

/// The values of a process that changed after the last sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unwritten {
    pub(super) process: u32,
    pub(super) values: Vec<(Column, Option<u64>)>,
    pub(super) ports: Option<Arc<[u16]>>,
}

const SYNCED: u64 = 1;
const SPAN_OPEN: u64 = 2;
const AWAIT_KEY_FRAME: u64 = 4;

const STANDINGS: [Standing; 3] = [Standing::Running, Standing::Departed, Standing::Previous];

pub(super) fn encode(carry: &Carry, unwritten: &[Unwritten]) -> Vec<u8> {
    let mut out = Vec::new();
    let flags = [
        (carry.synced, SYNCED),
        (carry.span_open, SPAN_OPEN),
        (carry.await_key_frame, AWAIT_KEY_FRAME),
    ];
    let set = flags.iter().filter(|(set, _)| *set);
    put(&mut out, set.map(|(_, flag)| flag).sum());
    put(&mut out, carry.epoch);
    put(&mut out, carry.seq);
    for standing in STANDINGS {
        let of = |(it, ..): &&(Standing, u32, u32)| *it == standing;
        put(&mut out, carry.handles.iter().filter(of).count() as u64);
        let mut before = 0;
        for (_, handle, process) in carry.handles.iter().filter(of) {
            put(&mut out, u64::from(handle.wrapping_sub(before)));
            before = *handle;
            put(&mut out, u64::from(*process));
        }
    }
    put(&mut out, unwritten.len() as u64);
    for each in unwritten {
        put(&mut out, u64::from(each.process));
        put(&mut out, each.values.len() as u64);
        for (column, value) in &each.values {
            put(&mut out, u64::from(column.id()));
            put(&mut out, value.map_or(0, |value| value.wrapping_add(1)));
        }
        let ports = each.ports.as_deref();
        put(&mut out, ports.map_or(0, |ports| ports.len() as u64 + 1));
        for port in ports.unwrap_or_default() {
            put(&mut out, u64::from(*port));
        }
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<(Carry, Vec<Unwritten>), SegmentError> {
    let mut reader = Reader::new(bytes);
    let flags = reader.number()?;
    let mut carry = Carry {
        synced: flags & SYNCED != 0,
        span_open: flags & SPAN_OPEN != 0,
        await_key_frame: flags & AWAIT_KEY_FRAME != 0,
        epoch: reader.number()?,
        seq: reader.number()?,
        handles: Vec::new(),
    };
    for standing in STANDINGS {
        let mut handle = 0_u32;
        for _ in 0..reader.count()? {
            handle = handle.wrapping_add(reader.number()? as u32);
            let process = reader.number()? as u32;
            carry.handles.push((standing, handle, process));
        }
    }
    let mut unwritten = Vec::new();
    for _ in 0..reader.count()? {
        unwritten.push(read_unwritten(&mut reader)?);
    }
    Ok((carry, unwritten))
}

fn read_unwritten(reader: &mut Reader<'_>) -> Result<Unwritten, SegmentError> {
    let process = reader.number()? as u32;
    let mut values = Vec::new();
    for _ in 0..reader.count()? {
        let (id, value) = (reader.number()?, reader.number()?);
        // A column of a newer version is passed over.
        if let Some(column) = u32::try_from(id).ok().and_then(Column::from_id) {
            values.push((column, value.checked_sub(1)));
        }
    }
    let ports = match reader.number()?.checked_sub(1) {
        None => None,
        Some(count) => {
            let ports = (0..count).map(|_| Ok::<_, SegmentError>(reader.number()? as u16));
            Some(ports.collect::<Result<_, _>>()?)
        }
    };
    Ok(Unwritten {
        process,
        values,
        ports,
    })
}
