//! `bench query`: what questions about the present cost when there is much of it.

use anyhow::Result;
use clap::Args;

use crate::load;

/// Fill a server with made-up hosts, and ask it: filtered, sorted and grouped lists of all processes, and a tree of 5 000.
///
/// A release server of its own. Prints its memory for each live process, and latency and CPU time of each kind of request;
/// the budget is 50 ms for a list and 20 ms for the tree (p99).
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 1000)]
    hosts: u32,
    /// On each of them.
    #[arg(long, default_value_t = 1000)]
    processes: u32,
    /// Requests of each kind.
    #[arg(long, default_value_t = 100)]
    requests: u32,
    /// Only questions whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let numbers =
        [options.hosts, options.processes, options.requests].map(|number| number.to_string());
    let [hosts, processes, requests] = &numbers;
    load::bench(
        "query",
        &[
            "--hosts",
            hosts,
            "--processes",
            processes,
            "--requests",
            requests,
            "--only",
            &options.only,
        ],
    )
}
