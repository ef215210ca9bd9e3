//! The processes of a host by their handles, without the holes of a map: most memory of a server is here.

use std::collections::HashMap;

use super::process::LiveProcess;

/// Room is made by this share of what there is.
const GROWTH: usize = 8;

#[derive(Debug, Default)]
pub(super) struct ProcessTable {
    /// Where each handle is in `rows`.
    index: HashMap<u32, u32, foldhash::quality::RandomState>,
    rows: Vec<(u32, LiveProcess)>,
}

impl ProcessTable {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn contains(&self, handle: u32) -> bool {
        self.index.contains_key(&handle)
    }

    pub(super) fn get(&self, handle: u32) -> Option<&LiveProcess> {
        let row = *self.index.get(&handle)?;
        Some(&self.rows[row as usize].1)
    }

    pub(super) fn get_mut(&mut self, handle: u32) -> Option<&mut LiveProcess> {
        let row = *self.index.get(&handle)?;
        Some(&mut self.rows[row as usize].1)
    }

    /// Puts in what is not there yet, or in the place of what is.
    pub(super) fn insert(&mut self, handle: u32, process: LiveProcess) {
        if let Some(known) = self.get_mut(handle) {
            *known = process;
            return;
        }
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(self.rows.len() / GROWTH + 4);
        }
        self.index.insert(handle, self.rows.len() as u32);
        self.rows.push((handle, process));
    }

    pub(super) fn remove(&mut self, handle: u32) -> Option<LiveProcess> {
        let row = self.index.remove(&handle)?;
        let (_, process) = self.rows.swap_remove(row as usize);
        if let Some((moved, _)) = self.rows.get(row as usize) {
            self.index.insert(*moved, row);
        }
        Some(process)
    }

    pub(super) fn at(&self, row: usize) -> Option<&LiveProcess> {
        self.rows.get(row).map(|(_, process)| process)
    }

    /// All of them with their handles, some at a time.
    pub(super) fn chunks(&self, rows: usize) -> std::slice::Chunks<'_, (u32, LiveProcess)> {
        self.rows.chunks(rows)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &LiveProcess> {
        self.rows.iter().map(|(_, process)| process)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut LiveProcess> {
        self.rows.iter_mut().map(|(_, process)| process)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = u32> {
        self.rows.iter().map(|(handle, _)| *handle)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut LiveProcess)> {
        self.rows
            .iter_mut()
            .map(|(handle, process)| (*handle, process))
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = LiveProcess> + '_ {
        self.index.clear();
        self.rows.drain(..).map(|(_, process)| process)
    }

    /// Gives back room that is no longer needed.
    pub(super) fn shrink(&mut self) {
        if self.rows.capacity() > self.rows.len() + self.rows.len() / GROWTH + 4 {
            self.rows.shrink_to_fit();
            self.index.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::Life;

    proptest! {
        #[test]
        fn it_does_what_a_map_does(steps in proptest::collection::vec((0..12_u32, any::<bool>()), 0..60)) {
            let (mut table, mut map) = (ProcessTable::default(), HashMap::new());
            for (version, (handle, put)) in (0_u64..).zip(steps) {
                if put {
                    table.insert(handle, LiveProcess::new(Arc::new(Life::default()), version));
                    map.insert(handle, version);
                } else {
                    prop_assert_eq!(table.remove(handle).map(|process| process.changed), map.remove(&handle));
                }
                prop_assert_eq!(table.len(), map.len());
                for handle in 0..12 {
                    prop_assert_eq!(table.get(handle).map(|process| process.changed), map.get(&handle).copied());
                    prop_assert_eq!(table.contains(handle), map.contains_key(&handle));
                }
            }
        }
    }
}
