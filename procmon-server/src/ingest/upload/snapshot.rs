//! One list against the one before: who is new, who is gone, who runs something else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use procmon_common::columns::{COLUMNS, Column, Row};
use procmon_common::frame::{FrameEncoder, for_each_change};
use procmon_common::ids::ProcessId;

use super::NANOS_PER_MS;
use super::sample::{Sample, life, row, same_life, started_ms};
use crate::batch::{Batch, ColumnChanges, Event, EventKind, Frame, Life};
use crate::error::Problem;
use crate::live::Host;
use crate::store::Door;

/// The upload as a key batch: everything that is there, and what changed since the last one.
pub(super) fn snapshot(
    samples: &[Sample],
    host: &Host,
    received_ms: i64,
) -> Result<Batch, Problem> {
    let before: HashMap<u32, Arc<Life>> = host
        .views(received_ms)
        .map(|view| (view.id.pid, Arc::clone(&view.process.life)))
        .collect();
    let first = !host.agent.heard() || host.agent.door != Door::Upload || host.epoch == 0;
    let ts_ns = received_ms.saturating_mul(NANOS_PER_MS);
    let event = |life: &Arc<Life>, kind| Event {
        ts_ns,
        life: Some(Arc::clone(life)),
        sampled: true,
        kind,
    };
    let mut exits = Vec::new();
    let mut execs = Vec::new();
    let mut lives = Vec::with_capacity(samples.len());
    let mut frame = Frame {
        ts_ns,
        ..Frame::default()
    };
    let mut encoder = FrameEncoder::default();
    let mut gone: BTreeMap<u32, &Arc<Life>> =
        before.iter().map(|(pid, life)| (*pid, life)).collect();
    for (index, sample) in samples.iter().enumerate() {
        let handle = index as u32 + 1;
        let started_ms = started_ms(index, sample)?;
        let known = before
            .get(&sample.pid)
            .filter(|life| same_life(life, sample, started_ms));
        let id = known
            .and_then(|life| life.id)
            .unwrap_or_else(|| ProcessId::upload(sample.pid, started_ms.unwrap_or(received_ms)));
        let mut life = life(sample, id, started_ms);
        life.baseline = known.map_or(first, |known| known.baseline);
        let life = Arc::new(life);
        if known.is_some() {
            gone.remove(&sample.pid);
        }
        let other_image = known.is_some_and(|known| known.image != life.image);
        if !first && (known.is_none() || other_image) {
            execs.push(event(&life, EventKind::Exec));
        }
        encoder.push(handle, &Row::default(), &row(sample));
        if let Some(ports) = &sample.ports {
            frame.ports.push((handle, ports.clone()));
        }
        lives.push((handle, life));
    }
    if !first {
        for life in gone.values() {
            exits.push(event(life, EventKind::Exit(Box::default())));
        }
    }
    // A pid that was given again ended before it began.
    exits.append(&mut execs);
    frame.columns = columns(encoder);
    Ok(Batch {
        key: true,
        events: exits,
        lives,
        frame: Some(frame),
        ..Batch::default()
    })
}

fn columns(encoder: FrameEncoder) -> Vec<ColumnChanges> {
    let mut by_column: BTreeMap<Column, Vec<(u32, i64)>> = BTreeMap::new();
    let sample = encoder.finish();
    // What was encoded a line above is consistent.
    let _ = for_each_change(&sample, |handle, column, delta| {
        by_column.entry(column).or_default().push((handle, delta));
    });
    let numbered = COLUMNS.iter().filter_map(|column| {
        let changes = by_column.remove(column)?;
        Some(ColumnChanges {
            column: *column,
            changes,
        })
    });
    numbered.collect()
}
