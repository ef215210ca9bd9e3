//! What the ladder does where something is missing: run in child processes that give it up (`--child ladder NAME`).

use anyhow::{Result, bail, ensure};
use procmon_agent::config::Probe;
use procmon_agent::kernel::CaptureOptions;
use procmon_agent::kernel::probe::{Level, assess, choose};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::child::status_of;

pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        "no-btf" => without_btf(),
        "no-capabilities" => without_capabilities(),
        "pid-namespace" => in_a_pid_namespace(),
        "network-namespace" => in_a_network_namespace(),
        "sockets" => crate::sockets::as_nobody(),
        "in-pid-namespace" => is_refused(&["ebpf", "tracepoint", "procnet"], "PID namespace"),
        other => bail!("unknown {other}"),
    }
}

fn unshare(flags: UnshareFlags) -> Result<()> {
    // SAFETY: no flag here is FILES.
    unsafe { unshare_unsafe(flags) }?;
    Ok(())
}

/// An empty folder in the place of the kernel's BTF.
fn without_btf() -> Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount(
        "none",
        "/sys/kernel/btf",
        "tmpfs",
        MountFlags::empty(),
        None,
    )?;
    is_refused(&["ebpf"], "no BTF")?;
    let (level, reason, source) = choose(Probe::Auto, CaptureOptions::default(), None)?;
    ensure!(level == Level::Tracepoint, "{level}: {reason}");
    ensure!(
        reason == "ebpf: this kernel has no BTF (/sys/kernel/btf/vmlinux does not exist)",
        "{reason}"
    );
    ensure!(source.has_events());
    Ok(())
}

/// Gives up all capabilities, and the user who would be given them.
pub(crate) fn become_nobody() -> Result<()> {
    // SAFETY: plain system calls on this process.
    let result = unsafe {
        libc::setgroups(0, std::ptr::null());
        libc::setresgid(65_534, 65_534, 65_534) | libc::setresuid(65_534, 65_534, 65_534)
    };
    ensure!(result == 0, "cannot give up root");
    Ok(())
}

fn without_capabilities() -> Result<()> {
    become_nobody()?;
    is_refused(&["ebpf", "tracepoint"], "missing CAP_BPF and CAP_PERFMON")?;
    let findings = assess();
    let procnet = findings.iter().find(|finding| finding.level == "procnet");
    let (level, reason, source) = choose(Probe::Auto, CaptureOptions::default(), None)?;
    let above =
        "ebpf: missing CAP_BPF and CAP_PERFMON; tracepoint: missing CAP_BPF and CAP_PERFMON";
    if procnet.is_some_and(|procnet| procnet.ok) {
        // Linux 6.6 and later let everybody listen.
        ensure!(
            level == Level::Procnet && reason == above,
            "{level}: {reason}"
        );
        return Ok(());
    }
    is_refused(&["procnet"], "missing CAP_NET_ADMIN")?;
    ensure!(level == Level::Sample && !source.has_events(), "{level}");
    ensure!(
        reason == format!("{above}; procnet: missing CAP_NET_ADMIN"),
        "{reason}"
    );
    let Err(error) = choose(Probe::Procnet, CaptureOptions::default(), None) else {
        bail!("procnet works without a capability")
    };
    ensure!(
        error.to_string()
            == "the probe level procnet does not work here: missing CAP_NET_ADMIN. Fix: run as root, or grant CAP_NET_ADMIN",
        "{error:#}"
    );
    Ok(())
}

/// The first child is in the new namespace.
fn in_a_pid_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWPID)?;
    let status = status_of("in-pid-namespace")?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The classic tracepoints see the whole host; only how processes end is unknown.
fn in_a_network_namespace() -> Result<()> {
    unshare(UnshareFlags::NEWNET)?;
    is_refused(&["procnet"], "initial network namespace")?;
    let findings = assess();
    let tracepoint = findings
        .iter()
        .find(|finding| finding.level == "tracepoint");
    ensure!(
        tracepoint.is_some_and(|finding| finding.ok
            && finding.reason.contains("exit codes stay unknown")),
        "{tracepoint:?}"
    );
    Ok(())
}

fn is_refused(levels: &[&str], why: &str) -> Result<()> {
    for finding in assess() {
        if levels.contains(&finding.level) {
            ensure!(!finding.ok && finding.reason.contains(why), "{finding:?}");
            ensure!(!finding.fix.contains("report its output"), "{finding:?}");
        }
    }
    Ok(())
}
