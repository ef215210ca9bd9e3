//! The server's fuzz targets, a minute each, with the compiler that everything else is built with: coverage is instrumented by
//! flags that stable has. What stable lacks is the address sanitizer, which safe code does not need; `cargo +nightly fuzz`
//! runs the same targets with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::check::cargo;
use crate::prerequisites::{self, C_COMPILER};
use crate::{command, workspace};

const SECONDS: u32 = 60;
/// Memory of one target, MiB, and the time for one input, seconds: beyond them it is a finding.
const MEMORY_MIB: u32 = 1024;
const INPUT_SECONDS: u32 = 10;
const MAX_INPUT_BYTES: u32 = 4096;

/// As cargo-fuzz sets them.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1";

pub(super) fn run() -> Result<Tally> {
    prerequisites::ensure(C_COMPILER)?;
    let folder = workspace::root()?.join("procmon-server/fuzz");
    let targets = targets(&folder.join("fuzz_targets"))?;
    let programs = build(&folder)?;
    let corpora = tempfile::tempdir().context("cannot make a folder for inputs")?;
    write_seeds(corpora.path())?;
    let queue = Mutex::new(targets);
    let findings = Mutex::new(Vec::new());
    let tally = Mutex::new(Tally::default());
    // One on each processor, so that each has its whole minute.
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(target) = lock(&queue).pop() {
                    let outcome = fuzz(&programs.join(&target), &corpora.path().join(&target));
                    let mut tally = lock(&tally);
                    match outcome {
                        Ok(summary) => {
                            println!("{target}: {summary}");
                            tally.passed += 1;
                        }
                        Err(error) => {
                            lock(&findings).push(format!("{target}: {error:#}"));
                            tally.failed += 1;
                        }
                    }
                }
            });
        }
    });
    for finding in lock(&findings).iter() {
        println!("{finding}");
    }
    let tally = *lock(&tally);
    if tally.is_empty() {
        bail!("there is no fuzz target in {}", folder.display());
    }
    Ok(tally)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The names of the targets: a file each.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<_> = files
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Builds all of them; returns where they are.
fn build(folder: &Path) -> Result<PathBuf> {
    let host = host_triple()?;
    let target_dir = workspace::target_dir()?.join("fuzz");
    let mut build = cargo()?;
    build
        .args(["build", "--quiet", "--release", "--bins", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        // With a target of its own nothing that runs at build time is instrumented.
        .args(["--target", &host])
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("RUSTFLAGS", FLAGS);
    command::run(&mut build)?;
    Ok(target_dir.join(host).join("release"))
}

/// What targets begin with, by a test that can make it.
fn write_seeds(folder: &Path) -> Result<()> {
    let mut test = cargo()?;
    test.args(["test", "--quiet", "--package", "procmon-server", "--lib"])
        .args(["--", "--exact", "store::fuzz_seeds::are_read"])
        .env("PROCMON_FUZZ_SEEDS", folder);
    command::run(&mut test)?;
    let stored = folder.join("stored_batch");
    if !stored.is_dir() {
        bail!("the test of fuzz seeds wrote none to {}", stored.display());
    }
    Ok(())
}

fn host_triple() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = command::capture(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Runs a target; its last words when it found something.
fn fuzz(program: &Path, corpus: &Path) -> Result<String> {
    fs::create_dir_all(corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let mut run = Command::new(program);
    run.current_dir(corpus)
        .arg(format!("-max_total_time={SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg("-print_final_stats=1")
        .arg(corpus);
    let Output { status, stderr, .. } = command::output(&mut run)?;
    let text = String::from_utf8_lossy(&stderr);
    if status.success() {
        let executed = text
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
        return Ok(format!("{} inputs", executed.unwrap_or("?").trim()));
    }
    let lines: Vec<_> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(40)..].join("\n");
    bail!("{status}\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["filter.rs", "cursor.rs", "notes.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(targets(folder.path()).unwrap(), ["cursor", "filter"]);
    }
}
