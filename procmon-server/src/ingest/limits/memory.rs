//! The memory that bodies take on their way in, all agents together: held only for what has arrived, so that a sender who
//! announces much and sends little holds little.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Problem;
use crate::metrics::Reject;

/// Memory is given in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
const TOTAL_BYTES: usize = 256 << 20;
const PIECES: usize = TOTAL_BYTES / PIECE_BYTES;
/// For memory to become free; a body that waits longer is told to come again.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

/// What one body holds.
#[derive(Debug)]
pub(crate) struct Held {
    memory: BodyMemory,
    permit: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PIECES)))
    }

    #[expect(clippy::unused_self, reason = "it is a property of this memory")]
    pub(crate) fn size_bytes(&self) -> usize {
        TOTAL_BYTES
    }

    pub(crate) fn held_bytes(&self) -> usize {
        (PIECES - self.0.available_permits()) * PIECE_BYTES
    }

    pub(crate) fn hold_nothing(&self) -> Held {
        Held {
            memory: self.clone(),
            permit: None,
        }
    }
}

impl Held {
    /// Makes sure of the memory for this many bytes in all.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let pieces = bytes.div_ceil(PIECE_BYTES);
        let held = self
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = pieces.checked_sub(held).filter(|more| *more > 0) else {
            return Ok(());
        };
        let turn = Arc::clone(&self.memory.0).acquire_many_owned(more as u32);
        match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(permit)) => {
                match &mut self.permit {
                    Some(held) => held.merge(permit),
                    none => *none = Some(permit),
                }
                Ok(())
            }
            _ => Err(Problem::unavailable(
                "the server has more uploads than it can take; send again",
            )
            .because(Reject::Memory)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_held_for_what_arrived_and_given_back() {
        let memory = BodyMemory::new();
        let mut held = memory.hold_nothing();
        assert_eq!(memory.held_bytes(), 0);
        for (bytes, expected) in [
            (1, PIECE_BYTES),
            (PIECE_BYTES, PIECE_BYTES),
            (PIECE_BYTES + 1, 2 * PIECE_BYTES),
        ] {
            held.grow_to(bytes).await.expect("there is room");
            assert_eq!(memory.held_bytes(), expected);
        }
        drop(held);
        assert_eq!(memory.held_bytes(), 0);
    }
}
