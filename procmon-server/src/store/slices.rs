//! All files of the log, oldest first. Their numbers are dense and only grow, whatever the clock does, so that a position
//! in the log is always comparable with another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;

use super::slice::{Slice, number_of};
use super::{Position, StoreError};

/// Above this the write-ahead log is worth a checkpoint.
const CHECKPOINT_BYTES: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Slices {
    folder: PathBuf,
    pub(super) durable: bool,
    by_number: RwLock<BTreeMap<u32, Arc<Slice>>>,
}

impl Slices {
    pub(super) async fn open(folder: &Path, durable: bool) -> anyhow::Result<Self> {
        let listing = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        let mut by_number = BTreeMap::new();
        for entry in listing {
            let name = entry?.file_name();
            if let Some(number) = name.to_str().and_then(number_of) {
                let slice = Slice::open(folder, number, durable).await?;
                by_number.insert(number, Arc::new(slice));
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            durable,
            by_number: RwLock::new(by_number),
        })
    }

    fn list(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Slice>>> {
        self.by_number
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last(&self) -> Option<Arc<Slice>> {
        self.list().values().next_back().cloned()
    }

    /// The slice that the log goes on in after the last.
    pub(super) async fn create_next(&self) -> anyhow::Result<Arc<Slice>> {
        let number = self.last().map_or(1, |slice| slice.number + 1);
        let slice = Arc::new(Slice::open(&self.folder, number, self.durable).await?);
        self.by_number
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, Arc::clone(&slice));
        Ok(slice)
    }

    /// Newest first, from a number down.
    pub(super) fn down_from(&self, number: u32) -> Vec<Arc<Slice>> {
        self.list()
            .range(..=number)
            .rev()
            .map(|(_, slice)| Arc::clone(slice))
            .collect()
    }

    /// Oldest first, from a number up.
    pub(super) fn up_from(&self, number: u32) -> Vec<Arc<Slice>> {
        self.list()
            .range(number..)
            .map(|(_, slice)| Arc::clone(slice))
            .collect()
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.list().contains_key(&number)
    }

    /// The number of the oldest slice.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.list().keys().next().copied()
    }

    /// The end of the log.
    pub(super) async fn newest(&self) -> Result<Position, StoreError> {
        match self.last() {
            Some(slice) => Ok(Position::after_batch(
                slice.number,
                slice.last_batch().await?,
            )),
            None => Ok(Position::START),
        }
    }

    /// Removes what was received before; the last slice stays, because its number must not be given again.
    pub(super) async fn expire(&self, before_ms: i64) -> Result<usize, StoreError> {
        let Some(last) = self.last() else {
            return Ok(0);
        };
        let mut removed = 0;
        for slice in self.up_from(0) {
            let expired = slice
                .last_received_ms()
                .await?
                .is_none_or(|received_ms| received_ms < before_ms);
            if slice.number == last.number || !expired {
                continue;
            }
            self.by_number
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&slice.number);
            slice.remove().await;
            removed += 1;
        }
        Ok(removed)
    }

    pub(super) async fn checkpoint(&self) -> Result<(), StoreError> {
        for slice in self.up_from(0) {
            if slice.log_bytes() > CHECKPOINT_BYTES {
                slice.checkpoint().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        for slice in self.up_from(0) {
            slice.readers.close().await;
        }
    }
}
