//! The maps: one ring to the agent, counters of what was written and lost, and the block requests in flight.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use procmon_common::kernel::{
    ARGS_MAX, BlockRequest, COUNTER_SLOTS, EXE_MAX, ExecRecord, LOST_BY_ENTRIES, Latency,
    LatencyKey, LostKey, SentSignal, TOLD_SLOTS, TaskSample,
};

use crate::file_memo::{FILE_MEMO_SLOTS, FileMemo};
use crate::files::{DESCRIPTOR_SLOTS, FileWalk};
use crate::memo::Memos;
use crate::rss::CpuOffsets;

/// 1 MiB holds 500 ms of 2 000 starts a second; the agent may set another size when it loads the programs.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_SLOTS, 0);

/// What could still be said of records that found the ring full. Those that find this full too are in `COUNTERS` alone.
#[map]
pub(crate) static LOST_BY: PerCpuHashMap<LostKey, u64> =
    PerCpuHashMap::with_max_entries(LOST_BY_ENTRIES, 0);

/// The agent's notebook, which outlives it where the maps are pinned: no program uses it.
#[map]
pub(crate) static TOLD: Array<u64> = Array::with_max_entries(TOLD_SLOTS, 0);

/// Keyed by the address of the request. A full table is counted.
#[map]
pub(crate) static REQUESTS: HashMap<u64, BlockRequest> = HashMap::with_max_entries(16_384, 0);

/// Where an exec record is put together: its length is known only at its end.
pub(crate) const SCRATCH_BYTES: usize = size_of::<ExecRecord>() + EXE_MAX + ARGS_MAX;

#[repr(C, align(8))]
pub(crate) struct Scratch([u8; SCRATCH_BYTES]);

#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Where a sample is put together, and what a walk over descriptors keeps: a pass runs on one CPU and is not re-entered.
#[map]
pub(crate) static TASK_SAMPLE: PerCpuArray<TaskSample> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static FILE_WALK: PerCpuArray<FileWalk> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static DESCRIPTORS: PerCpuArray<[u64; DESCRIPTOR_SLOTS]> =
    PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static FILE_MEMOS: Array<FileMemo> = Array::with_max_entries(FILE_MEMO_SLOTS, 0);

#[map]
pub(crate) static MEMOS: PerCpuArray<Memos> = PerCpuArray::with_max_entries(1, 0);

/// `f_op` of every socket's file; 0 until it is learnt: then no socket is seen.
#[map]
pub(crate) static SOCKET_OPERATIONS: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static CPU_OFFSETS: Array<CpuOffsets> = Array::with_max_entries(1, 0);
/// Only to learn where per-CPU memory is.
#[map]
pub(crate) static PROBE_ELEMENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The last signal that may end a process, by its pid: the oldest go first.
#[map]
pub(crate) static SENT_SIGNALS: LruHashMap<u32, SentSignal> = LruHashMap::with_max_entries(8192, 0);

/// Never emptied by the programs: the agent forgets what belongs to processes that ended. A full table is counted.
#[map]
pub(crate) static LATENCIES: HashMap<LatencyKey, Latency> = HashMap::with_max_entries(4096, 0);
/// Zeroes, too many for the stack.
#[map]
pub(crate) static EMPTY_LATENCY: Array<Latency> = Array::with_max_entries(1, 0);
