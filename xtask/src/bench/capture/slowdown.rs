//! What a process pays for being watched: fork + exec + exit with and without the agent, in turns.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::pair::{self, Pair, Setup};
use crate::service::Echo;
use crate::spawning::{Load, Storm, Taken, marker};

/// Processes of each turn.
const PROCESSES: u32 = 5_000;

/// Until the agent has settled after its start.
const SETTLE: Duration = Duration::from_secs(3);

/// A turn without the agent, and one with it.
pub(super) struct Turns {
    pub(super) without: Taken,
    pub(super) with: Taken,
}

impl Turns {
    pub(super) fn cpu_ratio(&self) -> f64 {
        self.with.cpu_s / self.without.cpu_s
    }

    pub(super) fn wall_ratio(&self) -> f64 {
        self.with.wall_s / self.without.wall_s
    }

    /// CPU microseconds of a life without the agent.
    pub(super) fn plain_us(&self) -> f64 {
        self.without.cpu_s * 1e6 / f64::from(PROCESSES)
    }
}

/// The kernel's accounting of programs is off here: it would be part of what they cost.
pub(super) fn measure(pairs: usize, workers: u32) -> Result<Vec<Turns>> {
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let storm = Storm {
        load: Load::BackToBack,
        processes: PROCESSES,
        workers,
    };
    storm.run_apart(&marker(800))?; // fills caches
    (0..pairs)
        .map(|number| {
            // Every second pair the other way round, so that a machine that gets slower favours nobody.
            let (without, with) = if number.is_multiple_of(2) {
                let without = storm.run_apart(&marker(801))?;
                (without, watched(storm, folder.path())?)
            } else {
                let with = watched(storm, folder.path())?;
                (storm.run_apart(&marker(801))?, with)
            };
            Ok(Turns { without, with })
        })
        .collect()
}

fn watched(storm: Storm, folder: &std::path::Path) -> Result<Taken> {
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("release")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder,
        agent_id: Some("bench"),
        agent_arguments: &[],
        agent_environment: &[],
        echo: Echo::Off,
    })?;
    thread::sleep(SETTLE);
    let taken = storm.run_apart(&marker(802))?;
    pair.require_running()?;
    pair.stop()?;
    Ok(taken)
}
