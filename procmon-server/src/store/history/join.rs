//! Samples of one stretch of time after those of another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use super::{HostSamples, LifeSamples, UNKNOWN};

impl HostSamples {
    /// Adds what came later. A life that goes on goes on, and what its values were in between is not known to be
    /// otherwise.
    pub fn append(&mut self, later: Self) {
        if self.sample_ms.is_empty() && self.lives.is_empty() {
            *self = later;
            return;
        }
        let offset = self.sample_ms.len();
        let shift = u32::try_from(offset).unwrap_or(u32::MAX);
        self.sample_ms.extend(later.sample_ms);
        let short_lived = later.short_lived.into_iter();
        self.short_lived
            .extend(short_lived.map(|(index, group)| (index + shift, group)));
        let mut known: HashMap<ProcessId, usize, foldhash::fast::RandomState> = self
            .lives
            .iter()
            .enumerate()
            .filter_map(|(index, life)| Some((life.life.id?, index)))
            .collect();
        for mut life in later.lives {
            life.shift(offset, shift);
            let place = life.life.id.map(|id| known.entry(id));
            match place {
                Some(Entry::Occupied(index)) => self.lives[*index.get()].go_on(life),
                Some(Entry::Vacant(place)) => {
                    place.insert(self.lives.len());
                    self.lives.push(life);
                }
                None => self.lives.push(life),
            }
        }
    }
}

impl LifeSamples {
    fn shift(&mut self, offset: usize, shift: u32) {
        self.first += offset;
        self.last += offset;
        for (index, _) in self.columns.iter_mut().flatten() {
            *index += shift;
        }
        for (index, _) in &mut self.ports {
            *index += shift;
        }
        for (until, _) in &mut self.before {
            *until += shift;
        }
    }

    pub(in crate::store) fn go_on(&mut self, later: Self) {
        let resumed = u32::try_from(later.first).unwrap_or(u32::MAX);
        let first = later.before.first().map_or(&later.life, |(_, life)| life);
        if *self.life != **first {
            self.before.push((resumed, Arc::clone(&self.life)));
        }
        self.before.extend(later.before);
        self.life = later.life;
        self.last = later.last;
        for (mine, more) in self.columns.iter_mut().zip(later.columns) {
            let held = mine.last().map_or(UNKNOWN, |(_, value)| *value);
            let restated = more.first().filter(|(index, _)| *index == resumed);
            match restated {
                None if held != UNKNOWN => mine.push((resumed, UNKNOWN)),
                _ => {}
            }
            let same = restated.is_some_and(|(_, value)| *value == held);
            mine.extend(more.into_iter().skip(usize::from(same)));
        }
        let same = match (self.ports.last(), later.ports.first()) {
            (Some((_, held)), Some((_, restated))) => held == restated,
            _ => false,
        };
        let more = later.ports.into_iter().skip(usize::from(same));
        self.ports.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use procmon_common::ids::BootId;

    use super::*;
    use crate::batch::Life;

    fn life(pid: u32, first: usize, last: usize, values: &[(u32, i64)]) -> LifeSamples {
        LifeSamples {
            life: Arc::new(Life {
                id: Some(ProcessId::booted(pid, 1, BootId::default())),
                ..Life::default()
            }),
            before: Vec::new(),
            first,
            last,
            columns: vec![values.to_vec()],
            ports: Vec::new(),
        }
    }

    #[test]
    fn a_life_goes_on_and_says_each_value_once() {
        let mut joined = HostSamples::default();
        joined.append(HostSamples {
            sample_ms: vec![10, 20],
            lives: vec![
                life(1, 0, 1, &[(0, 5)]),
                life(2, 0, 0, &[(0, 1)]),
                life(3, 0, 1, &[(0, 9)]),
            ],
            ..HostSamples::default()
        });
        joined.append(HostSamples {
            sample_ms: vec![30, 40],
            lives: vec![
                life(1, 0, 1, &[(0, 5), (1, 6)]),
                life(4, 1, 1, &[(1, 2)]),
                life(3, 0, 1, &[(1, 9)]),
            ],
            ..HostSamples::default()
        });
        assert_eq!(joined.sample_ms, [10, 20, 30, 40]);
        assert_eq!(
            joined.lives,
            [
                life(1, 0, 3, &[(0, 5), (3, 6)]),
                life(2, 0, 0, &[(0, 1)]),
                life(3, 0, 3, &[(0, 9), (2, UNKNOWN), (3, 9)]),
                life(4, 3, 3, &[(3, 2)]),
            ]
        );
    }
}
