//! Pids that come round again: each life is told as its own.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;

use crate::lives::LifeId;
use crate::trial;
use crate::watcher::{Watcher, child};

/// The least that a kernel takes is 301: below 300 pids are left to daemons.
const PID_MAX: u32 = 400;
/// Several times all pids there are.
const FORKS: u32 = 1500;
const PID_MAX_FILE: &str = "/proc/sys/kernel/pid_max";
/// Set by whoever starts a virtual machine for these tests: there the whole machine may be changed.
const GUEST_VARIABLE: &str = "PROCMON_TEST_GUEST";

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "pids_wrap_and_lives_stay_apart",
        pids_wrap_and_lives_stay_apart,
    )]
}

/// Where the limit may be lowered without harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In a virtual machine of our own.
    WholeMachine,
    /// In a PID namespace: its limit is its own since Linux 6.14.
    Namespace,
}

fn way() -> Result<Way> {
    if std::env::var_os(GUEST_VARIABLE).is_some() {
        return Ok(Way::WholeMachine);
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut parts = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= (6, 14) {
        return Ok(Way::Namespace);
    }
    bail!(
        "Linux {} has one pid_max for all: this test would change it for the whole machine. Run it in a virtual machine \
         (cargo xtask test --only kernel-matrix, which sets {GUEST_VARIABLE})",
        release.trim()
    )
}

fn pid_max() -> Result<u32> {
    Ok(std::fs::read_to_string(PID_MAX_FILE)?.trim().parse()?)
}

fn pids_wrap_and_lives_stay_apart() -> Result<()> {
    let way = way()?;
    println!("    limit lowered for: {way:?}");
    let before = pid_max()?;
    let mut watcher = Watcher::start()?;
    let forked = match way {
        Way::WholeMachine => {
            std::fs::write(PID_MAX_FILE, PID_MAX.to_string())?;
            let forked = fork_many(&mut watcher, "forks");
            std::fs::write(PID_MAX_FILE, before.to_string())?;
            forked?
        }
        Way::Namespace => fork_many(&mut watcher, "forks-in-namespace")?,
    };
    ensure!(pid_max()? == before, "the machine's own limit was changed");
    let all_ended = |watcher: &Watcher| {
        let told = |forked: &Forked| {
            let life = watcher.told.by_id.get(&forked.id);
            life.is_some_and(|life| !life.exits.is_empty())
        };
        forked.iter().all(told)
    };
    watcher.until("the end of all", all_ended)?;
    each_life_is_its_own(&watcher, &forked)?;
    pids_came_round(&watcher, &forked, way)
}

/// One that the child forked: who it was by its own word, and the code it exited with.
#[derive(Debug)]
struct Forked {
    id: LifeId,
    code: u32,
}

fn each_life_is_its_own(watcher: &Watcher, forked: &[Forked]) -> Result<()> {
    let distinct: HashSet<LifeId> = forked.iter().map(|forked| forked.id).collect();
    ensure!(
        distinct.len() == FORKS as usize,
        "{} identities of {FORKS} processes",
        distinct.len()
    );
    for Forked { id, code } in forked {
        let life = watcher.told.by_id.get(id).context("a life was not told")?;
        let [(exit, false)] = &life.exits[..] else {
            bail!("not one exit of {id:?}: {life:?}")
        };
        ensure!(
            exit.code == Some(*code),
            "{id:?} exited with {code}, told was {exit:?}"
        );
    }
    Ok(())
}

fn pids_came_round(watcher: &Watcher, forked: &[Forked], way: Way) -> Result<()> {
    let mut lives_of_pid: HashMap<u32, u32> = HashMap::new();
    for Forked { id, .. } in forked {
        let process = &watcher.told.by_id[id].process;
        let pid = match way {
            Way::WholeMachine => process.pid,
            Way::Namespace => process.namespace_pid.context("no pid in the namespace")?,
        };
        ensure!(pid < PID_MAX, "pid {pid} is over the limit: {way:?}");
        *lives_of_pid.entry(pid).or_default() += 1;
    }
    let most = lives_of_pid.values().max().copied().unwrap_or(0);
    ensure!(most >= 5, "{way:?}: no pid had more than {most} lives");
    Ok(())
}

/// Runs a child that forks one process after the other.
fn fork_many(watcher: &mut Watcher, how: &str) -> Result<Vec<Forked>> {
    let mut command = child([how, &FORKS.to_string(), &PID_MAX.to_string()]);
    let mut parent = command.stdout(Stdio::piped()).spawn()?;
    let output = parent.stdout.take().context("piped")?;
    let mut forked = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        let words: Vec<u64> = line.split(' ').flat_map(str::parse).collect();
        let [pid, start_ticks, code] = words[..] else {
            bail!("the child says {line:?}")
        };
        forked.push(Forked {
            id: (pid as u32, start_ticks),
            code: code as u32,
        });
        watcher.poll()?;
    }
    let status = parent.wait()?;
    ensure!(status.success(), "the child that forks failed: {status}");
    Ok(forked)
}
