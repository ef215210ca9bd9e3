//! `cargo xtask bench`: measurements against the budgets that the project has set itself, and against other monitors.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::prerequisites::UnpackedProgram;

mod agent;
mod bpf_stats;
mod capture;
mod preview;
mod query;
pub(crate) mod recorded;
mod rules;
pub(crate) mod statistics;
mod store;

/// Measured twice: for its scans, and for its accounting of ended processes.
const ATOP: UnpackedProgram = UnpackedProgram {
    package: "atop",
    program: "usr/bin/atop",
    libraries: &[],
};

/// Measure procmon on this machine.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    Agent(agent::Options),
    Capture(capture::Options),
    Store(store::Options),
    Query(query::Options),
    Rules(rules::Options),
    Preview(preview::Options),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.benchmark {
        Benchmark::Agent(options) => agent::run(options),
        Benchmark::Capture(options) => capture::run(options),
        Benchmark::Store(options) => store::run(options),
        Benchmark::Query(options) => query::run(options),
        Benchmark::Rules(options) => rules::run(options),
        Benchmark::Preview(options) => preview::run(options),
    }
}
