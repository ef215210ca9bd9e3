//! Giving up capabilities, and proving it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

use super::table::{Feature, names, needed};

/// What this thread is limited to.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) kept: Vec<&'static str>,
    pub(super) bounded: bool,
}

/// Everything but what the features need, from every set, for this thread.
pub(super) fn give_up(features: &[Feature]) -> Result<Limits> {
    let before = capabilities(None).context("cannot read this process's capabilities")?;
    let kept = needed(features) & before.permitted;
    // First: this takes CAP_SETPCAP, which is given up below. Without it the set stays as it is, and no_new_privs
    // keeps it from mattering.
    let bounded = before.effective.contains(CapabilitySet::SETPCAP) && bound(kept);
    // A kernel without ambient capabilities (before 4.3) has none to clear.
    let _ = clear_ambient_capability_set();
    set_no_new_privs(true).context("cannot set no_new_privs")?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
    .context("cannot give up capabilities")?;
    let after = capabilities(None)?;
    ensure!(
        after.permitted == kept && after.effective == kept && after.inheritable.is_empty(),
        "the kernel did not take the capabilities away: {:?} are left",
        after.permitted
    );
    Ok(Limits {
        kept: names(kept),
        bounded,
    })
}

/// Limits what any later program could be given. The kernel may know capabilities that this version does not: every bit is
/// asked for until it says that there is no such one.
fn bound(kept: CapabilitySet) -> bool {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .take_while(|capability| capability_is_in_bounding_set(*capability).is_ok())
        .filter(|capability| !kept.contains(*capability))
        .all(|capability| remove_capability_from_bounding_set(capability).is_ok())
}

/// Tries it with the capability put aside, which is the only way that knows ACLs, groups and read-only mounts.
pub(super) fn writable_without_override(folder: &Path) -> bool {
    let Ok(before) = capabilities(None) else {
        return false;
    };
    let aside = CapabilitySets {
        effective: before.effective - CapabilitySet::DAC_OVERRIDE,
        ..before
    };
    if set_capabilities(None, aside).is_err() {
        return false;
    }
    let allowed = rustix::fs::accessat(
        CWD,
        folder,
        Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .is_ok();
    // What was permitted a moment ago still is.
    let _ = set_capabilities(None, before);
    allowed
}
