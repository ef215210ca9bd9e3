//! `cargo xtask bench`: measurements against the budgets that the project has set itself.

use anyhow::Result;
use clap::{Args, Subcommand};

mod bpf_stats;
mod capture;
mod recorded;
mod storm;

/// Measure procmon on this machine.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    Capture(capture::Options),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.benchmark {
        Benchmark::Capture(options) => capture::run(options),
    }
}
