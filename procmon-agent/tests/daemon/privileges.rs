//! What is left of root after the start, in every thread, and that it suffices.

use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_common::columns::Column;
use procmon_common::wire;

use super::agent::{Agent, NOBODY, Sleeper, User, run_marked, until};
use super::server::Server;
use super::trial;

/// `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`, `CAP_PERFMON`, `CAP_BPF`.
pub(crate) const FOUR: u64 = 1 << 2 | 1 << 19 | 1 << 38 | 1 << 39;
/// `CAP_DAC_READ_SEARCH`, `CAP_SYS_PTRACE`.
const TWO: u64 = 1 << 2 | 1 << 19;
const DAC_OVERRIDE: u64 = 1 << 1;
const SYS_ADMIN: u64 = 1 << 21;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("privileges::root_keeps_four_capabilities", root),
        trial("privileges::nobody_with_four_capabilities_sees_all", nobody),
        trial(
            "privileges::a_spool_of_another_user_costs_one_more",
            foreign,
        ),
        trial("privileges::tracepoints_need_one_more", tracepoint),
        trial("privileges::the_proc_connector_needs_no_bpf", procnet),
        trial("privileges::samples_need_no_bpf", sample),
        trial("privileges::hardening_can_be_off", off),
        trial("privileges::denied_calls_fail_and_are_counted", denied),
        trial("privileges::an_intruders_calls_are_fatal", fatal),
    ]
}

/// Of every thread: these capabilities in each set, none to gain, filtered.
pub(crate) fn require(agent: &Agent, capabilities: u64, is_bounded: bool) -> Result<()> {
    let threads = agent.threads()?;
    ensure!(threads.len() > 1, "the agent has one thread only");
    for thread in threads {
        let set = |name: &str| {
            let text = thread.get(name).with_context(|| format!("no {name}"))?;
            anyhow::Ok(u64::from_str_radix(text, 16)?)
        };
        for name in ["CapEff", "CapPrm"] {
            ensure!(set(name)? == capabilities, "{name}: {thread:?}");
        }
        for name in ["CapInh", "CapAmb"] {
            ensure!(set(name)? == 0, "{name}: {thread:?}");
        }
        ensure!(!is_bounded || set("CapBnd")? == capabilities, "{thread:?}");
        ensure!(thread["NoNewPrivs"] == "1", "{thread:?}");
        ensure!(thread["Seccomp"] == "2", "{thread:?}");
    }
    Ok(())
}

/// Sees a process that was there before, and one that comes and goes.
fn require_sight(agent: &Agent, server: &Server, sleeper: &str, marker: &str) -> Result<()> {
    run_marked(marker)?;
    until("the new process is seen", || {
        let seen = server.seen().args_of_execs();
        Ok(seen.iter().any(|args| args.contains(marker)))
    })?;
    until("the older process is sampled", || {
        let seen = server.seen();
        let Some((process, row)) = seen.process(sleeper) else {
            return Ok(false);
        };
        let image = process.image.context("an image")?;
        ensure!(image.exe.starts_with(b"/"), "{:?}", image.exe);
        Ok(row.get(Column::OpenFds).is_some_and(|fds| fds >= 3))
    })?;
    let denied = agent.get("/metrics", "*/*")?.1;
    ensure!(!denied.contains("denied_syscalls_total{"), "{denied}");
    Ok(())
}

fn root() -> Result<()> {
    let server = Server::start()?;
    let _sleeper = Sleeper::start("there-before-root", 1)?;
    let agent = Agent::start(&[
        "--probe=ebpf",
        "--interval=1s",
        "--server-url",
        &server.url(),
    ])?;
    require(&agent, FOUR, true)?;
    require_sight(&agent, &server, "there-before-root", "seen-by-root")?;
    require(&agent, FOUR, true)?;
    require_priority(&agent)?;
    agent.stop().map(drop)
}

/// Of every thread, before others: an overloaded host must not leave the ring unread.
fn require_priority(agent: &Agent) -> Result<()> {
    for task in std::fs::read_dir(format!("/proc/{}/task", agent.pid()))? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        // After the name come the fields from the third on; the nice value is the nineteenth.
        let nice = stat
            .rsplit_once(')')
            .and_then(|(_, fields)| fields.split_whitespace().nth(16));
        ensure!(nice == Some("-10"), "{stat}");
    }
    Ok(())
}

