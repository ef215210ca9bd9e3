//! Processes in a world of their own: a PID, mount and network namespace with its own /proc, in which a program sees
//! nothing but what we put there. It ends with us, however we end.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process_cost;
use crate::service::{Echo, Service};

const POLL: Duration = Duration::from_millis(20);

/// How long the end of thousands of processes may take.
const END_LIMIT: Duration = Duration::from_mins(1);

pub(crate) struct Sandbox {
    service: Service,
    /// The first process inside, by its pid outside.
    init: u32,
}

impl Sandbox {
    /// Starts `program` as the first process of new namespaces, and waits until it prints `ready`. It has to end when
    /// its standard input does.
    pub(crate) fn start(program: &Command, log: &Path, limit: Duration) -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount", "--mount-proc", "--net"]);
        unshare.args(["--kill-child=SIGKILL", "--"]);
        unshare.arg(program.get_program()).args(program.get_args());
        let mut service = Service::start_with_input("sandbox", &mut unshare, log, Echo::Off)?;
        service
            .wait_for_line(limit, |line| (line == "ready").then_some(()))
            .context("new namespaces (root is needed)")?;
        let init = only_child(service.pid())?;
        Ok(Self { service, init })
    }

    /// The first process inside, by its pid outside.
    pub(crate) fn init(&self) -> u32 {
        self.init
    }

    /// Runs a program inside, beside the first; its network is ours.
    pub(crate) fn start_inside(
        &self,
        name: &'static str,
        program: &Command,
        log: &Path,
    ) -> Result<Inside> {
        let mut enter = self.command(program);
        let mut service = Service::start_with_input(name, &mut enter, log, Echo::Off)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        // nsenter forks when it has entered.
        let pid = loop {
            match only_child(service.pid()) {
                Ok(pid) => break pid,
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => service.require_running()?,
            }
            thread::sleep(POLL);
        };
        Ok(Inside { service, pid })
    }

    /// The command that runs a program inside.
    pub(crate) fn command(&self, program: &Command) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--pid", "--mount", "--target"]);
        enter.arg(self.init.to_string()).arg("--");
        enter.arg(program.get_program()).args(program.get_args());
        let variables = program.get_envs();
        enter.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        enter
    }

    /// Ends all that is inside, and waits until it is gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        // The kernel kills the rest of a PID namespace with its first process.
        send(self.init, Signal::SIGKILL)?;
        let deadline = Instant::now() + END_LIMIT;
        while self.service.ended()?.is_none() {
            if Instant::now() >= deadline {
                bail!("the processes in the namespace did not end in time");
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

/// A program in a sandbox.
pub(crate) struct Inside {
    pub(crate) service: Service,
    /// Its pid outside.
    pub(crate) pid: u32,
}

impl Inside {
    /// Asks it to end by this signal, and kills it when it does not.
    pub(crate) fn stop(mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.service.ended()? {
            return Ok(status);
        }
        send(self.pid, signal)?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.service.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                send(self.pid, Signal::SIGKILL)?;
                return self.service.stop(limit);
            }
            thread::sleep(POLL);
        }
    }
}

/// Sends a signal to a process that we started.
pub(crate) fn send(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), signal)
        .with_context(|| format!("cannot send {signal} to process {pid}"))
}

/// This program with other arguments, as one that can be started in a sandbox. A build of the workspace may have replaced its
/// file meanwhile: then the new one does as well.
pub(crate) fn this_program(arguments: &[impl AsRef<OsStr>]) -> Result<Command> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let program = replaced(&program).unwrap_or(program);
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// The path without what the kernel adds to that of a file that is gone.
fn replaced(program: &Path) -> Option<PathBuf> {
    let path = program.to_str()?.strip_suffix(" (deleted)")?;
    Some(PathBuf::from(path))
}

fn only_child(pid: u32) -> Result<u32> {
    match process_cost::children(pid)?.as_slice() {
        [child] => Ok(*child),
        children => bail!("process {pid} has {} children, not one", children.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_again_is_found() {
        let again = replaced(Path::new("/t/debug/xtask (deleted)"));
        assert_eq!(again, Some(PathBuf::from("/t/debug/xtask")));
        assert_eq!(replaced(Path::new("/t/debug/xtask")), None);
        assert!(this_program(&["population"]).is_ok());
    }
}
