//! `cargo xtask`: the one command surface for building, running, testing and measuring procmon.
//!
//! Each command is a file of its own. Nothing here is part of the product: the agent and the server build with a
//! plain `cargo build --release`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod activity;
mod bench;
mod build_ebpf;
mod check;
mod command;
mod dictionary;
mod guest;
mod http;
mod load;
mod pair;
mod population;
mod prerequisites;
mod process_cost;
mod qemu;
mod run;
mod sandbox;
mod service;
mod soak;
mod spawning;
mod test;
mod torture;
mod web;
mod workload;
mod workspace;

/// Build, run, test and measure procmon.
///
/// `cargo xtask run` shows this machine's processes in a browser; `cargo xtask test` runs every test there is.
/// Both install what they need when they run as root on Debian, and otherwise name the command that does.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Run(run::Options),
    Test(test::Options),
    Check(check::Options),
    BuildEbpf(build_ebpf::Options),
    Guest(guest::Options),
    Bench(bench::Options),
    Load(load::Options),
    Soak(soak::Options),
    Torture(torture::Options),
    Dictionary(dictionary::Options),
    #[command(hide = true)]
    Population(population::Options),
    #[command(hide = true)]
    Sleeper(population::Sleeper),
    #[command(hide = true)]
    Spawn(spawning::Options),
    #[command(hide = true)]
    Workload(workload::Options),
    #[command(hide = true)]
    Worker(workload::Worker),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Run(options) => run::run(&options),
        Task::Test(options) => return test::run(&options),
        Task::Check(options) => check::run(&options),
        Task::BuildEbpf(options) => build_ebpf::run(&options),
        Task::Guest(options) => guest::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Load(options) => load::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Torture(options) => torture::run(&options),
        Task::Dictionary(options) => dictionary::run(&options),
        Task::Population(options) => population::run(&options),
        Task::Sleeper(options) => population::sleep(&options),
        Task::Spawn(options) => spawning::run(&options),
        Task::Workload(options) => workload::run(&options),
        Task::Worker(options) => workload::work(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The chain of causes on one line each, without a backtrace: these errors are for people.
            eprintln!("error: {error}");
            error
                .chain()
                .skip(1)
                .for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}
