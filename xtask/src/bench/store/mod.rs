//! `bench store`: what samples and events take on the disk once they are compacted. The data comes from real agents that
//! watch processes which this command runs; `procmon-server/benches/store` compacts it and measures.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::check::cargo;
use crate::command;
use crate::pair;
use crate::prerequisites::{ensure_postgres, require_root};

mod capture;

/// Measure what samples and events take once they are compacted, against a row per sample in PostgreSQL.
///
/// It starts the mixes, all at the same time and each in a PID namespace of its own, a server, and two agents that sample each
/// second and each 10 seconds, at level ebpf. What the agents reported of a mix, and of no other process of this machine, is
/// then stored in a new store and compacted; bytes are those of the files, identities and indexes included, and CPU time is
/// that of reading the log, compacting and writing. The same samples go into a private PostgreSQL, a row each, by COPY.
///
/// The mixes: quiet (every 20th process works a little each second, the others sleep), busy (all of them change between any
/// two samples), build (a cold build of this workspace's agent and all that it depends on, Rust and C, without a network;
/// it ends when it is built) and cron (scripts that start many short utilities). Needs root. The default takes some 15
/// minutes, most of it waiting; with --minutes 60 the mixes fill the hour that a segment holds, and identities weigh less.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long, value_delimiter = ',', default_values_t = ["quiet", "busy", "build", "cron"].map(str::to_owned), value_parser = ["quiet", "busy", "build", "cron"])]
    mixes: Vec<String>,
    /// For how long the mixes run.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Processes of the mix quiet; busy has a third as many.
    #[arg(long, default_value_t = 300)]
    processes: u32,
    /// Without PostgreSQL.
    #[arg(long)]
    no_peers: bool,
    /// Where the programs are: release builds, made here when not given.
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Keep what was captured in this new folder, to measure it again with --captured. It has the argv of every process of this
    /// machine.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Bytes of each argv that events of an hour keep, as the server's setting of that name; the default is the server's.
    #[arg(long)]
    argv_bytes: Option<usize>,
    /// Measure what --keep kept.
    #[arg(long, value_name = "FOLDER", conflicts_with = "keep")]
    captured: Option<PathBuf>,
}

/// The numbers of the PID namespaces, by mix, beside what was captured.
const NAMESPACES: &str = "namespaces.json";

type Namespaces = BTreeMap<String, u64>;

pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.no_peers {
        ensure_postgres()?;
    }
    if let Some(folder) = &options.captured {
        return measure_all(options, folder);
    }
    require_root("namespaces, and loading programs into the kernel,")?;
    let binaries = if let Some(folder) = &options.binaries {
        folder.clone()
    } else {
        let packages = ["--package", "procmon-server", "--package", "procmon-agent"];
        command::run(cargo()?.args(["build", "--release"]).args(packages))?;
        pair::binaries("release")?
    };
    let temporary = tempfile::tempdir().context("cannot make a folder")?;
    let folder = match &options.keep {
        Some(folder) => {
            let made = DirBuilder::new().mode(0o700).create(folder);
            made.with_context(|| format!("cannot make {}", folder.display()))?;
            folder
        }
        None => temporary.path(),
    };
    let namespaces = capture::run(options, &binaries, folder)?;
    fs::write(folder.join(NAMESPACES), serde_json::to_string(&namespaces)?)
        .context("cannot write what was captured")?;
    measure_all(options, folder)
}

fn measure_all(options: &Options, folder: &Path) -> Result<()> {
    let namespaces = fs::read_to_string(folder.join(NAMESPACES))
        .with_context(|| format!("nothing was captured in {}", folder.display()))?;
    let namespaces: Namespaces = serde_json::from_str(&namespaces)?;
    for mix in &options.mixes {
        if let Some(namespace) = namespaces.get(mix) {
            measure(options, mix, &folder.join("captured"), *namespace)?;
        }
    }
    Ok(())
}

fn measure(options: &Options, mix: &str, log: &Path, namespace: u64) -> Result<()> {
    let mut bench = cargo()?;
    bench.args(["bench", "--quiet", "--package", "procmon-server"]);
    bench.args(["--bench", "store", "--", "--mix", mix]);
    bench.args(["--namespace", &namespace.to_string(), "--log"]);
    bench.arg(log);
    for (id, _) in capture::AGENTS {
        bench.args(["--agent", id]);
    }
    if options.no_peers {
        bench.arg("--no-peers");
    }
    if let Some(bytes) = options.argv_bytes {
        bench.args(["--argv-bytes", &bytes.to_string()]);
    }
    command::run(&mut bench)
}
