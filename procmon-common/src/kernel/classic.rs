//! What classic tracepoints tell on kernels without BTF: the record, and where the tracepoints' fields are.

use bytemuck::{Pod, Zeroable};

use super::{Comm, EXE_MAX, Header};

/// A fork, an exec or the exit of a thread, as its header says. `header.start_boot_ns` is 0: only structures that need
/// BTF know it. `header.ppid` is 0 where it is not known.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ClassicRecord {
    pub header: Header,
    /// The thread: of the new process its first, which is the process.
    pub tid: u32,
    /// Real user and group; of a fork the parent's, which are the child's.
    pub uid: u32,
    pub gid: u32,
    /// 1: the thread that exits is the last of its group. 0: not, or this kernel does not tell.
    pub group_dead: u32,
    /// Of the unified hierarchy; of a fork the parent's.
    pub cgroup_id: u64,
    pub comm: Comm,
}

/// The record of an exec ends with the path that was given to it, which ends with NUL.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct ClassicExecRecord {
    pub record: ClassicRecord,
    pub exe: [u8; EXE_MAX],
}

/// Byte offsets of fields in the records of tracepoints: read from tracefs, frozen into the programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ClassicFields {
    pub task_newtask_pid: u32,
    pub task_newtask_clone_flags: u32,
    /// A `__data_loc`: the low half is the offset of the text.
    pub sched_process_exec_filename: u32,
    /// 0: this kernel has no such field.
    pub sched_process_exit_group_dead: u32,
}

const _: () = {
    assert!(size_of::<ClassicRecord>() == 72);
    assert!(core::mem::offset_of!(ClassicRecord, cgroup_id) == 48);
    assert!(size_of::<ClassicExecRecord>() == 328);
};
