//! Short-lived processes, as fast as the machine starts them: the load that capture is measured with.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::command;
use crate::sandbox::this_program;

/// Start processes, wait for each, and print what that took. Started by benchmarks.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    load: Load,
    #[arg(long)]
    processes: u32,
    #[arg(long)]
    workers: u32,
    #[arg(long)]
    marker: String,
}

/// What each process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// Nothing: `/bin/true MARKER`.
    BackToBack,
    /// Sleep: `/bin/sleep MARKER 0.02`, where the marker is a tiny number of seconds, too.
    TwentyMs,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackToBack => "back-to-back",
            Self::TwentyMs => "twenty-ms",
        }
    }

    /// The command's name.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::BackToBack => "true",
            Self::TwentyMs => "sleep",
        }
    }

    fn start(self, marker: &str) -> Command {
        let mut command = Command::new(format!("/bin/{}", self.command()));
        command.arg(marker);
        if self == Self::TwentyMs {
            command.arg("0.02");
        }
        command.stdin(Stdio::inherit());
        command
    }
}

/// How many, from how many threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storm {
    pub(crate) load: Load,
    pub(crate) processes: u32,
    pub(crate) workers: u32,
}

/// What a storm took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) wall_s: f64,
    /// Of the processes and of what started them, in the kernel and outside.
    pub(crate) cpu_s: f64,
}

/// A marker for one storm of this process: an argument that nobody else uses, and a number that `sleep` accepts.
pub(crate) fn marker(number: usize) -> String {
    format!("0.00{:07}{number:03}", std::process::id())
}

impl Storm {
    /// Starts every process, from several threads, and returns when all have ended. The standard library starts such a
    /// plain command with `posix_spawn`, which shares the parent's memory until the exec: little of the time is ours.
    pub(crate) fn run(self, marker: &str) -> Result<Duration> {
        let started = Instant::now();
        let share = |worker| {
            self.processes / self.workers + u32::from(worker < self.processes % self.workers)
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers)
                .map(|worker| scope.spawn(move || spawn(share(worker), self.load, marker)))
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| bail!("a spawner panicked"))
            })
        })?;
        Ok(started.elapsed())
    }

    /// As `run`, from a process of its own, so that its CPU time can be told from ours.
    pub(crate) fn run_apart(self, marker: &str) -> Result<Taken> {
        let printed = command::capture(&mut self.program(marker)?)?;
        serde_json::from_str(&printed).context("what the spawner printed")
    }

    /// The program of `run_apart`.
    pub(crate) fn program(self, marker: &str) -> Result<Command> {
        let (processes, workers) = (self.processes.to_string(), self.workers.to_string());
        let mut arguments = vec!["spawn", "--load", self.load.name(), "--marker", marker];
        arguments.extend(["--processes", &processes, "--workers", &workers]);
        this_program(&arguments)
    }
}

fn spawn(count: u32, load: Load, marker: &str) -> Result<()> {
    for _ in 0..count {
        let status = load
            .start(marker)
            .status()
            .with_context(|| format!("cannot start {}", load.command()))?;
        if !status.success() {
            bail!("{} failed: {status}", load.command());
        }
    }
    Ok(())
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let storm = Storm {
        load: options.load,
        processes: options.processes,
        workers: options.workers.max(1),
    };
    let cpu = cpu_s()?;
    let wall = storm.run(&options.marker)?;
    let taken = Taken {
        wall_s: wall.as_secs_f64(),
        cpu_s: cpu_s()? - cpu,
    };
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}

/// CPU seconds of this process and of all that it has waited for. Their sum is exact, though its parts are sampled.
fn cpu_s() -> Result<f64> {
    let mut sum = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).context("our own CPU time")?;
        sum += seconds(usage.user_time()) + seconds(usage.system_time());
    }
    Ok(sum)
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_of_a_storm_runs() {
        for load in [Load::BackToBack, Load::TwentyMs] {
            let storm = Storm {
                load,
                processes: 5,
                workers: 2,
            };
            assert!(storm.run(&marker(1)).is_ok());
        }
        assert!(cpu_s().unwrap() > 0.0);
    }
}