fn nobody() -> Result<()> {
    let server = Server::start()?;
    let _sleeper = Sleeper::start("there-before-nobody", 1)?;
    let arguments = [
        "--probe=ebpf",
        "--interval=1s",
        "--server-url",
        &server.url(),
    ];
    let agent = Agent::start_as(User::Nobody, &arguments)?;
    // Without CAP_SETPCAP the bounding set stays: no_new_privs keeps it from mattering.
    require(&agent, FOUR, false)?;
    for thread in agent.threads()? {
        let uid = thread["Uid"].split_whitespace().next();
        ensure!(uid == Some(&*NOBODY.to_string()), "{thread:?}");
    }
    require_sight(&agent, &server, "there-before-nobody", "seen-by-nobody")?;
    agent.stop().map(drop)
}

fn foreign() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool)?;
    chown(&spool, Some(NOBODY), Some(NOBODY))?;
    let agent = Agent::start_in(folder, User::Root, &["--probe=ebpf", "--interval=1s"])?;
    require(&agent, FOUR | DAC_OVERRIDE, true)?;
    until("the spool is written", || {
        Ok(agent.metric("spool_bytes")? > 0.0)
    })?;
    let log = agent.stop()?;
    ensure!(log.contains("belongs to another user"), "{log}");
    Ok(())
}

/// Sees what this level shows with what is left, the ports of another network namespace included.
fn lower(level: &str, capabilities: u64) -> Result<()> {
    let server = Server::start()?;
    let marker = format!("seen-at-{level}");
    let _contained = Sleeper::listening(&marker)?;
    let probe = format!("--probe={level}");
    let url = server.url();
    let agent = Agent::start(&[&probe, "--interval=1s", "--server-url", &url])?;
    require(&agent, capabilities, true)?;
    until("a port of another network namespace is seen", || {
        let seen = server.seen();
        let Some((process, _)) = seen.process(&marker) else {
            return Ok(false);
        };
        let mut ports = seen.batches.iter().filter_map(|batch| batch.frame.as_ref());
        Ok(ports.any(|frame| {
            let of_it = |ports: &&wire::Ports| ports.handle == process.handle;
            frame
                .ports
                .iter()
                .filter(of_it)
                .any(|ports| !ports.ports.is_empty())
        }))
    })?;
    if level != "sample" {
        run_marked("brief-below-ebpf")?;
        until("the new process is seen", || {
            let seen = server.seen().args_of_execs();
            Ok(seen.iter().any(|args| args.contains("brief-below-ebpf"))
                || agent.metric("events_total{kind=\"exit\"}").is_ok())
        })?;
    }
    let text = agent.get("/metrics", "*/*")?.1;
    ensure!(!text.contains("denied_syscalls_total{"), "{text}");
    agent.stop().map(drop)
}

fn tracepoint() -> Result<()> {
    lower("tracepoint", FOUR | SYS_ADMIN)
}

fn procnet() -> Result<()> {
    lower("procnet", TWO | SYS_ADMIN)
}

fn sample() -> Result<()> {
    lower("sample", TWO | SYS_ADMIN)
}

fn off() -> Result<()> {
    let agent = Agent::start(&["--hardening=false", "--interval=1s"])?;
    for thread in agent.threads()? {
        ensure!(thread["Seccomp"] == "0", "{thread:?}");
    }
    let log = agent.stop()?;
    ensure!(log.contains("hardening is off"), "{log}");
    Ok(())
}

fn child(arguments: &[&str]) -> Result<std::process::ExitStatus> {
    let status = Command::new(std::env::current_exe()?)
        .arg("--child")
        .args(arguments)
        .status()?;
    Ok(status)
}

fn denied() -> Result<()> {
    let status = child(&["denied"])?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn fatal() -> Result<()> {
    for call in [
        "execve",
        "ptrace",
        "process_vm_writev",
        "mount",
        "init_module",
        "kexec_load",
        "reboot",
        "unshare",
        "io_uring_setup",
    ] {
        let status = child(&["fatal", call])?;
        ensure!(status.signal() == Some(libc::SIGSYS), "{call}: {status}");
    }
    Ok(())
}
