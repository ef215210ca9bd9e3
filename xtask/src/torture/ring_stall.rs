//! An agent that does not get to run while processes start and end: its ring overflows, and what is lost is counted.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use nix::sys::signal::Signal;

use super::arena::Arena;
use super::lives::{Life, Lives};
use super::seen::Seen;
use super::verdict::{self, Allowed};
use crate::sandbox::send;

/// Between two stalls, for the agent to catch up.
const BETWEEN: Duration = Duration::from_secs(2);

/// Stop the agent (SIGSTOP) for a while during a storm, again and again.
///
/// Starts and ends in the API, and losses counted, must add up to the processes spawned: exactly where the kernel's programs
/// name the command of what they lost, else at least, as what others on this host lost is in the count, too. Each missing
/// life must lie in the time of a loss.
#[derive(Args)]
pub(crate) struct Options {
    /// Milliseconds of each stall.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 2000, 5000])]
    stalls: Vec<u64>,
}

pub(super) fn run(options: &Options, binaries: &Path) -> Result<()> {
    let arena = Arena::open(binaries, &["--interval", "1s"])?;
    let storm = Lives::start(&arena.folder(), 2, Duration::ZERO)?;
    let name = storm.name.clone();
    for stall_ms in &options.stalls {
        thread::sleep(BETWEEN);
        println!("the agent is stopped for {stall_ms} ms");
        send(arena.agent_pid()?, Signal::SIGSTOP)?;
        thread::sleep(Duration::from_millis(*stall_ms));
        send(arena.agent_pid()?, Signal::SIGCONT)?;
    }
    thread::sleep(BETWEEN);
    let lives = storm.stop()?;
    let seen = Seen::wait(&arena.url, &name, lives.len())?;
    arena.close()?;
    sums(&name, &lives, &seen)?;
    verdict::judge(&name, &lives, &seen, Allowed::WhatIsTold)
}

/// Seen and counted are all there were.
fn sums(name: &str, lives: &[Life], seen: &Seen) -> Result<()> {
    let spawned = lives.len() as u64;
    for (kind, told) in [("exec", &seen.starts), ("exit", &seen.exits)] {
        let lost = seen.lost(kind, name);
        // A sample may tell of one whose record was lost: then both are right.
        let from_records = told.lives - told.sampled;
        let least = from_records + lost.of_command;
        println!(
            "{:<26} {from_records} recorded + {} lost = {least} of {spawned}; {} more were lost by commands not known",
            kind, lost.of_command, lost.of_unknown
        );
        if least > spawned || least + lost.of_unknown < spawned {
            bail!("the records and the counts of {kind} do not add up to the processes spawned");
        }
    }
    Ok(())
}
