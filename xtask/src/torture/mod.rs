//! `cargo xtask torture`: what must never go wrong, made to happen with the real programs. One file per scenario; what they
//! start lives in `arena`, what the API says of it is read by `seen`.

use std::env;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::prerequisites::require_root;

mod arena;
mod lives;
mod memory_cap;
mod restart_storm;
mod ring_stall;
mod seen;
mod spool;
mod verdict;

/// Treat an agent and a server badly, and check that nothing is lost in silence.
///
/// Each scenario starts a server and an agent of its own on loopback and a storm of numbered processes that nobody else has,
/// prints what happened, and ends with a verdict; it exits non-zero when a process is missing that no gap and no count
/// explains. Only programs that it has started are stopped or killed. Needs root.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    scenario: Scenario,
    /// Build and run the programs of this cargo profile.
    #[arg(long, global = true, default_value = "release", value_parser = ["release", "debug"])]
    profile: String,
    /// Build nothing, and run the programs in this folder: a released version, for example.
    #[arg(long, global = true, value_name = "FOLDER")]
    binaries: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Scenario {
    RingStall(ring_stall::Options),
    RestartStorm(restart_storm::Options),
    Spool(spool::Options),
    MemoryCap(memory_cap::Options),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("loading programs into the kernel")?;
    let binaries = match &options.binaries {
        Some(folder) => env::current_dir()?.join(folder),
        None => arena::build(&options.profile)?,
    };
    match &options.scenario {
        Scenario::RingStall(scenario) => ring_stall::run(scenario, &binaries),
        Scenario::RestartStorm(scenario) => restart_storm::run(scenario, &binaries),
        Scenario::Spool(scenario) => spool::run(scenario, &binaries),
        Scenario::MemoryCap(scenario) => memory_cap::run(scenario, &binaries),
    }
}
