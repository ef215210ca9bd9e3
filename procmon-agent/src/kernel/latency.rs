//! The histograms that the programs keep, read as what was added since the last reading.

use std::collections::HashMap;

use anyhow::{Context, Result};
use aya::maps::{HashMap as KernelMap, Map, MapData};
use foldhash::fast::RandomState;
use procmon_common::kernel::{Latency, LatencyKey, LatencyScope};

use super::batch_lookup::WholeMap;

/// Readings without a new request after which an issuer's histogram makes room for others.
const IDLE_READINGS: u32 = 60;

type KeyBytes = [u8; size_of::<LatencyKey>()];
type LatencyBytes = [u8; size_of::<Latency>()];

pub(super) struct LatencyTable {
    whole: WholeMap,
    kernel: KernelMap<MapData, KeyBytes, LatencyBytes>,
    known: HashMap<LatencyKey, Known, RandomState>,
}

#[derive(Default)]
struct Known {
    told: Latency,
    idle: u32,
}

impl LatencyTable {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self {
            whole: WholeMap::of(&map)?,
            kernel: map.try_into()?,
            known: HashMap::default(),
        })
    }

    pub(super) fn take(&mut self) -> Result<Vec<(LatencyKey, Latency)>> {
        let mut added = Vec::new();
        let mut idle = Vec::new();
        let known = &mut self.known;
        let read = self.whole.read(1, |key: &LatencyKey, now: &[Latency]| {
            let (key, Some(now)) = (*key, now.first()) else {
                return;
            };
            let known = known.entry(key).or_default();
            if *now == known.told {
                known.idle += 1;
                if known.idle >= IDLE_READINGS && key.scope != LatencyScope::Device as u32 {
                    idle.push(key);
                }
            } else {
                added.push((key, difference(now, &known.told)));
                *known = Known {
                    told: *now,
                    idle: 0,
                };
            }
        });
        read.context("cannot read the table of block latencies")?;
        for key in idle {
            self.known.remove(&key);
            let bytes = bytemuck::bytes_of(&key).try_into()?;
            // One that is gone already is what was wanted.
            let _ = self.kernel.remove(&bytes);
        }
        Ok(added)
    }
}

fn difference(now: &Latency, before: &Latency) -> Latency {
    let mut added = *now;
    for (bucket, told) in added.buckets.iter_mut().zip(before.buckets) {
        *bucket = bucket.wrapping_sub(told);
    }
    added.bytes = added.bytes.wrapping_sub(before.bytes);
    added.sum_ns = added.sum_ns.wrapping_sub(before.sum_ns);
    added
}
