//! A process of the past from sample to sample, in the form of one that is: whatever is asked of the present can be asked of
//! each moment at which something about it changed.

use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;

use super::process::{LiveProcess, Rate};
use super::{Host, ProcessView};
use crate::store::history::{HostSamples, LifeSamples, UNKNOWN};

/// What a life is gone through with.
#[derive(Clone, Copy, Debug)]
pub struct PastRows<'a> {
    /// The agent that it belongs to.
    pub host: &'a Host,
    pub samples: &'a HostSamples,
    /// In the order of the query.
    pub columns: &'a [Column],
}

/// Samples in which a process is the same.
#[derive(Clone, Copy, Debug)]
pub struct PastStep<'v> {
    pub first: usize,
    /// Exclusive.
    pub until: usize,
    pub view: ProcessView<'v>,
    /// It is something else than in the step before, and not only its values are.
    pub is_new_life: bool,
}

/// Changes that were not yet reached, of all that is told of a life.
struct Cursors<'a> {
    life: &'a LifeSamples,
    columns: Vec<usize>,
    ports: usize,
    before: usize,
}

impl PastRows<'_> {
    /// Each stretch of samples, in order.
    pub fn each(&self, life: &LifeSamples, mut visit: impl FnMut(&PastStep<'_>)) {
        let earliest = life.before.first().map_or(&life.life, |(_, life)| life);
        let Some(id) = earliest.id else { return };
        let mut cursors = Cursors {
            life,
            columns: vec![0; life.columns.len()],
            ports: 0,
            before: 0,
        };
        let mut process = LiveProcess::new(Arc::clone(earliest), 0);
        let mut at = life.first;
        let mut is_new_life = true;
        while at <= life.last {
            is_new_life |= cursors.advance(at, self.columns, &mut process);
            let moving = self.rates(life, at, &mut process);
            let next = cursors.next().unwrap_or(usize::MAX);
            let until = if moving { next.min(at + 1) } else { next };
            let until = until.min(life.last + 1);
            visit(&PastStep {
                first: at,
                until,
                view: self.view(&process, id),
                is_new_life,
            });
            is_new_life = false;
            at = until;
        }
    }

    /// As it is listed before its first sample.
    pub fn unsampled(&self, life: &LifeSamples, visit: impl FnOnce(&ProcessView<'_>)) {
        let earliest = life.before.first().map_or(&life.life, |(_, life)| life);
        let process = LiveProcess::new(Arc::clone(earliest), 0);
        if let Some(id) = earliest.id {
            visit(&self.view(&process, id));
        }
    }

    fn view<'v>(&'v self, process: &'v LiveProcess, id: ProcessId) -> ProcessView<'v> {
        ProcessView {
            host: self.host,
            process,
            id,
            stale: false,
            row: 0,
        }
    }

    /// How fast it read and wrote before a sample; whether that may be something else at the next one.
    fn rates(&self, life: &LifeSamples, at: usize, process: &mut LiveProcess) -> bool {
        let mut moving = false;
        for (place, column) in self.columns.iter().enumerate() {
            let rate = match column {
                Column::ReadBytes => &mut process.read,
                Column::WriteBytes => &mut process.write,
                _ => continue,
            };
            let before = at.checked_sub(1);
            let value = before.and_then(|before| life.value_at(place, before));
            let times = &self.samples.sample_ms;
            let elapsed_s = before
                .map(|before| times[at].saturating_sub(times[before]))
                .filter(|elapsed_ms| *elapsed_ms > 0)
                .map(|elapsed_ms| elapsed_ms as f64 / 1e3);
            let counter = |value: i64| u64::try_from(value).unwrap_or_default();
            let now = process.row.get(*column);
            *rate = Rate::between(value.map(counter), now, elapsed_s);
            moving |= rate.unsettled();
        }
        moving
    }
}

impl Cursors<'_> {
    /// Takes in all changes up to a sample; whether the life is another one.
    fn advance(&mut self, at: usize, columns: &[Column], process: &mut LiveProcess) -> bool {
        for ((cursor, changes), column) in
            self.columns.iter_mut().zip(&self.life.columns).zip(columns)
        {
            let mut value = None;
            while let Some((index, changed)) = changes.get(*cursor)
                && *index as usize <= at
            {
                value = Some(*changed);
                *cursor += 1;
            }
            if let Some(value) = value {
                let value = Some(value).filter(|value| *value != UNKNOWN);
                process.row.set(*column, value.map(|value| value as u64));
            }
        }
        while let Some((index, ports)) = self.life.ports.get(self.ports)
            && *index as usize <= at
        {
            process.ports = Some(Box::from(&**ports));
            self.ports += 1;
        }
        let mut is_new = false;
        while let Some((until, _)) = self.life.before.get(self.before)
            && *until as usize <= at
        {
            self.before += 1;
            is_new = true;
        }
        if is_new {
            let next = self.life.before.get(self.before);
            let next = next.map_or(&self.life.life, |(_, life)| life);
            process.life = Arc::clone(next).into();
        }
        is_new
    }

    /// The sample of the next change.
    fn next(&self) -> Option<usize> {
        let columns = self.columns.iter().zip(&self.life.columns);
        let values = columns
            .filter_map(|(cursor, changes)| changes.get(*cursor))
            .map(|(index, _)| *index);
        let ports = self.life.ports.get(self.ports).map(|(index, _)| *index);
        let before = self.life.before.get(self.before).map(|(until, _)| *until);
        let next = values.chain(ports).chain(before).min();
        next.map(|index| index as usize)
    }
}
