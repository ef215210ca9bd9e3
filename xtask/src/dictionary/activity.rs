//! The processes that the dictionary learns from: all of them Debian's own programs, started here, under no path of this
//! machine.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Programs of a quiet host: they sleep for longer than this takes.
const QUIET: [&[&str]; 5] = [
    &["sleep", "infinity"],
    &["tail", "-f", "/dev/null"],
    &["sh", "-c", "sleep infinity; true"],
    &["sleep", "86400"],
    &["env", "LANG=C", "sleep", "infinity"],
];

/// Programs that use up something in every second.
const BUSY: [&str; 3] = [
    "while :; do sleep 0.2; done",
    "while :; do head -c 4096 /dev/zero > /dev/null; sleep 0.7; done",
    "i=0; while :; do i=$((i+1)); [ $((i % 2000)) -eq 0 ] && sleep 0.3; done",
];

/// What a host runs now and then.
const SHORT: [&str; 8] = [
    "date -u +%s",
    "grep -c processor /proc/cpuinfo",
    "uname -a",
    "ls -l /etc/apt",
    "cat /etc/os-release | sort | uniq -c",
    "test -f /etc/passwd && true",
    "id -u; hostname > /dev/null",
    "find /usr/share/doc -maxdepth 1 -name 'a*'",
];

pub(super) struct Activity {
    children: Vec<Child>,
    pids: Vec<u32>,
    rounds: usize,
}

impl Activity {
    pub(super) fn start(quiet: usize) -> Result<Self> {
        let mut activity = Self {
            children: Vec::new(),
            pids: Vec::new(),
            rounds: 0,
        };
        for number in 0..quiet {
            activity.keep(QUIET[number % QUIET.len()])?;
        }
        for number in 0..quiet / 9 {
            activity.keep(&["sh", "-c", BUSY[number % BUSY.len()]])?;
        }
        Ok(activity)
    }

    /// Some short commands.
    pub(super) fn round(&mut self) -> Result<()> {
        for number in 0..=self.rounds % 4 {
            let command = SHORT[(self.rounds + number) % SHORT.len()];
            let mut child = start(&["sh", "-c", command])?;
            self.pids.push(child.id());
            child.wait()?;
        }
        self.rounds += 1;
        Ok(())
    }

    /// Everything that was started here, ended or not.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.pids.clone()
    }

    fn keep(&mut self, words: &[&str]) -> Result<()> {
        let child = start(words)?;
        self.pids.push(child.id());
        self.children.push(child);
        Ok(())
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(words: &[&str]) -> Result<Child> {
    // A shell that is killed leaves no child behind for longer than its sleep.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(words)
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {words:?}"))
}
