//! `cargo xtask test`: every test there is, in stages, with one summary. Knows how to run tests, not what they test.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::command;

mod fuzz;
mod kernel;
mod schemathesis;
mod stages;
mod tally;

use tally::Tally;

/// Run every test: checks, unit and HTTP tests, the real kernel, other kernels in QEMU, and a browser.
///
/// Needs root, and a kernel with BTF. A stage that lacks what it needs fails and says so; it never passes by skipping.
/// The last line is `N passed, N failed`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only this stage; may be repeated.
    #[arg(long, value_name = "STAGE", conflicts_with = "skip")]
    only: Vec<Stage>,
    /// Leave this stage out; may be repeated.
    #[arg(long, value_name = "STAGE")]
    skip: Vec<Stage>,
}

/// The stages, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// `cargo xtask check`.
    Check,
    /// Unit tests of the web UI.
    Web,
    /// Unit, property, doc and HTTP tests, and the server with a real agent, from end to end.
    Workspace,
    /// Requests made up from the OpenAPI document: none of them makes the server fail.
    Schemathesis,
    /// The server's fuzz targets, a minute each.
    Fuzz,
    /// The agent's probes on the running kernel.
    Kernel,
    /// The same tests on Debian's kernels in QEMU.
    KernelMatrix,
    /// A browser, a server and an agent: a process that starts is seen on the page.
    Browser,
    /// A minute of `cargo xtask soak`: nothing grows, and nothing is lost.
    Soak,
    /// Seconds of `cargo xtask load`: nothing that many agents send is lost.
    Load,
    /// The committed eBPF object is what its sources make.
    Ebpf,
}

/// What became of a stage.
enum Outcome {
    Passed,
    Failed(String),
    SkippedByRequest,
}

struct Report {
    stage: Stage,
    outcome: Outcome,
    tally: Tally,
    elapsed: Duration,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let reports: Vec<Report> = Stage::value_variants()
        .iter()
        .map(|stage| report(*stage, options))
        .collect();
    let passed: u64 = reports.iter().map(|report| report.tally.passed).sum();
    let failed: u64 = reports.iter().map(failures).sum();
    print_table(&reports);
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn report(stage: Stage, options: &Options) -> Report {
    let wanted = if options.only.is_empty() {
        !options.skip.contains(&stage)
    } else {
        options.only.contains(&stage)
    };
    if !wanted {
        return Report {
            stage,
            outcome: Outcome::SkippedByRequest,
            tally: Tally::default(),
            elapsed: Duration::ZERO,
        };
    }
    println!("\n== {}", name(stage));
    let started = Instant::now();
    let (outcome, tally) = match stages::run(stage) {
        Ok(tally) if tally.failed > 0 => (
            Outcome::Failed(format!(
                "{} of {}",
                tally.failed,
                tally.failed + tally.passed
            )),
            tally,
        ),
        Ok(tally) => (Outcome::Passed, tally),
        Err(error) => {
            println!("{error:#}");
            (
                Outcome::Failed(
                    format!("{error:#}")
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                ),
                Tally::default(),
            )
        }
    };
    Report {
        stage,
        outcome,
        tally,
        elapsed: started.elapsed(),
    }
}

/// A stage that failed without a failing test (it did not compile, say) counts as one failure.
fn failures(report: &Report) -> u64 {
    match report.outcome {
        Outcome::Failed(_) => report.tally.failed.max(1),
        _ => 0,
    }
}

fn print_table(reports: &[Report]) {
    println!(
        "\n{:<14} {:>7} {:>7} {:>7} {:>9}",
        "stage", "passed", "failed", "ignored", "seconds"
    );
    for report in reports {
        let verdict = match &report.outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(reason) => format!("FAILED: {reason}"),
            Outcome::SkippedByRequest => "SKIPPED BY REQUEST".to_owned(),
        };
        let Tally {
            passed,
            failed,
            ignored,
        } = report.tally;
        let seconds = report.elapsed.as_secs_f64();
        println!(
            "{:<14} {passed:>7} {failed:>7} {ignored:>7} {seconds:>9.1}  {verdict}",
            name(report.stage)
        );
    }
}

fn name(stage: Stage) -> String {
    stage
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

/// As `count_any`, for a command that must have tests: it is an error when it ran none.
fn count(command: &mut Command) -> Result<Tally> {
    let tally = count_any(command)?;
    if tally.is_empty() {
        bail!("`{}` ran no test", command::describe(command));
    }
    Ok(tally)
}

/// Runs a command, showing its output, and counts the tests in it. Failing tests are a tally, not an error; a command
/// that fails without a failing test is an error.
fn count_any(command: &mut Command) -> Result<Tally> {
    let line = command::describe(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child
        .as_mut()
        .map_err(|error| anyhow::anyhow!("cannot start `{line}`: {error}"))?;
    let mut output = String::new();
    for text in BufReader::new(child.stdout.take().context("no standard output")?).split(b'\n') {
        let text = String::from_utf8_lossy(&text?).into_owned();
        writeln!(io::stdout(), "{text}")?;
        output.push_str(&text);
        output.push('\n');
    }
    let status = child.wait()?;
    let tally = Tally::of_output(&output);
    if !status.success() && tally.failed == 0 {
        bail!("`{line}` failed: {status}");
    }
    Ok(tally)
}
