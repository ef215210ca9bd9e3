//! The agent's program, started and asked.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// What a loaded machine may need for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nobody.
pub(crate) const NOBODY: u32 = 65534;
/// The capabilities that suffice for everything, as setpriv names them.
const AMBIENT: &str = "-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search";

pub(crate) struct Agent {
    child: Child,
    folder: TempDir,
    url: String,
}

/// As whom the agent runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    /// With the four capabilities, and nothing else.
    Nobody,
}

impl Agent {
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        Self::start_as(User::Root, arguments)
    }

    /// With a folder of its own, that its user may write, and metrics on a port of its own.
    pub(crate) fn start_as(user: User, arguments: &[&str]) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, user, arguments)
    }

    pub(crate) fn start_in(folder: TempDir, user: User, arguments: &[&str]) -> Result<Self> {
        let binary = env!("CARGO_BIN_EXE_procmon-agent");
        let command = match user {
            User::Root => Command::new(binary),
            User::Nobody => as_nobody(binary, folder.path())?,
        };
        Self::launch(command, folder, arguments)
    }

    /// With rings that outlive it, in this BPF file system.
    pub(crate) fn start_pinned(folder: TempDir, bpffs: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_procmon-agent"));
        command.env("PROCMON_BPFFS", bpffs).arg("--pin=true");
        Self::launch(command, folder, arguments)
    }

    fn launch(mut command: Command, folder: TempDir, arguments: &[&str]) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .args(["--agent-id", "tested", "--listen", "127.0.0.1:0"])
            .arg("--spool-dir")
            .arg(folder.path().join("spool"))
            .args(arguments)
            .stderr(log)
            .spawn()
            .context("cannot start the agent")?;
        let mut agent = Self {
            child,
            folder,
            url: String::new(),
        };
        until("the agent samples", || {
            let log = agent.log()?;
            let address = log
                .split("http://")
                .nth(1)
                .and_then(|rest| rest.split_once("/metrics"));
            if let Some((address, _)) = address {
                address.clone_into(&mut agent.url);
            }
            if agent.child.try_wait()?.is_some() {
                bail!("the agent ended: {log}");
            }
            Ok(!agent.url.is_empty() && agent.metric("samples_total").is_ok_and(|n| n > 0.0))
        })?;
        Ok(agent)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path("log"))?)
    }

    pub(crate) fn hang_up(&self) -> Result<()> {
        signal(self.pid(), rustix::process::Signal::HUP)
    }

    /// The status file of each thread.
    pub(crate) fn threads(&self) -> Result<Vec<HashMap<String, String>>> {
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            let fields = status.lines().filter_map(|line| line.split_once(':'));
            threads.push(
                fields
                    .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                    .collect(),
            );
        }
        Ok(threads)
    }

    pub(crate) fn rss_bytes(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid()))?;
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .context("statm has two fields")?
            .parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// Headers and body.
    pub(crate) fn get(&self, path: &str, accept: &str) -> Result<(String, String)> {
        let mut stream = TcpStream::connect(&self.url)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: agent\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("an answer has a head")?;
        Ok((head.to_owned(), body.to_owned()))
    }

    /// The value of `procmon_agent_` and this, labels included.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let (_, body) = self.get("/metrics", "*/*")?;
        let prefix = format!("procmon_agent_{name} ");
        let line = body.lines().find_map(|line| line.strip_prefix(&prefix));
        Ok(line
            .with_context(|| format!("no {name} in {body}"))?
            .parse()?)
    }

    /// Kills it; what it spooled stays.
    pub(crate) fn kill(mut self) -> Result<TempDir> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::replace(&mut self.folder, tempfile::tempdir()?))
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> Result<String> {
        signal(self.pid(), rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        let log = self.log()?;
        ensure!(status.success(), "{status}: {log}");
        Ok(log)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log().unwrap_or_default());
        }
    }
}

/// Where it is built only root may go: nobody gets a copy.
fn as_nobody(binary: &str, folder: &Path) -> Result<Command> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let copy = folder.join("procmon-agent");
    fs::copy(binary, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    chown(folder, Some(NOBODY), Some(NOBODY))?;
    let id = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .args(["--inh-caps", AMBIENT, "--ambient-caps", AMBIENT, "--"])
        .arg(copy)
        .env("HOME", "/nonexistent");
    Ok(command)
}

fn signal(pid: u32, signal: rustix::process::Signal) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid as i32).context("a pid is not zero")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Waits for something that is sure to come.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_so()? {
        ensure!(
            started.elapsed() < PATIENCE,
            "it did not happen that {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs a program that does nothing, under a name to find it by.
pub(crate) fn run_marked(marker: &str) -> Result<()> {
    let status = Command::new("/bin/true").arg(marker).status()?;
    ensure!(status.success(), "/bin/true: {status}");
    Ok(())
}

/// A process that waits, and ends with its owner.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    /// Of this size of argv, at least.
    pub(crate) fn start(marker: &str, args_bytes: usize) -> Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", "read never", marker, &"x".repeat(args_bytes)])
            .stdin(std::process::Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Sleeper {
    /// This program again, listening on a port in a network namespace of its own.
    pub(crate) fn listening(marker: &str) -> Result<Self> {
        let child = Command::new("unshare")
            .arg("--net")
            .arg(std::env::current_exe()?)
            .args(["--child", "listen", marker])
            .spawn()
            .context("cannot start unshare (package util-linux)")?;
        Ok(Self(child))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
