//! Which cgroup a task is in.

use procmon_common::kernel::{LEGACY_CGROUP, ROOT_CGROUP};

use crate::memo::remembered;
use crate::offsets::{Object, load_object, load_u64, offset, probe_u64};

/// Id of the task's cgroup: its inode number in the unified hierarchy. Where that only knows the root, and a legacy
/// hierarchy says more, the id there, with [`LEGACY_CGROUP`] set.
#[inline(always)]
pub(crate) unsafe fn cgroup_id(task: Object) -> u64 {
    let css_set = load_object!(task, task_cgroups);
    let legacy = offset!(legacy_controller);
    if legacy == 0 {
        return unified_id(css_set);
    }
    remembered(css_set, || {
        let unified = unified_id(css_set);
        if unified != ROOT_CGROUP {
            return unified;
        }
        controller_cgroup_id(css_set, legacy - 1) | LEGACY_CGROUP
    })
}

#[inline(always)]
unsafe fn unified_id(css_set: Object) -> u64 {
    let cgroup = load_object!(css_set, css_set_dfl_cgrp);
    let node = load_object!(cgroup, cgroup_kn);
    load_u64!(node, kernfs_node_id)
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
