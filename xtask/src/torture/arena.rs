//! A server and an agent that can be stopped, killed and started again one by one, on an address that stays.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::check::{build_debug, cargo};
use crate::pair::{self, Setup};
use crate::sandbox::send;
use crate::service::{Echo, Service};
use crate::{command, http};

pub(super) const AGENT_ID: &str = "torture";

/// Where the agent pins, instead of /sys/fs/bpf.
const BPFFS_VARIABLE: &str = "PROCMON_BPFFS";

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Builds both programs, and returns their folder.
pub(super) fn build(profile: &str) -> Result<PathBuf> {
    if profile == "debug" {
        build_debug()?;
    } else {
        let packages = ["--package", "procmon-server", "--package", "procmon-agent"];
        command::run(cargo()?.args(["build", "--release"]).args(packages))?;
    }
    pair::binaries(profile)
}

pub(super) struct Arena {
    folder: TempDir,
    binaries: PathBuf,
    address: String,
    agent_arguments: Vec<String>,
    agent_environment: Vec<(&'static str, OsString)>,
    pub(super) url: String,
    pub(super) server: Option<Service>,
    pub(super) agent: Option<Service>,
}

impl Arena {
    /// Both are up, and the agent watches.
    pub(super) fn open(binaries: &Path, agent_arguments: &[&str]) -> Result<Self> {
        Self::open_with(binaries, agent_arguments, None)
    }

    /// As `open`, with a BPF file system for what the agent pins.
    pub(super) fn open_with(
        binaries: &Path,
        agent_arguments: &[&str],
        bpffs: Option<&Path>,
    ) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
        let address = free.local_addr()?.to_string();
        drop(free);
        let mut arena = Self {
            folder: tempfile::tempdir().context("cannot make a data folder")?,
            binaries: binaries.to_owned(),
            url: format!("http://{address}"),
            address,
            agent_arguments: agent_arguments.iter().map(|&word| word.into()).collect(),
            agent_environment: bpffs
                .map(|path| (BPFFS_VARIABLE, path.into()))
                .into_iter()
                .collect(),
            server: None,
            agent: None,
        };
        arena.start_server()?;
        arena.start_agent()?;
        arena.wait_until_watched()?;
        Ok(arena)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn start_server(&mut self) -> Result<()> {
        self.server = Some(self.setup().start_server()?.1);
        Ok(())
    }

    pub(super) fn start_agent(&mut self) -> Result<()> {
        self.agent = Some(self.setup().start_agent(&self.url)?);
        Ok(())
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            binaries: &self.binaries,
            bind_addr: &self.address,
            data_dir: self.folder.path(),
            agent_id: Some(AGENT_ID),
            agent_arguments: &self.agent_arguments,
            agent_environment: &self.agent_environment,
            echo: Echo::Off,
        }
    }

    /// Waits until the server knows an agent that has reported since this moment.
    pub(super) fn wait_until_watched(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        let agent = self.agent.as_mut().context("no agent runs")?;
        // The kernel side is up when it says so in its log; the first batch may take an interval longer.
        agent.wait_for_line(READY_LIMIT, |line| line.contains("probe").then_some(()))?;
        let path = format!("/api/v1/agents/{AGENT_ID}");
        while http::get(&self.url, &path).is_err() {
            agent.require_running()?;
            if Instant::now() >= deadline {
                bail!("the agent did not report in time:\n{}", agent.last_lines(5));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends the agent by this signal, and waits until it has.
    pub(super) fn end_agent(&mut self, signal: Signal) -> Result<()> {
        end(self.agent.take().context("no agent runs")?, signal)
    }

    pub(super) fn end_server(&mut self, signal: Signal) -> Result<()> {
        end(self.server.take().context("no server runs")?, signal)
    }

    pub(super) fn agent_pid(&self) -> Result<u32> {
        Ok(self.agent.as_ref().context("no agent runs")?.pid())
    }

    pub(super) fn close(mut self) -> Result<()> {
        self.end_agent(Signal::SIGTERM)?;
        self.end_server(Signal::SIGTERM)
    }
}

fn end(mut service: Service, signal: Signal) -> Result<()> {
    service.require_running()?;
    send(service.pid(), signal)?;
    service.stop(STOP_LIMIT)?;
    Ok(())
}
