//! N processes started are N starts and N ends.

use std::collections::HashSet;
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;

use crate::trial;
use crate::watcher::Watcher;

/// Small enough for an emulated machine; `cargo xtask bench capture` runs 50 000.
const PROCESSES: u32 = 2000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_storm_loses_nothing", a_storm_loses_nothing)]
}

/// Starts and reaps so many /bin/true; each is seen to start and to end well, once. Their pids.
pub(crate) fn storm(watcher: &mut Watcher, processes: u32) -> Result<HashSet<u32>> {
    let mut pids = HashSet::new();
    for number in 0..processes {
        let mut process = Command::new("/bin/true").arg(number.to_string()).spawn()?;
        pids.insert(process.id());
        process.wait()?;
        // The ring holds about 1 500 lives.
        if number % 100 == 0 {
            watcher.poll()?;
        }
    }
    ensure!(pids.len() as u32 == processes, "pids were reused");
    watcher.until("end of all", |watcher| {
        pids.iter().all(|pid| {
            watcher
                .lives
                .get(pid)
                .is_some_and(|life| !life.exits.is_empty())
        })
    })?;
    for pid in &pids {
        let life = &watcher.lives[pid];
        ensure!(life.execs.len() == 1 && life.exits.len() == 1, "{life:?}");
        ensure!(life.exit().code == Some(0), "{life:?}");
    }
    Ok(pids)
}

fn a_storm_loses_nothing() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let pids = storm(&mut watcher, PROCESSES)?;
    let mut numbers = HashSet::new();
    for pid in &pids {
        let life = &watcher.lives[pid];
        let image = life.execs[0].image.clone().unwrap_or_default();
        numbers.insert(String::from_utf8_lossy(&image.args).into_owned());
    }
    let expected: HashSet<String> = (0..PROCESSES)
        .map(|number| format!("/bin/true\0{number}\0"))
        .collect();
    ensure!(numbers == expected, "argv differ");
    ensure!(watcher.lost()?.is_empty(), "lost: {:?}", watcher.lost()?);
    Ok(())
}
