//! What processes use that begin and end between two samples.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_common::columns::Column;

use crate::trial;
use crate::watcher::{Watcher, child};

const LIVES: usize = 8;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("short_lives_are_charged", short_lives_are_charged),
        trial(
            "what_changes_without_an_event",
            what_changes_without_an_event,
        ),
    ]
}

fn short_lives_are_charged() -> Result<()> {
    // A name of their own, so that no other test's processes are in their group.
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("short-lived");
    std::os::unix::fs::symlink(std::env::current_exe()?, &program)?;
    let mut watcher = Watcher::start()?;
    let mut spawner = child(["spawn-busy", program.to_str().context("UTF-8")?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(spawner.stdout.take().context("piped")?);
    let mut pids = String::new();
    watcher.sample()?;
    // It starts its processes when it is told to.
    std::io::Write::write_all(spawner.stdin.as_mut().context("piped")?, b"x")?;
    output.read_line(&mut pids)?;
    let mut used_ns = 0;
    for pid in pids.split_whitespace() {
        let exit = watcher.life_of(pid.parse()?)?.exit().clone();
        used_ns += exit.cpu_time_ns.context("no CPU time")?;
    }
    let groups = watcher.sample()?;
    let group = groups.iter().find(|group| &*group.name == b"short-lived");
    let group = group.with_context(|| format!("not charged: {groups:?}"))?;
    ensure!(group.lives as usize == LIVES, "{group:?}");
    ensure!(
        group.cpu_time_ns == used_ns && used_ns > 0,
        "{group:?}, but they used {used_ns} ns"
    );
    let charged =
        |watcher: &Watcher| watcher.metric(spawner.id(), Column::ShortLivedCpuCentipercent);
    ensure!(
        charged(&watcher).is_some_and(|percent| percent > 0),
        "the parent is not charged"
    );
    let again = watcher.sample()?;
    ensure!(
        !again.iter().any(|group| &*group.name == b"short-lived"),
        "charged twice: {again:?}"
    );
    ensure!(charged(&watcher) == Some(0), "the parent is charged twice");
    drop(spawner.stdin.take());
    spawner.wait()?;
    Ok(())
}

/// The child: waits, then starts and reaps busy processes, prints their pids, and ends with its input.
pub(crate) fn spawn_busy(program: &str) -> ! {
    let _ = std::io::stdin().read(&mut [0]);
    let mut pids = Vec::new();
    for _ in 0..LIVES {
        let mut command = Command::new(program);
        let mut process = command
            .arg0("short-lived")
            .args(["--child", "threads", "2", "5"])
            .spawn()
            .expect("spawns");
        pids.push(process.id().to_string());
        let _ = process.wait();
    }
    println!("{}", pids.join(" "));
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0)
}

/// A daemon that gives up its user, renames itself and never executes.
fn what_changes_without_an_event() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let mut process = child(["become-other"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = process.id();
    watcher.until("exec", |watcher| {
        watcher
            .lives
            .get(&pid)
            .is_some_and(|life| !life.execs.is_empty())
    })?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
    watcher.sample()?;
    watcher.poll()?;
    let known = &watcher.lives[&pid].process;
    let credentials = known.credentials.clone().context("credentials")?;
    ensure!(
        (credentials.uid, credentials.euid) == (65_534, Some(65_534)),
        "{credentials:?}"
    );
    let image = known.image.clone().context("an image")?;
    ensure!(&*image.name == b"other-name", "{image:?}");
    drop(process.stdin.take());
    process.wait()?;
    Ok(())
}

/// The child.
pub(crate) fn become_other() -> ! {
    // SAFETY: plain system calls on this process; the name is a string that ends with NUL.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"other-name".as_ptr());
        assert_eq!(libc::setuid(65_534), 0);
    }
    println!("done");
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0)
}
