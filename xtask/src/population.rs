//! The processes that are measured: sleepers with files, threads and listening sockets, all of them ours. These commands
//! are started by others, in namespaces of their own, and hidden from `--help`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result};
use clap::Args;

use crate::sandbox::this_program;

/// Open files of a sleeper, its three streams and its listener included.
pub(crate) const FILES: usize = 14;

/// Every so many-th sleeper has three more threads.
const THREADED: u32 = 8;
const MORE_THREADS: u32 = 3;

/// Long arguments are so many, of 99 bytes each.
const LONG_ARGUMENTS: u32 = 40;

/// Start sleepers, print `ready` when all of them sleep, and end when the standard input does.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 0)]
    processes: u32,
    /// Give each 4 000 bytes of arguments.
    #[arg(long)]
    long_arguments: bool,
}

/// Be one of them.
#[derive(Args)]
pub(crate) struct Sleeper {
    #[arg(long)]
    listen: bool,
    #[arg(long, default_value_t = 0)]
    more_threads: u32,
    /// Of no meaning.
    arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    for number in 0..options.processes {
        start(number, options.long_arguments, &writer)?;
    }
    drop(writer);
    // One line from each that has all it should have.
    let mut lines = BufReader::new(reader).lines();
    for _ in 0..options.processes {
        lines
            .next()
            .context("a sleeper ended before it was ready")??;
    }
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn start(number: u32, long_arguments: bool, ready: &PipeWriter) -> Result<()> {
    let mut sleeper = this_program(&["sleeper"])?;
    sleeper.stdin(Stdio::null()).stdout(ready.try_clone()?);
    if number.is_multiple_of(2) {
        sleeper.arg("--listen");
    }
    if number.is_multiple_of(THREADED) {
        sleeper.args(["--more-threads", &MORE_THREADS.to_string()]);
    }
    if long_arguments {
        // Different in each, as those of real processes.
        sleeper.args(
            (0..LONG_ARGUMENTS).map(|word| format!("{:0>99}", number * LONG_ARGUMENTS + word)),
        );
    }
    sleeper
        .spawn()
        .with_context(|| format!("cannot start sleeper {number}"))?;
    Ok(())
}

pub(crate) fn sleep(options: &Sleeper) -> Result<()> {
    let listener = options
        .listen
        .then(|| TcpListener::bind("0.0.0.0:0"))
        .transpose()
        .context("cannot listen")?;
    let already = 3 + usize::from(listener.is_some());
    let files: Vec<File> = (already..FILES)
        .map(|_| File::open("/dev/null"))
        .collect::<io::Result<_>>()
        .context("cannot open /dev/null")?;
    for _ in 0..options.more_threads {
        thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(park)
            .context("cannot start a thread")?;
    }
    writeln!(io::stdout(), "ready")?;
    park();
    drop((listener, files));
    Ok(())
}

fn park() {
    loop {
        thread::park();
    }
}
