//! Numbers that look random and are the same in every run: two runs of the same load compare.

/// xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring numbers, and zero would stay zero.
        Self(mix(seed) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u64::from(bound) * (self.number() >> 32)) >> 32) as u32
    }

    /// True in `per_mille` of 1 000 cases.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille
    }

    /// From 0 up to, but not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A waiting time of a process that has no memory, with this mean.
    pub fn wait_ns(&mut self, mean_ns: f64) -> i64 {
        (-(1.0 - self.fraction()).ln() * mean_ns) as i64
    }
}

/// A number that depends on every bit of another.
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number ^ (number >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_their_mean() {
        let mut random = Random::new(7);
        let mean = (0..10_000).map(|_| random.wait_ns(1e6) as f64).sum::<f64>() / 1e4;
        assert!((9e5..1.1e6).contains(&mean), "{mean}");
        let happened = (0..10_000).filter(|_| random.happens(70)).count();
        assert!((600..800).contains(&happened), "{happened}");
    }
}
