//! The filter of system calls. Three programs, of which the strictest answer counts: one kills the process on calls that
//! only an intruder makes, one hides `clone3`, and one allows what the agent uses and makes everything else fail visibly
//! (`trap`).

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::syscalls::{ALLOWED, ALLOWED_WITH, Argument, FATAL, HIDDEN};
use super::table::Feature;
use super::trap;

/// Filters this thread and all others of the process. The error is the reason why that is not possible here.
pub(super) fn install(features: &[Feature]) -> Result<()> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .map_err(|_| anyhow!("not supported on {}", std::env::consts::ARCH))?;
    let fatal = uniform(FATAL, SeccompAction::KillProcess, arch)?;
    let hidden = uniform(HIDDEN, SeccompAction::Errno(libc::ENOSYS as u32), arch)?;
    let allowed = allowed(arch, features)?;
    trap::install().context("cannot handle SIGSYS")?;
    seccompiler::apply_filter_all_threads(&fatal)
        .context("the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)")?;
    seccompiler::apply_filter_all_threads(&hidden).context("the kernel refused the filter")?;
    seccompiler::apply_filter_all_threads(&allowed).context("the kernel refused the filter")
}

/// One answer for some calls, whatever their arguments.
fn uniform(calls: &[i64], action: SeccompAction, arch: TargetArch) -> Result<BpfProgram> {
    let rules = calls.iter().map(|number| (*number, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?;
    Ok(filter.try_into()?)
}

fn allowed(arch: TargetArch, features: &[Feature]) -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .chain(HIDDEN)
        .map(|number| (*number, Vec::new()))
        .collect();
    for (number, argument) in ALLOWED_WITH {
        add(&mut rules, *number, *argument)?;
    }
    let own_pid = Argument::is(0, u64::from(std::process::id()));
    add(&mut rules, libc::SYS_tgkill, own_pid)?;
    add(&mut rules, libc::SYS_prlimit64, own_pid)?;
    if features.contains(&Feature::OtherNetworks) {
        let network = Argument::is(1, libc::CLONE_NEWNET as u64);
        add(&mut rules, libc::SYS_setns, network)?;
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, arch)?;
    Ok(filter.try_into()?)
}

fn add(rules: &mut BTreeMap<i64, Vec<SeccompRule>>, number: i64, argument: Argument) -> Result<()> {
    let comparison = match argument.mask {
        Some(mask) => SeccompCmpOp::MaskedEq(mask),
        None => SeccompCmpOp::Eq,
    };
    let condition = SeccompCondition::new(
        argument.index,
        SeccompCmpArgLen::Dword,
        comparison,
        argument.value,
    )?;
    let rule = SeccompRule::new(vec![condition])?;
    rules.entry(number).or_default().push(rule);
    Ok(())
}
