//! Makes the dictionary that batches are compressed with, from batches of processes that this command starts itself.

mod activity;
mod collector;
mod own;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use procmon_common::wire::{Batch, DICTIONARY_BYTES};
use prost::Message;

use crate::check::cargo;
use crate::command;
use crate::pair::{self, Setup};
use crate::prerequisites::require_root;
use crate::service::Echo;
use crate::workspace;

const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Fewer batches make no dictionary worth having.
const FEWEST_SAMPLES: usize = 200;
/// As the encoder's.
const LEVEL: i32 = 1;

/// Train the dictionary that batches are compressed with.
///
/// Starts an agent, quiet and busy processes and short-lived commands, takes the agent's batches, and leaves in them only what
/// tells of these processes. A dictionary is never changed once agents use it: give the next one another number and file,
/// and add it to `procmon-common/src/wire/dictionary.rs`.
#[derive(Args)]
pub(crate) struct Options {
    /// Number that zstd writes into each frame.
    #[arg(long, default_value_t = 1_000_001)]
    id: u32,
    /// How long to watch.
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Quiet processes; a tenth as many are busy.
    #[arg(long, default_value_t = 270)]
    processes: usize,
    /// Where to write it [default: procmon-common/src/wire/batch-1.dict]
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    require_root("an agent that sees every event")?;
    command::capture(cargo()?.args(["build", "--quiet", "-p", "procmon-agent"]))
        .context("cannot build the agent")?;
    let samples = samples(options)?;
    if samples.len() < FEWEST_SAMPLES {
        bail!(
            "only {} batches came; give it more --seconds",
            samples.len()
        );
    }
    // Every fourth is kept back, to see what it does to batches that it was not made of.
    let (held, trained): (Vec<_>, Vec<_>) = samples
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 4 == 3);
    let trained: Vec<_> = trained.into_iter().map(|(_, sample)| sample).collect();
    let mut dictionary = zstd::dict::from_samples(&trained, DICTIONARY_BYTES)
        .context("zstd made no dictionary of these batches; give it more --seconds")?;
    // The trainer makes up a number; ours stands after the magic one.
    dictionary
        .get_mut(4..8)
        .context("zstd made something that is no dictionary")?
        .copy_from_slice(&options.id.to_le_bytes());
    let path = match &options.output {
        Some(path) => path.clone(),
        None => workspace::root()?.join("procmon-common/src/wire/batch-1.dict"),
    };
    fs::write(&path, &dictionary).with_context(|| format!("cannot write {}", path.display()))?;
    report(&path, &dictionary, held.iter().map(|(_, sample)| sample))
}

/// The content of batches, as it is before compression.
fn samples(options: &Options) -> Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the spool")?;
    let collector = collector::Collector::start()?;
    let mut activity = activity::Activity::start(options.processes)?;
    let setup = Setup {
        binaries: &pair::binaries("debug")?,
        bind_addr: "",
        data_dir: folder.path(),
        agent_id: Some("host-1"),
        agent_arguments: &["--interval".to_owned(), "1s".to_owned()],
        agent_environment: &[],
        echo: Echo::Off,
    };
    let mut agent = setup.start_agent(&collector.url)?;
    for _ in 0..options.seconds {
        agent.require_running()?;
        activity.round()?;
        thread::sleep(Duration::from_secs(1));
    }
    agent.stop(STOP_LIMIT)?;
    let mut own = own::Own::new(activity.pids());
    let batches = collector.batches()?;
    Ok(batches
        .into_iter()
        .map(|batch| Batch::encode_to_vec(&own.leave(batch)))
        .collect())
}

fn report<'a>(
    path: &Path,
    dictionary: &[u8],
    held: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<()> {
    let mut plain = zstd::bulk::Compressor::new(LEVEL)?;
    let mut with = zstd::bulk::Compressor::with_dictionary(LEVEL, dictionary)?;
    let (mut count, mut content, mut without, mut small) = (0, 0, 0, 0);
    for sample in held {
        count += 1;
        content += sample.len();
        without += plain.compress(sample)?.len();
        small += with.compress(sample)?.len();
    }
    println!(
        "{}: {} bytes. Of {count} batches that it was not made of, each has {} bytes on average, {} compressed, and {} with the \
         dictionary",
        path.display(),
        dictionary.len(),
        content / count,
        without / count,
        small / count
    );
    Ok(())
}
