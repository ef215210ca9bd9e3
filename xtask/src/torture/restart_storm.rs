//! Restarts of the agent during a storm: without pins a gap that is reported, with them no gap at all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::signal::Signal;

use super::arena::Arena;
use super::lives::Lives;
use super::seen::Seen;
use super::verdict::{self, Allowed};
use crate::command;

/// How long each run of the agent lasts, and how long none runs.
const RUNS: Duration = Duration::from_secs(3);
const DOWN: Duration = Duration::from_millis(300);

/// Pause of each of the two spawners after a process, so that the ring holds what happens while no agent runs.
const PAUSE: Duration = Duration::from_millis(4);

/// Restart the agent during a storm, by turns with SIGTERM and with SIGKILL.
///
/// Without --pin, every process that is missing must have lived while no agent watched, and the agent's coverage must say so.
/// With --pin the programs and rings stay in the kernel (in a BPF file system mounted for this test) and nothing may be
/// missing.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 6)]
    restarts: u32,
    /// Keep programs and rings in the kernel.
    #[arg(long)]
    pin: bool,
}

pub(super) fn run(options: &Options, binaries: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mount = options.pin.then(|| Mount::new(folder.path())).transpose()?;
    let mut arguments = vec!["--interval", "1s"];
    let bpffs = mount.as_ref().map(|mount| mount.0.clone());
    if bpffs.is_some() {
        arguments.push("--pin=true");
    }
    let mut arena = Arena::open_with(binaries, &arguments, bpffs.as_deref())?;
    let storm = Lives::start(&arena.folder(), 2, PAUSE)?;
    let name = storm.name.clone();
    for number in 0..options.restarts {
        thread::sleep(RUNS);
        let signal = if number.is_multiple_of(2) {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        println!("the agent ends by {signal} and is started again");
        arena.end_agent(signal)?;
        thread::sleep(DOWN);
        arena.start_agent()?;
        arena.wait_until_watched()?;
    }
    thread::sleep(RUNS);
    let lives = storm.stop()?;
    let seen = Seen::wait(&arena.url, &name, lives.len())?;
    arena.close()?;
    let allowed = if options.pin {
        Allowed::Nothing
    } else {
        Allowed::WhatIsTold
    };
    verdict::judge(&name, &lives, &seen, allowed)
}

/// A BPF file system of our own: what is pinned in it is gone with it.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Result<Self> {
        let path = folder.join("bpf");
        std::fs::create_dir(&path).context("cannot make a folder")?;
        command::run(Command::new("mount").args(["-t", "bpf", "bpf"]).arg(&path))
            .context("cannot mount a BPF file system")?;
        Ok(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: an agent that is just ending may still hold a file of it.
        if let Err(error) = command::run(Command::new("umount").arg("--lazy").arg(&self.0)) {
            eprintln!("{error:#}");
        }
    }
}
