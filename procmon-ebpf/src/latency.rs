//! Latencies of block requests as histograms of powers of two, added up in the kernel: per device, per issuing process, and
//! of kernel workers that write back on behalf of others.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::read_volatile;

use procmon_common::kernel::{
    BlockRequest, Counter, Kind, LATENCY_BUCKETS, LatencyKey, LatencyScope,
};

use crate::emit::count;
use crate::maps::{EMPTY_LATENCY, LATENCIES};
use crate::offsets::{Object, load_object, load_u32};

const PF_KTHREAD: u32 = 0x0020_0000;

#[inline(always)]
pub(crate) unsafe fn add_latency(request: Object, issue: *const BlockRequest, latency_ns: u64) {
    let operation = load_u32!(request, request_cmd_flags) & 0xff;
    let queue = load_object!(request, request_q);
    let disk = load_object!(queue, request_queue_disk);
    let device =
        (load_u32!(disk, gendisk_major) as u64) << 32 | load_u32!(disk, gendisk_first_minor) as u64;
    let bytes = (*issue).bytes as u64;
    let mut key = LatencyKey {
        scope: LatencyScope::Device as u32,
        operation,
        id: device,
        start_boot_ns: 0,
    };
    add(&key, latency_ns, bytes);
    if (*issue).issuer_flags & PF_KTHREAD != 0 {
        key.scope = LatencyScope::Writeback as u32;
        key.id = 0;
    } else {
        key.scope = LatencyScope::Issuer as u32;
        key.id = (*issue).issuer_pid as u64;
        key.start_boot_ns = (*issue).issuer_start_boot_ns;
    }
    add(&key, latency_ns, bytes);
}

#[inline(always)]
unsafe fn add(key: &LatencyKey, latency_ns: u64, bytes: u64) {
    let known = LATENCIES.get_ptr_mut(key).or_else(|| {
        // Another CPU may be first: then its entry is found.
        let _ = LATENCIES.insert(key, EMPTY_LATENCY.get(0)?, 1);
        LATENCIES.get_ptr_mut(key)
    });
    let Some(latency) = known else {
        count(Counter::TableFull, Kind::SlowIo);
        return;
    };
    let micros = latency_ns / 1000;
    let bucket = 64 - micros.leading_zeros() as usize;
    let bucket = if bucket < LATENCY_BUCKETS {
        bucket
    } else {
        LATENCY_BUCKETS - 1
    };
    // Volatile, so that the bound stays visible to the verifier.
    let bucket = read_volatile(&raw const bucket) & (LATENCY_BUCKETS - 1);
    let slot = (&raw mut (*latency).buckets).cast::<u32>().add(bucket);
    atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(slot, 1);
    atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*latency).bytes, bytes);
    atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*latency).sum_ns, latency_ns);
}
