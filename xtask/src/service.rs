//! A program that runs beside us: the server or the agent, started, listened to, and always stopped again.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http;

/// How many lines of its log are kept to explain its end.
const TAIL_LINES: usize = 200;
const POLL: Duration = Duration::from_millis(20);

/// Where the lines of a service go, besides its log file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Off,
    /// To our standard output, each with the service's name before it.
    On,
}

pub(crate) struct Service {
    pub(crate) name: &'static str,
    child: Child,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Service {
    /// Starts the program with its output in `log`. It gets its own process group: a Ctrl-C of the terminal reaches
    /// only us, and we decide in which order things stop.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        echo: Echo,
    ) -> Result<Self> {
        Self::start_with(name, command.stdin(Stdio::null()), log, echo)
    }

    /// As `start`, with a standard input that stays open and empty for as long as we live: a program that ends with its
    /// input ends with us, even when nobody is left to stop it.
    pub(crate) fn start_with_input(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        echo: Echo,
    ) -> Result<Self> {
        Self::start_with(name, command.stdin(Stdio::piped()), log, echo)
    }

    fn start_with(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        echo: Echo,
    ) -> Result<Self> {
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        let log = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        command
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        // The command holds the write end of the pipe; without this the reader would never see its end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let lines = Arc::clone(&tail);
        thread::spawn(move || read_lines(name, reader, log, echo, &lines));
        Ok(Self { name, child, tail })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails, with its last words, if it has ended.
    pub(crate) fn require_running(&mut self) -> Result<()> {
        let Some(status) = self.ended()? else {
            return Ok(());
        };
        thread::sleep(POLL); // for what is still in the pipe
        bail!(
            "the {} ended by itself ({status}). Its last lines:\n{}",
            self.name,
            self.last_lines(20)
        )
    }

    pub(crate) fn last_lines(&self, count: usize) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// Waits until it has printed a line in which `find` finds something.
    pub(crate) fn wait_for_line<T>(
        &mut self,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = tail.iter().find_map(|line| find(line)) {
                return Ok(found);
            }
            drop(tail);
            self.require_running()?;
            self.require_before(deadline, "did not say that it is ready")?;
        }
    }

    /// Waits until `/readyz` of the URL answers 200.
    pub(crate) fn wait_until_ready(&mut self, url: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while http::get(url, "/readyz").is_err() {
            self.require_running()?;
            self.require_before(deadline, "did not become ready")?;
        }
        Ok(())
    }

    fn require_before(&self, deadline: Instant, what: &str) -> Result<()> {
        if Instant::now() >= deadline {
            bail!(
                "the {} {what} in time. Its last lines:\n{}",
                self.name,
                self.last_lines(20)
            );
        }
        thread::sleep(POLL);
        Ok(())
    }

    /// SIGTERM, and SIGKILL when that does not end it within the limit.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )
        .context("cannot send SIGTERM")?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.child
            .kill()
            .with_context(|| format!("cannot kill the {}", self.name))?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Only after an error elsewhere: whoever stops a service properly has called `stop`.
        if self.ended().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn read_lines(
    name: &str,
    reader: PipeReader,
    mut log: File,
    echo: Echo,
    tail: &Mutex<VecDeque<String>>,
) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        // A full disk must not stop the service; its lines are still in `tail`.
        let _ = writeln!(log, "{text}");
        if echo == Echo::On {
            let _ = writeln!(io::stdout(), "{name:>6} | {text}");
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Service) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let service =
            Service::start("shell", &mut command, &folder.path().join("log"), Echo::Off).unwrap();
        (folder, service)
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_service_is_ready_when_it_says_so_and_stops_when_told() {
        let (_folder, mut service) = shell("echo ready at 7 >&2; exec sleep 60");
        let port = service.wait_for_line(LIMIT, |line| {
            line.strip_prefix("ready at ")?.parse::<u16>().ok()
        });
        assert_eq!(port.unwrap(), 7);
        assert!(!service.stop(LIMIT).unwrap().success());
    }

    #[test]
    fn one_that_ignores_sigterm_is_killed() {
        let (_folder, mut service) = shell("trap '' TERM; echo up; while :; do sleep 0.1; done");
        service
            .wait_for_line(LIMIT, |line| (line == "up").then_some(()))
            .unwrap();
        let status = service.stop(Duration::from_millis(200)).unwrap();
        assert!(status.to_string().contains("SIGKILL"), "{status}");
    }

    #[test]
    fn one_that_dies_leaves_its_last_words() {
        let (_folder, mut service) = shell("echo out of luck; exit 3");
        let error = service
            .wait_for_line(LIMIT, |_| None::<()>)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("out of luck"),
            "{error}"
        );
    }
}
