//! atop with the kernel's process accounting: a record for each end. Accounting belongs to a PID namespace, so it is
//! turned on in one of ours, where the load runs too, and ends with it.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::super::ATOP;
use super::Seen;
use super::meter::Meter;
use crate::command;
use crate::sandbox::{Sandbox, this_program};
use crate::spawning::{Storm, marker};

const LIMIT: Duration = Duration::from_secs(20);

/// For the sample after the last process has ended.
const SETTLE: Duration = Duration::from_secs(3);

pub(super) fn measure(storm: Storm, folder: &Path) -> Result<Seen> {
    let program = ATOP.ensure()?;
    let raw = folder.join(format!("atop-{}.raw", storm.load.name()));
    let init = this_program(&["population"])?;
    let sandbox = Sandbox::start(&init, &folder.join("sandbox.log"), LIMIT)?;
    let mut record = Command::new(&program);
    record.arg("-w").arg(&raw).arg("1");
    let atop = sandbox.start_inside("atop", &record, &folder.join("atop.log"))?;
    let meter = Meter::start(atop.pid)?;
    command::capture(&mut sandbox.command(&storm.program(&marker(901))?))?;
    thread::sleep(SETTLE);
    let busy_s = meter.busy_s()?;
    // It turns accounting off, and removes the file.
    atop.stop(Signal::SIGTERM, LIMIT)?;
    sandbox.stop()?;

    let lives = f64::from(storm.processes);
    let printed = command::capture(Command::new(&program).arg("-r").arg(&raw).arg("-PPRG"))
        .context("reading what atop has recorded")?;
    Ok(Seen {
        starts: None,
        exits: Some(ended(&printed, storm.load.command())),
        cpu_us_per_life: busy_s * 1e6 / lives,
        kernel_us_per_life: 0.0,
    })
}

/// Lines such as `PRG host 1795365262 2026/11/22 16:34:22 1 8 (true) E …`: state E is a process that has ended.
fn ended(printed: &str, command: &str) -> u64 {
    let name = format!("({command}) E ");
    let lines = printed.lines().filter(|line| line.starts_with("PRG "));
    lines.filter(|line| line.contains(&name)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_processes_of_a_name_are_counted() {
        let printed = "RESET\nPRG vm 17953652 2026/11/22 16:34:22 1 8 (true) E 0 0 8 1\n\
            PRG vm 17953652 2026/11/22 16:34:22 1 9 (true) S 0 0 8 1\n\
            PRG vm 17953652 2026/11/22 16:34:22 1 9 (sleep) E 0 0 8 1\nSEP\n";
        assert_eq!(ended(printed, "true"), 1);
    }
}
