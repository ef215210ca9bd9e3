//! The maps: one ring to the agent, counters of what was written and lost, and the block requests in flight.

use aya_ebpf::{
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
};
use procmon_common::kernel::{ARGS_MAX, BlockRequest, COUNTER_SLOTS, EXE_MAX, ExecRecord};

/// 1 MiB holds 500 ms of 2 000 starts a second; the agent may set another size when it loads the programs.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_SLOTS, 0);

/// Keyed by the address of the request. A full table is counted.
#[map]
pub(crate) static REQUESTS: HashMap<u64, BlockRequest> = HashMap::with_max_entries(16_384, 0);

/// Where an exec record is put together: its length is known only at its end.
pub(crate) const SCRATCH_BYTES: usize = size_of::<ExecRecord>() + EXE_MAX + ARGS_MAX;

#[repr(C, align(8))]
pub(crate) struct Scratch([u8; SCRATCH_BYTES]);

#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
