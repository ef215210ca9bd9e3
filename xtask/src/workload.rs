//! The processes whose samples and events `bench store` keeps. Started by it, in namespaces of their own, and hidden from
//! `--help`.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::sandbox::this_program;

mod build;
mod cron;

pub(crate) use build::OUTCOME as BUILD_OUTCOME;

/// In a quiet mix, every so many-th process works; the others sleep.
const WORKING: u32 = 20;

/// Start processes, print `ready`, and end when the standard input does.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    kind: Kind,
    #[arg(long, default_value_t = 0)]
    processes: u32,
    /// Of a build: a folder of its own.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Sleepers, and some that work a little every second.
    Quiet,
    /// Every process works between any two samples.
    Busy,
    /// This workspace's agent and all that it depends on, Rust and C, compiled into an empty folder.
    Build,
    /// Scripts that start many short utilities, again and again.
    Cron,
}

/// Be a process that works.
#[derive(Args)]
pub(crate) struct Worker {
    /// Milliseconds from one piece of work to the next.
    #[arg(long)]
    every: u64,
    #[arg(long)]
    seed: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut running = None;
    match options.kind {
        Kind::Quiet | Kind::Busy => {
            for number in 0..options.processes {
                start(options.kind, number)?;
            }
        }
        Kind::Build => {
            let folder = options.folder.as_ref();
            build::start(folder.context("a build needs --folder")?)?;
        }
        Kind::Cron => running = Some(cron::Scripts::start()),
    }
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(running);
    Ok(())
}

fn start(kind: Kind, number: u32) -> Result<()> {
    let works = kind == Kind::Busy || number.is_multiple_of(WORKING);
    let mut program = if works {
        let every = if kind == Kind::Busy { "400" } else { "1000" };
        this_program(&["worker", "--every", every, "--seed", &number.to_string()])?
    } else {
        this_program(&["sleeper"])?
    };
    program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start process {number}"))?;
    Ok(())
}

/// Works: memory that grows and shrinks, bytes written, a little CPU, in amounts that are never the same.
pub(crate) fn work(options: &Worker) -> Result<()> {
    let mut random = u64::from(options.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut sink = std::fs::File::create("/dev/null").context("cannot open /dev/null")?;
    thread::sleep(Duration::from_millis(next() % options.every));
    loop {
        let block = vec![next() as u8; (64 << 10) + (next() % (512 << 10)) as usize];
        sink.write_all(&block)?;
        let until = Instant::now() + Duration::from_micros(200 + next() % 800);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        drop(block);
        thread::sleep(Duration::from_millis(options.every));
    }
}
