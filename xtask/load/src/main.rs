//! The simulator: `cargo xtask load` builds it, starts a server for it, and runs it.

mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let options = run::Options::parse();
    match run::run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
