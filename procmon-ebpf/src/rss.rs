//! Resident pages of an `mm`, exactly: the kernel keeps a shared count and, elsewhere, what was not added to it yet. Since
//! 6.2 that is per CPU, before that per thread.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_map_lookup_percpu_elem};

use crate::maps::{CPU_OFFSETS, PROBE_ELEMENT};
use crate::offsets::{Object, load_u64, number_of, offset, probe_u64};

/// CPUs whose counters are added at most: the loop must be bounded for the verifier.
const MAX_CPUS: usize = 512;
const PAGES_FILE: usize = 0;
const PAGES_ANON: usize = 1;
const PAGES_SHMEM: usize = 3;
const COUNTERS: usize = 4;

/// What the shared counters say. A `u64` of the kernel's `s64`.
#[inline(always)]
pub(crate) unsafe fn counted_pages(mm: Object) -> i64 {
    if offset!(rss_is_percpu) == 0 {
        // An array of `atomic_long_t`, which 6.1's verifier does not let through as a plain load.
        let stat = mm as usize + offset!(mm_rss_stat);
        let Ok(pages) = bpf_probe_read_kernel(stat as *const [i64; COUNTERS]) else {
            return 0;
        };
        return pages[PAGES_FILE] + pages[PAGES_ANON] + pages[PAGES_SHMEM];
    }
    load_u64!(mm, mm_file_pages)
        .wrapping_add(load_u64!(mm, mm_anon_pages))
        .wrapping_add(load_u64!(mm, mm_shmem_pages)) as i64
}

/// What a thread holds back before 6.2: `struct task_rss_stat`.
#[inline(always)]
pub(crate) unsafe fn cached_pages(task: Object) -> i64 {
    let at = offset!(task_rss_stat_count);
    if at == 0 {
        return 0;
    }
    let Ok(pages) = bpf_probe_read_kernel((task as usize + at) as *const [i32; COUNTERS]) else {
        return 0;
    };
    resident(&pages)
}

/// Adds what the CPUs have not added to the shared counters yet; false where that cannot be told: the per-CPU
/// areas are not known, or the counters are not one block per CPU (6.2 to 6.5).
#[inline(always)]
pub(crate) unsafe fn add_cpu_deltas(mm: Object, pages: &mut i64) -> bool {
    let (Some(first), Some(offsets)) = (one_block(mm), CPU_OFFSETS.get(0)) else {
        return false;
    };
    if offsets.known == 0 {
        return false;
    }
    let cpus = offset!(cpus);
    let mut cpu = 0;
    while cpu < cpus && cpu < MAX_CPUS {
        let counters = first.wrapping_add(offsets.of_cpu[cpu] as usize);
        let Ok(deltas) = bpf_probe_read_kernel(counters as *const [i32; COUNTERS]) else {
            return false;
        };
        *pages += resident(&deltas);
        cpu += 1;
    }
    true
}

/// As [`add_cpu_deltas`] of this CPU alone: what an exiting process touched last, for one read however many CPUs there are.
/// What others hold back is less than a batch of each that it ran on; the kernel's own high-water mark leaves out all.
#[inline(always)]
pub(crate) unsafe fn add_own_cpu_deltas(mm: Object, pages: &mut i64) {
    let (Some(counters), Some(offsets)) = (one_block(mm), CPU_OFFSETS.get(0)) else {
        return;
    };
    let cpu = bpf_get_smp_processor_id() as usize;
    if offsets.known != 0 && cpu < MAX_CPUS {
        let of_cpu = counters.wrapping_add(offsets.of_cpu[cpu] as usize);
        if let Ok(deltas) = bpf_probe_read_kernel(of_cpu as *const [i32; COUNTERS]) {
            *pages += resident(&deltas);
        }
    }
}

/// The per-CPU pointer of the counters, where they are one block per CPU (not in 6.2 to 6.5).
#[inline(always)]
unsafe fn one_block(mm: Object) -> Option<usize> {
    let first = load_u64!(mm, mm_file_deltas) as usize;
    let last = load_u64!(mm, mm_shmem_deltas) as usize;
    (last.wrapping_sub(first) == PAGES_SHMEM * size_of::<i32>()).then_some(first)
}

#[inline(always)]
fn resident(counters: &[i32; COUNTERS]) -> i64 {
    i64::from(counters[PAGES_FILE])
        + i64::from(counters[PAGES_ANON])
        + i64::from(counters[PAGES_SHMEM])
}

/// What to add to a per-CPU pointer for each CPU: the kernel's `__per_cpu_offset`.
#[repr(C)]
pub(crate) struct CpuOffsets {
    known: u64,
    spill: u64,
    of_cpu: [u64; MAX_CPUS],
}

/// Learns them from a per-CPU map, of which both are known: the per-CPU pointer, which its `struct bpf_array` holds, and the
/// address of the element on each CPU. No symbol table is needed, which few kernels show.
pub(crate) unsafe fn learn_cpu_offsets() {
    let cpus = offset!(cpus);
    let Some(offsets) = CPU_OFFSETS.get_ptr_mut(0) else {
        return;
    };
    if cpus == 0 || cpus > MAX_CPUS {
        return;
    }
    let spill = &raw mut (*offsets).spill;
    let array = number_of((&raw const PROBE_ELEMENT).cast(), spill) as usize;
    let pointer = probe_u64(array + offset!(bpf_array_pptrs));
    let mut cpu = 0;
    while cpu < cpus && cpu < MAX_CPUS {
        let key = 0_u32;
        let element = bpf_map_lookup_percpu_elem(
            (&raw const PROBE_ELEMENT).cast_mut().cast(),
            (&raw const key).cast(),
            cpu as u32,
        );
        if element.is_null() || pointer == 0 {
            return;
        }
        (*offsets).of_cpu[cpu] = number_of(element as Object, spill).wrapping_sub(pointer);
        cpu += 1;
    }
    (*offsets).known = 1;
}
