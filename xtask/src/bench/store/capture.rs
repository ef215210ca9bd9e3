//! The mixes, watched by two agents; what they told, as a log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Namespaces, Options};
use crate::http;
use crate::pair::{Pair, Setup};
use crate::sandbox::{Sandbox, this_program};
use crate::service::{Echo, Service};
use crate::workload::BUILD_OUTCOME;

const START_LIMIT: Duration = Duration::from_mins(5);
/// How often files of the log are looked for: far more often than the server takes one away.
const LOOK: Duration = Duration::from_secs(5);

const BUILD: &str = "build";

/// Agents and what they are called: the interval is in the name.
pub(super) const AGENTS: [(&str, &str); 2] = [("at-1s", "1s"), ("at-10s", "10s")];

/// Runs the mixes; returns the numbers of their PID namespaces. What was told lies in the folder `captured` then.
pub(super) fn run(options: &Options, binaries: &Path, folder: &Path) -> Result<Namespaces> {
    let mut watch = Watch::start(binaries, folder)?;
    // What starts the processes is watched, too.
    let mut sandboxes = Vec::new();
    let mut namespaces = Namespaces::new();
    for name in &options.mixes {
        let sandbox = start(options, name, folder)?;
        namespaces.insert(name.clone(), sandbox.pid_namespace()?);
        sandboxes.push(sandbox);
    }
    println!(
        "watching {} for {} minutes",
        options.mixes.join(", "),
        options.minutes
    );
    watch.wait(Duration::from_secs_f64(options.minutes * 60.0))?;
    if namespaces.contains_key(BUILD) {
        report_build(&folder.join(BUILD))?;
    }
    for sandbox in sandboxes {
        sandbox.stop()?;
    }
    // Longer than the slower of the agents waits for its next sample.
    watch.wait(Duration::from_secs(11))?;
    watch.stop()?;
    Ok(namespaces)
}

/// A server, both agents, and where the log is kept.
struct Watch {
    pair: Pair,
    second: Service,
    slices: PathBuf,
    kept: PathBuf,
}

impl Watch {
    fn start(binaries: &Path, folder: &Path) -> Result<Self> {
        let [server_folder, second_folder, captured] =
            ["server", "second", "captured"].map(|name| folder.join(name));
        let (slices, kept) = (server_folder.join("slices"), captured.join("slices"));
        for folder in [&server_folder, &second_folder, &kept] {
            fs::create_dir_all(folder).context("cannot make a folder")?;
        }
        let [first, second] =
            AGENTS.map(|(id, interval)| (id, ["--interval".to_owned(), interval.to_owned()]));
        let of = |id, arguments, data_dir| Setup {
            binaries,
            bind_addr: "127.0.0.1:0",
            data_dir,
            agent_id: Some(id),
            agent_arguments: arguments,
            agent_environment: &[],
            echo: Echo::Off,
        };
        let pair = Pair::start(&of(first.0, &first.1, &server_folder))?;
        let second = of(second.0, &second.1, &second_folder).start_agent(&pair.url)?;
        for (id, _) in AGENTS {
            wait_for(&pair, id)?;
        }
        Ok(Self {
            pair,
            second,
            slices,
            kept,
        })
    }

    fn wait(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            keep_log(&self.slices, &self.kept)?;
            self.pair.require_running()?;
            self.second.require_running()?;
            thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        keep_log(&self.slices, &self.kept)
    }

    fn stop(mut self) -> Result<()> {
        self.second.stop(Duration::from_secs(10))?;
        self.pair.stop()?;
        Ok(())
    }
}

fn start(options: &Options, name: &str, folder: &Path) -> Result<Sandbox> {
    let own = folder.join(name);
    fs::create_dir_all(&own).context("cannot make a folder")?;
    let processes = if name == "busy" {
        options.processes.div_ceil(3)
    } else {
        options.processes
    };
    let mut workload = this_program(&["workload", "--kind", name])?;
    workload.args(["--processes", &processes.to_string(), "--folder"]);
    workload.arg(&own);
    Sandbox::start(&workload, &folder.join(format!("{name}.log")), START_LIMIT)
}

/// Compaction takes files of the log away. By another name they stay; SQLite reads them there as they were.
fn keep_log(slices: &Path, kept: &Path) -> Result<()> {
    let entries = fs::read_dir(slices).context("cannot read the folder of the log")?;
    for entry in entries {
        let entry = entry.context("cannot read the folder of the log")?;
        let to = kept.join(entry.file_name());
        // The index of a write-ahead log is made anew.
        if entry.file_name().to_string_lossy().ends_with("-shm") || to.exists() {
            continue;
        }
        match fs::hard_link(entry.path(), &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot keep a file of the log");
            }
            _ => {}
        }
    }
    Ok(())
}

fn report_build(folder: &Path) -> Result<()> {
    match fs::read_to_string(folder.join(BUILD_OUTCOME)).as_deref() {
        Ok("finished") => println!("build: finished"),
        Ok(_) => {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            bail!("the build failed:\n{tail}")
        }
        Err(_) => println!("build: stopped before it had finished; what it started so far counts"),
    }
    Ok(())
}

fn wait_for(pair: &Pair, id: &str) -> Result<()> {
    for _ in 0..150 {
        let answer = http::get(&pair.url, &format!("/api/v1/agents/{id}"));
        if answer.is_ok_and(|agent| agent.contains("\"probe\":\"ebpf\"")) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(200));
    }
    bail!("the agent {id} did not report in time, or not at level ebpf")
}

impl Sandbox {
    /// The number that the kernel gave the namespace: agents report it of each process.
    fn pid_namespace(&self) -> Result<u64> {
        let path = format!("/proc/{}/ns/pid", self.init());
        let found = fs::metadata(&path).with_context(|| format!("cannot read {path}"))?;
        Ok(found.ino())
    }
}
