//! A server and an agent that reports to it, on this machine: what `run` shows, and what tests and benchmarks drive.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::service::{Echo, Service};

/// How long each of the two may take to become ready, and to stop.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How to start the two.
pub(crate) struct Setup<'a> {
    /// The folder of both programs.
    pub(crate) binaries: &'a Path,
    pub(crate) bind_addr: &'a str,
    pub(crate) data_dir: &'a Path,
    /// The agent's own choice when not given.
    pub(crate) agent_id: Option<&'a str>,
    pub(crate) agent_arguments: &'a [String],
    pub(crate) agent_environment: &'a [(&'static str, OsString)],
    pub(crate) echo: Echo,
}

impl Setup<'_> {
    /// The server alone, ready, and its address.
    pub(crate) fn start_server(&self) -> Result<(String, Service)> {
        self.start_server_with(&[])
    }

    /// As `start_server`, with more arguments.
    pub(crate) fn start_server_with(&self, arguments: &[String]) -> Result<(String, Service)> {
        let mut server = ending_with_us(&self.binaries.join("procmon-server"));
        server
            .args(["--bind-addr", self.bind_addr])
            .arg("--data-dir")
            .arg(self.data_dir)
            .args(arguments);
        let mut server = Service::start("server", &mut server, &self.log("server")?, self.echo)?;
        let url = local_url(&server.wait_for_line(START_LIMIT, listening_on)?);
        server.wait_until_ready(&url, START_LIMIT)?;
        Ok((url, server))
    }

    /// The agent alone; it waits for its server by itself.
    pub(crate) fn start_agent(&self, url: &str) -> Result<Service> {
        let mut agent = ending_with_us(&self.binaries.join("procmon-agent"));
        agent.args(["--server-url", url]);
        agent.arg("--spool-dir").arg(self.spool_dir());
        agent
            .args(self.agent_id.iter().flat_map(|id| ["--agent-id", id]))
            .args(self.agent_arguments)
            .envs(self.agent_environment.iter().cloned());
        Service::start("agent", &mut agent, &self.log("agent")?, self.echo)
    }

    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.data_dir.join("spool")
    }

    fn log(&self, name: &str) -> Result<PathBuf> {
        let logs = self.data_dir.join("log");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        Ok(logs.join(format!("{name}.log")))
    }
}

pub(crate) struct Pair {
    /// Of the server, as this machine reaches it.
    pub(crate) url: String,
    pub(crate) server: Service,
    pub(crate) agent: Service,
}

impl Pair {
    /// Starts the server, waits until it is ready, and starts the agent. Logs and the spool lie in the data folder.
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        let (url, server) = setup.start_server()?;
        let agent = setup.start_agent(&url)?;
        Ok(Self { url, server, agent })
    }

    /// Fails if either has ended.
    pub(crate) fn require_running(&mut self) -> Result<()> {
        self.agent.require_running()?;
        self.server.require_running()
    }

    /// The agent first, so that its last events still find the server.
    pub(crate) fn stop(mut self) -> Result<[(&'static str, ExitStatus); 2]> {
        let agent = self.agent.stop(STOP_LIMIT)?;
        let server = self.server.stop(STOP_LIMIT)?;
        Ok([(self.agent.name, agent), (self.server.name, server)])
    }
}

/// The folder that cargo puts a profile's programs in.
pub(crate) fn binaries(profile: &str) -> Result<PathBuf> {
    Ok(crate::workspace::target_dir()?.join(profile))
}

/// A program that is killed when we end without having stopped it, be it by Ctrl-C: its process group is not ours.
fn ending_with_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn listening_on(line: &str) -> Option<String> {
    let (_, url) = line.split_once("listening on ")?;
    Some(
        url.split_whitespace()
            .next()?
            .trim_end_matches('/')
            .to_owned(),
    )
}

/// A server that listens on every address is reached through loopback.
fn local_url(url: &str) -> String {
    url.replace("//0.0.0.0:", "//127.0.0.1:")
        .replace("//[::]:", "//[::1]:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line =
            "2026-01-01T00:00:00Z  INFO listening on http://0.0.0.0:43211 (loopback only: no)";
        assert_eq!(
            local_url(&listening_on(line).unwrap()),
            "http://127.0.0.1:43211"
        );
        assert_eq!(listening_on("starting"), None);
    }
}
