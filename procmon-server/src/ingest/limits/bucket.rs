//! A token bucket.

/// What may be used at once, and how fast it comes back. It may go below zero: what was let in is charged in full, and the
/// next one waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    burst: f64,
    per_s: f64,
    refilled_ms: i64,
}

/// The longest wait that is asked for: an agent gives up sooner than that on nobody.
const LONGEST_WAIT_S: f64 = 60.0;

impl Bucket {
    /// Full. A rate of 0 is no limit.
    pub(super) fn new(per_s: u64, burst: u64, now_ms: i64) -> Self {
        let burst = burst.max(per_s) as f64;
        Self {
            tokens: burst,
            burst,
            per_s: per_s as f64,
            refilled_ms: now_ms,
        }
    }

    /// Whether there is anything left; if not, after how many seconds there is.
    pub(super) fn check(&mut self, now_ms: i64) -> Result<(), u16> {
        // A clock that is set back brings nothing and costs nothing.
        let elapsed_ms = now_ms.saturating_sub(self.refilled_ms).max(0);
        self.refilled_ms = now_ms;
        let refilled = self.tokens + elapsed_ms as f64 / 1000.0 * self.per_s;
        self.tokens = refilled.min(self.burst);
        if self.per_s == 0.0 || self.tokens >= 1.0 {
            return Ok(());
        }
        let wait_s = ((1.0 - self.tokens) / self.per_s).ceil();
        Err(wait_s.clamp(1.0, LONGEST_WAIT_S) as u16)
    }

    pub(super) fn charge(&mut self, tokens: u64) {
        if self.per_s > 0.0 {
            // However much it was: after the longest wait there is something again.
            let floor = -self.per_s * LONGEST_WAIT_S;
            self.tokens = (self.tokens - tokens as f64).max(floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(10, 20, 0);
        let mut take = |now_ms| {
            let taken = bucket.check(now_ms);
            if taken.is_ok() {
                bucket.charge(1);
            }
            taken
        };
        for _ in 0..20 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(1));
        for _ in 0..10 {
            assert_eq!(take(1000), Ok(()));
        }
        assert_eq!(take(1000), Err(1));
        assert_eq!(take(500), Err(1), "the clock was set back");
        assert_eq!(take(1_000_000), Ok(()));
    }

    #[test]
    fn a_debt_is_paid_off_and_never_lasts_longer_than_the_longest_wait() {
        let mut bucket = Bucket::new(100, 1000, 0);
        bucket.charge(1500);
        assert_eq!(bucket.check(0), Err(6));
        assert_eq!(bucket.check(6_000), Ok(()));
        bucket.charge(u64::MAX);
        assert_eq!(bucket.check(6_000), Err(60));
        assert_eq!(bucket.check(67_000), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::new(0, 1, 0);
        for _ in 0..100 {
            assert_eq!(bucket.check(0), Ok(()));
            bucket.charge(1_000);
        }
    }
}
