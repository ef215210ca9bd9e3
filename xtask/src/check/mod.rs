//! `cargo xtask check`: everything that can be said about the sources without running them.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{build_ebpf, command, pair, prerequisites, web, workspace};

mod file_length;

/// Check formatting, lints, dependencies, generated files and the web sources.
///
/// Every step runs, and the failures are listed at the end. `cargo fmt` and `cargo xtask api` mend two of them.
#[derive(Args)]
pub(crate) struct Options {}

/// A step's name and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("file length", file_length::check),
    (
        "eBPF object is that of its sources",
        build_ebpf::verify_sources,
    ),
    ("web", web_sources),
    ("clippy", clippy),
    ("dependencies", dependencies),
    ("openapi.json", openapi),
];

pub(crate) fn run(_options: &Options) -> Result<()> {
    prerequisites::ensure(prerequisites::C_COMPILER)?;
    let mut failures = Vec::new();
    for (name, step) in STEPS {
        let started = Instant::now();
        let result = step();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "check: {name}: {verdict} ({:.1} s)",
            started.elapsed().as_secs_f64()
        );
        if let Err(error) = result {
            println!("{error:#}");
            failures.push(*name);
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failures.join(", "))
}

/// `cargo` at the root of the workspace, whose default members are all that builds for this machine.
pub(crate) fn cargo() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace::root()?);
    // What `cargo run` said about xtask itself. Some build scripts look at it, and would make everything above them
    // compile again whenever somebody changes between cargo and `cargo xtask`.
    for (name, _) in env::vars_os() {
        if is_of_xtask(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    Ok(cargo)
}

fn is_of_xtask(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || variable.starts_with("CARGO_MANIFEST_")
        || [
            "CARGO_BIN_NAME",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
        ]
        .contains(&variable)
}

/// Builds programs and tests at once: one selection of features, so that nothing is compiled twice.
pub(crate) fn build_debug() -> Result<()> {
    command::run(cargo()?.args(["build", "--quiet", "--all-targets"]))
}

fn formatting() -> Result<()> {
    command::run(cargo()?.args(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")
}

fn clippy() -> Result<()> {
    command::run(cargo()?.args([
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Not the advisories: their database is a download, and a new entry must not fail an unchanged commit.
fn dependencies() -> Result<()> {
    let program = prerequisites::cargo_deny()?;
    let mut deny = Command::new(program);
    deny.current_dir(workspace::root()?).args([
        "--log-level",
        "warn",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    command::run(&mut deny)
}

fn openapi() -> Result<()> {
    build_debug()?;
    let server = pair::binaries("debug")?.join("procmon-server");
    let generated = command::capture(Command::new(server).arg("openapi"))?;
    let path = workspace::root()?.join("procmon-server/openapi.json");
    let committed =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if generated != committed {
        bail!(
            "openapi.json is stale. Run: cargo run -p procmon-server -- openapi > procmon-server/openapi.json"
        );
    }
    Ok(())
}

fn web_sources() -> Result<()> {
    prerequisites::ensure_node()?;
    web::install()?;
    web::build()?;
    command::run(web::npm()?.args(["run", "--silent", "check"]))
}
