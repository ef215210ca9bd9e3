//! Rings that outlive the agent, and privileges that are given up: both at once.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use super::agent::{Agent, run_marked, until};
use super::bpffs::Bpffs;
use super::privileges::{FOUR, require};
use super::server::Server;
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "pin::rings_go_on_without_the_privileges_to_pin",
        without_privileges,
    )]
}

fn require_seen(server: &Server, marker: &str) -> Result<()> {
    until("a process is seen", || {
        let seen = server.seen().args_of_execs();
        Ok(seen.iter().any(|args| args.contains(marker)))
    })
}

/// Versions of the programs that are pinned.
fn versions(bpffs: &Path) -> Result<usize> {
    let mut versions = 0;
    for instance in fs::read_dir(bpffs.join("procmon"))? {
        for version in fs::read_dir(instance?.path())? {
            versions += usize::from(version?.file_type()?.is_dir());
        }
    }
    Ok(versions)
}

/// The same programs go on, then others take over and remove what they found.
fn without_privileges() -> Result<()> {
    let (server, bpffs) = (Server::start()?, Bpffs::mount()?);
    let url = server.url();
    let arguments = ["--probe=ebpf", "--interval=1s", "--server-url", &url];
    let agent = Agent::start_pinned(tempfile::tempdir()?, bpffs.path(), &arguments)?;
    require(&agent, FOUR, true)?;
    run_marked("while-pinned")?;
    require_seen(&server, "while-pinned")?;

    let mut folder = agent.kill()?;
    for (marker, threshold) in [
        ("without-an-agent", "100ms"),
        ("before-other-programs", "70ms"),
    ] {
        run_marked(marker)?;
        let threshold = ["--io-slow-threshold", threshold];
        let arguments = [&arguments[..], &threshold].concat();
        let agent = Agent::start_pinned(folder, bpffs.path(), &arguments)?;
        require(&agent, FOUR, true)?;
        require_seen(&server, marker)?;
        until("only its own programs are pinned", || {
            Ok(versions(bpffs.path())? == 1)
        })?;
        let text = agent.get("/metrics", "*/*")?.1;
        ensure!(!text.contains("denied_syscalls_total{"), "{text}");
        folder = agent.kill()?;
    }
    Ok(())
}
