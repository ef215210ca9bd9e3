//! Latencies in buckets that grow: constant memory, and quantiles that are off by a few percent at most.

use std::time::Duration;

/// Buckets per doubling.
const STEPS: u64 = 32;
/// Up to 2^36 microseconds, which is longer than anybody waits.
const BUCKETS: usize = 32 * 36;

#[derive(Clone, Debug)]
pub struct Quantiles {
    counts: Vec<u64>,
    total: u64,
    max_us: u64,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            max_us: 0,
        }
    }
}

impl Quantiles {
    pub fn add(&mut self, latency: Duration) {
        let us = latency.as_micros() as u64;
        self.counts[bucket(us)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(us);
    }

    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max_us = self.max_us.max(other.max_us);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    pub fn max_ms(&self) -> f64 {
        self.max_us as f64 / 1e3
    }

    /// The value in milliseconds that this share of all does not exceed.
    pub fn at_ms(&self, share: f64) -> f64 {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_us(index).min(self.max_us) as f64 / 1e3;
            }
        }
        self.max_ms()
    }
}

/// The first `STEPS` buckets are a microsecond wide each.
fn bucket(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let doublings = u64::from(us.ilog2() - STEPS.ilog2());
    let step = (us >> doublings) - STEPS;
    (((doublings + 1) * STEPS + step) as usize).min(BUCKETS - 1)
}

fn upper_us(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let doublings = index / STEPS - 1;
    ((index % STEPS + STEPS + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_close() {
        let mut quantiles = Quantiles::default();
        for us in 1..=100_000 {
            quantiles.add(Duration::from_micros(us));
        }
        for (share, expected_ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = quantiles.at_ms(share);
            assert!(
                found >= expected_ms * 0.999 && found < expected_ms * 1.04,
                "{share}: {found}"
            );
        }
        assert!((Quantiles::default().at_ms(0.5) - 0.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_value_lies_in_its_bucket() {
        for us in [0, 1, 31, 32, 33, 63, 64, 1000, 123_456, 1 << 30] {
            let index = bucket(us);
            assert!(upper_us(index) >= us, "{us}");
            assert!(index == 0 || upper_us(index - 1) < us, "{us}");
        }
    }
}
