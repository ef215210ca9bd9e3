//! One agent's way in: how often, how much, and how many requests at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::IngestLimits;
use super::bucket::Bucket;
use crate::error::Problem;
use crate::metrics::Reject;

/// What an agent has used of its limits.
#[derive(Debug)]
pub struct Gate {
    limits: IngestLimits,
    buckets: Mutex<Buckets>,
    in_flight: AtomicU64,
}

#[derive(Debug)]
struct Buckets {
    requests: Bucket,
    bytes: Bucket,
}

/// A request that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Arc<Gate>);

impl Gate {
    pub fn new(limits: IngestLimits, now_ms: i64) -> Self {
        Self {
            limits,
            buckets: Mutex::new(Buckets {
                requests: Bucket::new(limits.requests_per_s, limits.burst_requests, now_ms),
                bytes: Bucket::new(limits.bytes_per_s, limits.burst_bytes, now_ms),
            }),
            in_flight: AtomicU64::new(0),
        }
    }

    /// Lets a request in before anything of its body is read.
    pub(crate) fn enter(self: &Arc<Self>, now_ms: i64) -> Result<Turn, Problem> {
        {
            let mut buckets = self.buckets();
            if let Err(wait_s) = buckets.requests.check(now_ms) {
                return Err(self.too_many_requests(wait_s));
            }
            buckets.requests.charge(1);
            if let Err(wait_s) = buckets.bytes.check(now_ms) {
                return Err(self.too_many_bytes(wait_s));
            }
        }
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let turn = Turn(Arc::clone(self));
        if before >= self.limits.concurrent_requests {
            return Err(self.too_many_at_a_time());
        }
        Ok(turn)
    }

    fn too_many_requests(&self, wait_s: u16) -> Problem {
        let limit = self.limits.requests_per_s;
        Problem::too_many(
            Reject::RequestRate,
            wait_s,
            format!(
                "this agent sends more than {limit} requests per second; put more into each, or raise \
                 ingest_limits.requests_per_s on the server. Come back in {wait_s} s"
            ),
        )
    }

    fn too_many_bytes(&self, wait_s: u16) -> Problem {
        let limit = self.limits.bytes_per_s;
        Problem::too_many(
            Reject::ByteRate,
            wait_s,
            format!(
                "this agent sends more than {limit} bytes per second, counted when decompressed; send less often, or raise \
                 ingest_limits.bytes_per_s on the server. Come back in {wait_s} s"
            ),
        )
    }

    fn too_many_at_a_time(&self) -> Problem {
        let limit = self.limits.concurrent_requests;
        Problem::too_many(
            Reject::Concurrency,
            1,
            format!(
                "{limit} requests of this agent are under way; wait for their answers (is an upload stuck?), or raise \
                 ingest_limits.concurrent_requests on the server"
            ),
        )
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Charges what the server had to read, accepted or not.
    pub(crate) fn charge_bytes(&self, bytes: usize) {
        self.0.buckets().bytes.charge(bytes as u64);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_refusals_take_none() {
        let limits = IngestLimits {
            concurrent_requests: 2,
            ..IngestLimits::default()
        };
        let gate = Arc::new(Gate::new(limits, 0));
        let (first, second) = (gate.enter(0), gate.enter(0));
        for _ in 0..5 {
            assert_eq!(gate.enter(0).expect_err("full").status, 429);
        }
        drop(first);
        gate.enter(0).expect("a place is free");
        drop(second);
    }

    #[test]
    fn bytes_are_charged_afterwards() {
        let limits = IngestLimits {
            bytes_per_s: 1000,
            burst_bytes: 2000,
            ..IngestLimits::default()
        };
        let gate = Arc::new(Gate::new(limits, 0));
        let turn = gate.enter(0).expect("the first");
        turn.charge_bytes(5_000);
        drop(turn);
        let refused = gate.enter(0).expect_err("in debt");
        assert!(refused.detail.contains("bytes_per_s"), "{}", refused.detail);
        gate.enter(4_000).expect("paid off");
    }
}
