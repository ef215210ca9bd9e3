//! Programs with names of their own, so that rules find them and nothing else of the machine.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Nothing but CPU time. The limit is for a test that is killed and can end nothing.
pub(crate) const BURN: &str = "ulimit -t 300; while :; do :; done";
/// Nothing, until its input ends.
pub(crate) const WAIT: &str = "read line";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A name that no other process has, and that the kernel does not cut when two letters are added.
pub(crate) fn unique(what: &str) -> String {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{what}{:x}-{number}", std::process::id());
    assert!(name.len() <= 13, "{name} is too long for the kernel");
    name
}

/// The shell under another name.
pub(crate) fn shell(folder: &Path, name: &str) -> PathBuf {
    copy("/bin/sh", folder, name)
}

pub(crate) fn copy(program: &str, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::copy(program, &path).unwrap_or_else(|error| panic!("{program}: {error}"));
    path
}

/// A file that a shell runs.
pub(crate) fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("it writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its own file");
    path
}

/// A process that ends with the test, however that ends.
pub(crate) struct Running(Child);

impl Running {
    /// A shell with a script, and what the script finds as `$1` and so on. Its input is open until it is waited for.
    pub(crate) fn start(shell: &Path, script: &str, arguments: &[&str]) -> Self {
        let child = Command::new(shell)
            .args(["-c", script, "sh"])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{}: {error}", shell.display())))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A line for a script that reads.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("it is open");
        writeln!(input, "{line}").expect("it reads");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.pid().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.0.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
