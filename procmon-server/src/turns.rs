//! Work that keeps a processor busy, for a bounded number of requests at a time. The others stand in a line that has an end and a
//! patience: however many ask, ingest keeps its share of the processors.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Problem;
use crate::metrics::{Metrics, Queue};

/// Requests that wait for their turn, and for how long.
const LINE: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// Turns at one kind of work, first come first served.
#[derive(Debug)]
pub(crate) struct Turns {
    name: &'static str,
    places: Arc<Semaphore>,
    /// Places and line together.
    all: Arc<Semaphore>,
    capacity: usize,
    patience: Duration,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(name: &'static str, places: usize) -> Self {
        Self::with_line(name, places, LINE, PATIENCE)
    }

    fn with_line(name: &'static str, places: usize, line: usize, patience: Duration) -> Self {
        let capacity = places + line;
        Self {
            name,
            places: Arc::new(Semaphore::new(places)),
            all: Arc::new(Semaphore::new(capacity)),
            capacity,
            patience,
        }
    }

    /// Waits in the line; whoever finds it full, or waited too long, is counted and told to come back.
    pub(crate) async fn take(&self, metrics: &Metrics) -> Result<Turn, Problem> {
        if let Ok(all) = Arc::clone(&self.all).try_acquire_owned() {
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = tokio::time::timeout(self.patience, place).await {
                return Ok(Turn {
                    _place: place,
                    _all: all,
                });
            }
        }
        metrics.refused(self.name);
        Err(Problem::unavailable(format!(
            "the server has more requests of this kind ({}) than it can work on; ask again, or for less at a time",
            self.name
        )))
    }

    /// Who works and who waits.
    pub(crate) fn queue(&self) -> Queue {
        Queue {
            name: self.name,
            length: (self.capacity - self.all.available_permits()) as u64,
            capacity: self.capacity as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    #[tokio::test]
    async fn the_line_has_an_end_and_moves_on() {
        let metrics = Metrics::new(0);
        let turns = Turns::with_line("history", 1, 1, Duration::from_mins(1));
        let first = turns.take(&metrics).await.expect("a place");
        let second = turns.take(&metrics);
        tokio::pin!(second);
        // Stands in the line.
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!((turns.queue().length, turns.queue().capacity), (2, 2));
        let refused = turns.take(&metrics).await.expect_err("the line is full");
        let answer = refused.into_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        drop(first);
        second.await.expect("its turn");
        assert_eq!(turns.queue().length, 0);
    }

    #[tokio::test]
    async fn patience_ends() {
        let metrics = Metrics::new(0);
        let turns = Turns::with_line("history", 1, 1, Duration::ZERO);
        let _first = turns.take(&metrics).await.expect("a place");
        turns.take(&metrics).await.expect_err("nobody left");
        assert_eq!(turns.queue().length, 1, "who gave up is not in the line");
    }
}
