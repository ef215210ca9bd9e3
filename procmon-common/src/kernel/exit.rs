use bytemuck::{Pod, Zeroable};

use super::{Comm, Header};

/// What a thread group used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Totals {
    /// `sum_exec_runtime` of all threads.
    pub cpu_time_ns: u64,
    /// The kernel's raw split; samples where it accounts by ticks.
    pub utime_ns: u64,
    pub stime_ns: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub io: IoTotals,
}

/// `struct task_io_accounting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct IoTotals {
    pub read_chars: u64,
    pub write_chars: u64,
    pub read_calls: u64,
    pub write_calls: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
}

/// The last thread of a group is exiting.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ExitRecord {
    pub header: Header,
    pub uid: u32,
    /// As wait(2) reports it: signal, core flag and exit code in one word.
    pub wait_status: u32,
    pub cgroup_id: u64,
    /// `signal->maxrss`, which includes the memory of images before the last exec.
    pub max_rss_pages: u64,
    /// High-water mark of the memory that is exiting; 0 where it was gone already.
    pub own_rss_pages: u64,
    /// Without what runs after this point: provisional.
    pub totals: Totals,
    /// All zero: nobody, or not seen.
    pub killer: Killer,
    pub comm: Comm,
}

/// The sender of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Killer {
    pub start_boot_ns: u64,
    pub pid: u32,
    pub uid: u32,
    pub comm: Comm,
}

/// A signal on its way to a process that it may end.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SentSignal {
    pub target_start_boot_ns: u64,
    pub signal: u32,
    pub padding: u32,
    pub killer: Killer,
}

/// A thread group's leader is freed: its totals are final.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct FreeRecord {
    pub header: Header,
    pub totals: Totals,
}

const _: () = {
    assert!(size_of::<Totals>() == 104);
    assert!(size_of::<ExitRecord>() == 216);
    assert!(core::mem::offset_of!(ExitRecord, totals) == 64);
    assert!(size_of::<FreeRecord>() == 136);
};
