//! `bench preview`: what it costs to try rules on the past.

use anyhow::Result;
use clap::Args;

use crate::load;

/// Store a day of made-up hosts, and try rules on it.
///
/// A release server of its own, compacted. Prints latency and CPU time of each kind of rule; the budget is 2 s, which is what it may
/// take while somebody drags a threshold.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 50)]
    hosts: u32,
    /// On each of them.
    #[arg(long, default_value_t = 100)]
    processes: u32,
    /// Between two samples.
    #[arg(long, default_value = "10s")]
    interval: String,
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Keep what is stored here, and do not make it again when it is there.
    #[arg(long)]
    folder: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let numbers =
        [options.hosts, options.processes, options.hours].map(|number| number.to_string());
    let [hosts, processes, hours] = &numbers;
    let mut arguments = vec![
        "--hosts",
        hosts,
        "--processes",
        processes,
        "--hours",
        hours,
        "--interval",
        &options.interval,
    ];
    if let Some(folder) = &options.folder {
        arguments.extend(["--folder", folder]);
    }
    load::bench("preview", &arguments)
}
