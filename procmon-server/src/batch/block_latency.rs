//! How long block requests took, as histograms.

/// Buckets of a histogram: bucket n counts what took less than 2^n microseconds and not less than 2^(n-1); the last one
/// takes all that is slower.
pub const BUCKETS: usize = 28;

/// What completed since the sample before.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockLatency {
    pub of: BlockSource,
    pub operation: super::Operation,
    pub histogram: Histogram,
}

/// Whose requests they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// Requests of all issuers to one device.
    Device {
        major: u32,
        minor: u32,
        name: Box<str>,
    },
    /// Requests of one process to all devices, by its handle.
    Issuer(u32),
    /// Requests of kernel workers on behalf of others.
    Writeback,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    pub buckets: [u64; BUCKETS],
    pub bytes: u64,
    pub latency_sum_ns: u64,
}

impl Histogram {
    pub fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.saturating_add(more);
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.latency_sum_ns = self.latency_sum_ns.saturating_add(other.latency_sum_ns);
    }

    pub fn requests(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0, |sum, bucket| sum.saturating_add(*bucket))
    }
}
