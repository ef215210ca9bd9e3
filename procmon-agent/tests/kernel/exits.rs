//! How a life ends.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use crate::trial;
use crate::watcher::{Watcher, child};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("exit_code", exit_code),
        trial("killed_by_signal", killed_by_signal),
        trial("the_killer_is_named", the_killer_is_named),
        trial("a_fault_has_no_killer", a_fault_has_no_killer),
        trial(
            "leader_exits_before_its_threads",
            leader_exits_before_its_threads,
        ),
        trial(
            "zombie_is_told_before_it_is_reaped",
            zombie_is_told_before_it_is_reaped,
        ),
    ]
}

fn exit_code() -> Result<()> {
    let mut watcher = Watcher::start_patiently()?;
    for code in [0_u32, 7, 255] {
        let mut process = child(["exit", &code.to_string()]).spawn()?;
        let pid = process.id();
        process.wait()?;
        let exit = watcher.life_of(pid)?.exit().clone();
        ensure!((exit.code, exit.signal) == (Some(code), None), "{exit:?}");
        ensure!(
            exit.totals_final,
            "the totals of a reaped process are final: {exit:?}"
        );
    }
    Ok(())
}

fn killed_by_signal() -> Result<()> {
    let mut watcher = Watcher::start()?;
    for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM] {
        let mut process = child(["signal", &signal.to_string()]).spawn()?;
        let pid = process.id();
        process.wait()?;
        let exit = watcher.life_of(pid)?.exit().clone();
        ensure!(
            (exit.code, exit.signal) == (None, Some(signal.cast_unsigned())),
            "{exit:?}"
        );
    }
    Ok(())
}

fn the_killer_is_named() -> Result<()> {
    let mut watcher = Watcher::start()?;
    for signal in [
        libc::SIGKILL,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGRTMIN(),
    ] {
        let mut victim = child(["sleep", "60000"]).spawn()?;
        let pid = victim.id();
        // A signal that is ignored, and one that is sent to nobody, must not be taken for it.
        for sent in [libc::SIGCHLD, 0, signal] {
            let mut killer = child(["kill", &pid.to_string(), &sent.to_string()]).spawn()?;
            killer.wait()?;
            if sent != signal {
                continue;
            }
            victim.wait()?;
            let exit = watcher.life_of(pid)?.exit().clone();
            let named = exit.killed_by.clone().context("no killer")?;
            let life = watcher.life_of(killer.id())?;
            ensure!(
                (named.pid, named.start_ticks) == (killer.id(), life.process.start_ticks),
                "{exit:?}"
            );
            ensure!(named.name == life.execs[0].image.clone().context("an image")?.name);
            ensure!((named.uid, exit.oom_killed) == (0, Some(false)), "{exit:?}");
        }
    }
    Ok(())
}

fn a_fault_has_no_killer() -> Result<()> {
    let mut watcher = Watcher::start()?;
    for how in ["fault", "pipe"] {
        let mut process = child([how]).spawn()?;
        let pid = process.id();
        process.wait()?;
        let exit = watcher.life_of(pid)?.exit().clone();
        ensure!(
            exit.signal.is_some() && exit.killed_by.is_none(),
            "{how}: {exit:?}"
        );
    }
    let mut process = child(["signal", &libc::SIGTERM.to_string()]).spawn()?;
    let pid = process.id();
    process.wait()?;
    let killer = watcher.life_of(pid)?.exit().killed_by.clone();
    ensure!(
        killer.is_some_and(|killer| killer.pid == pid),
        "it killed itself"
    );
    Ok(())
}

fn leader_exits_before_its_threads() -> Result<()> {
    let mut watcher = Watcher::start()?;
    // Which thread's code counts when none calls exit_group differs between kernels: as the parent is told.
    for arguments in [&["leader-first", "3"][..], &["leader-first", "3", "5"]] {
        let mut process = child(arguments).spawn()?;
        let pid = process.id();
        let told = process.wait()?.code().map(i32::cast_unsigned);
        let life = watcher.life_of(pid)?;
        ensure!(
            life.exit().code == told && told.is_some(),
            "the parent was told {told:?}: {:?}",
            life.exit()
        );
        let lived = life.exit().voluntary_switches.unwrap_or(0);
        ensure!(lived > 0, "the thread slept: {:?}", life.exit());
    }
    Ok(())
}

fn zombie_is_told_before_it_is_reaped() -> Result<()> {
    use std::io::BufRead;
    let mut watcher = Watcher::start()?;
    let mut parent = child(["zombie", "3000"])
        .stdout(std::process::Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    std::io::BufReader::new(parent.stdout.take().expect("piped")).read_line(&mut line)?;
    let zombie: u32 = line.trim().parse()?;
    let exit = watcher.life_of(zombie)?.exit().clone();
    ensure!(
        parent.try_wait()?.is_none(),
        "the event came only with the reaping"
    );
    ensure!(exit.code == Some(0) && !exit.totals_final, "{exit:?}");
    parent.wait()?;
    watcher.life_of(parent.id())?;
    let reaped = watcher.life_of(zombie)?;
    ensure!(
        reaped.exits.len() == 1,
        "reaping is no second end: {reaped:?}"
    );
    Ok(())
}
