//! kill -9 of the agent at any moment while the server comes and goes: what the spool is for.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use nix::sys::signal::Signal;

use super::arena::Arena;
use super::lives::Lives;
use super::seen::Seen;
use super::verdict::{self, Allowed};

/// Between a start of the agent and its end, at most.
const LONGEST_RUN_MS: u64 = 2_500;

/// Pause of each of the two spawners after a process: the server has to take all of it in the end.
const PAUSE: Duration = Duration::from_millis(2);

/// Kill the agent (SIGKILL) at random moments again and again, and the server every third time.
///
/// At the end each process has one start and one end in the API, or lived when an agent had just been killed and the coverage
/// says so. An event that is there twice is a batch that was stored twice; one that is missing outside of gaps is a batch
/// that was lost.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 15)]
    kills: u64,
}

pub(super) fn run(options: &Options, binaries: &Path) -> Result<()> {
    let mut arena = Arena::open(binaries, &["--interval", "1s"])?;
    let storm = Lives::start(&arena.folder(), 2, PAUSE)?;
    let name = storm.name.clone();
    for number in 0..options.kills {
        let run_ms = random(number) % LONGEST_RUN_MS;
        thread::sleep(Duration::from_millis(run_ms));
        let server_goes = number % 3 == 2;
        if server_goes {
            arena.end_server(Signal::SIGKILL)?;
        }
        // Some of what happens now is only in the spool.
        thread::sleep(Duration::from_millis(random(number) % 700));
        arena.end_agent(Signal::SIGKILL)?;
        println!(
            "after {run_ms} ms the agent was killed{}",
            if server_goes {
                ", and before it the server"
            } else {
                ""
            }
        );
        arena.start_agent()?;
        if server_goes {
            thread::sleep(Duration::from_millis(random(number) % 700));
            arena.start_server()?;
        }
    }
    arena.wait_until_watched()?;
    let lives = storm.stop()?;
    let seen = Seen::wait(&arena.url, &name, lives.len())?;
    arena.close()?;
    verdict::judge(&name, &lives, &seen, Allowed::WhatIsTold)
}

fn random(number: u64) -> u64 {
    RandomState::new().hash_one(number)
}
