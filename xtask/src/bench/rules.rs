//! `bench rules`: what an evaluation of alert rules costs.

use anyhow::Result;
use clap::Args;

use crate::check::cargo;
use crate::command;

/// Evaluate 100 rules of each kind on 300 000 made-up live processes.
///
/// Prints the CPU time of one evaluation; the budget is 1 s.
#[derive(Args)]
pub(crate) struct Options {}

pub(crate) fn run(_: &Options) -> Result<()> {
    let mut bench = cargo()?;
    bench.args([
        "bench",
        "--quiet",
        "--package",
        "procmon-server",
        "--bench",
        "rules",
    ]);
    command::run(&mut bench)
}
