//! Which cgroup a task is in.

use core::ptr::write_volatile;

use aya_ebpf::helpers::generated::bpf_jiffies64;
use procmon_common::kernel::{LEGACY_CGROUP, ROOT_CGROUP};

use crate::maps::CGROUP_MEMOS;
use crate::offsets::{Object, load_object, load_u64, number_of, offset, probe_u64};

/// Id of the task's cgroup: its inode number in the unified hierarchy. Where that only knows the root, and a legacy
/// hierarchy says more, the id there, with [`LEGACY_CGROUP`] set.
#[inline(always)]
pub(crate) unsafe fn cgroup_id(task: Object) -> u64 {
    let css_set = load_object(task, offset!(task_cgroups));
    let legacy = offset!(legacy_controller);
    if legacy == 0 {
        return node_id(load_object(css_set, offset!(css_set_dfl_cgrp)));
    }
    let unified = node_id(load_object(css_set, offset!(css_set_dfl_cgrp)));
    if unified != ROOT_CGROUP {
        return unified;
    }
    legacy_cgroup_id(css_set, legacy - 1) | LEGACY_CGROUP
}

#[inline(always)]
unsafe fn node_id(cgroup: Object) -> u64 {
    let node = load_object(cgroup, offset!(cgroup_kn));
    load_u64(node, offset!(kernfs_node_id))
}

/// Id of the cgroup of one controller (its index in `css_set.subsys`), in whatever hierarchy that is. By helpers: plain loads
/// of this array read as 0 on 6.1.
#[inline(always)]
pub(crate) unsafe fn controller_cgroup_id(css_set: Object, controller: usize) -> u64 {
    let state = probe_u64(css_set as usize + offset!(css_set_subsys) + controller * 8) as usize;
    let cgroup = probe_u64(state + offset!(css_cgroup)) as usize;
    let node = probe_u64(cgroup + offset!(cgroup_kn)) as usize;
    probe_u64(node + offset!(kernfs_node_id))
}

const MEMOS: usize = 64;

/// Found by the address of a `css_set`, whose cgroups never change. Its memory is used again a grace period after its last
/// task left at the earliest, which is later than a memo is believed.
#[derive(Clone, Copy)]
#[repr(C)]
struct CgroupMemo {
    css_set: u64,
    jiffies: u64,
    id: u64,
}

#[repr(C)]
pub(crate) struct CgroupMemos {
    spill: u64,
    memos: [CgroupMemo; MEMOS],
}

/// Four reads by helpers, or what they said for the same `css_set` in this jiffy or the last.
#[inline(always)]
unsafe fn legacy_cgroup_id(css_set: Object, controller: usize) -> u64 {
    let Some(memos) = CGROUP_MEMOS.get_ptr_mut(0) else {
        return controller_cgroup_id(css_set, controller);
    };
    let address = number_of(css_set, &raw mut (*memos).spill);
    let memo = &raw mut (*memos).memos[((address >> 7 ^ address >> 13) as usize) & (MEMOS - 1)];
    let now = bpf_jiffies64();
    if (*memo).css_set == address && now.wrapping_sub((*memo).jiffies) <= 1 {
        return (*memo).id;
    }
    let id = controller_cgroup_id(css_set, controller);
    // Another program may interrupt this one on its CPU: it finds no memo that is half written.
    write_volatile(&raw mut (*memo).css_set, 0);
    write_volatile(&raw mut (*memo).jiffies, now);
    write_volatile(&raw mut (*memo).id, id);
    write_volatile(&raw mut (*memo).css_set, address);
    id
}
