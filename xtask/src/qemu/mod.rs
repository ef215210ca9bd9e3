//! Runs one command on another kernel: a Debian kernel, a busybox initramfs, QEMU. It is emulated, which
//! takes some 10 s for a boot and needs nothing from the host's kernel. Knows nothing of tests.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

mod cpio;
mod initramfs;
mod kernel;
mod modules;

pub(crate) use kernel::Kernel;

/// What the guest prints last, followed by the command's exit code.
const END_MARKER: &str = "procmon-guest-exit:";

/// One command to run in a fresh guest, as root and as the only thing that runs there.
pub(crate) struct GuestRun<'a> {
    pub(crate) kernel: &'a Kernel,
    /// Files of the host to put into the guest; the shared libraries of programs come along by themselves.
    pub(crate) files: Vec<GuestFile>,
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Added to the kernel's command line.
    pub(crate) kernel_arguments: Vec<String>,
    pub(crate) memory_mib: u32,
    /// An empty disk, /dev/vda in the guest.
    pub(crate) disk_mib: u32,
    pub(crate) time_limit: Duration,
    /// Print the console while it runs.
    pub(crate) echo: bool,
}

pub(crate) struct GuestFile {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
}

/// How it went. No exit code means that the guest never reached its end: a crash, a hang, or the time limit.
pub(crate) struct GuestReport {
    pub(crate) exit_code: Option<i32>,
    pub(crate) console: String,
    pub(crate) elapsed: Duration,
}

impl GuestReport {
    /// The last lines of the console, for an error message.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.console.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Boots the kernel, runs the command and powers off.
pub(crate) fn boot(run: &GuestRun) -> Result<GuestReport> {
    let folder = tempfile::tempdir().context("cannot make a folder for the guest")?;
    let archive = folder.path().join("initramfs");
    fs::write(&archive, initramfs::build(run)?).context("cannot write the initramfs")?;
    let disk = folder.path().join("disk");
    File::create(&disk)?
        .set_len(u64::from(run.disk_mib) << 20)
        .context("cannot make the guest's disk")?;

    let started = Instant::now();
    let mut qemu = command(run, &archive, &disk);
    let mut child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
    let console = child.stdout.take().context("qemu has no standard output")?;
    let echo = run.echo;
    let reader = thread::spawn(move || read_console(BufReader::new(console), echo));
    wait(&mut child, started + run.time_limit)?;
    let console = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the console's reader panicked"))?;
    Ok(GuestReport {
        exit_code: exit_code(&console),
        console,
        elapsed: started.elapsed(),
    })
}

fn command(run: &GuestRun, archive: &Path, disk: &Path) -> Command {
    let mut line = String::from("console=ttyS0 panic=-1 loglevel=3");
    for argument in &run.kernel_arguments {
        line.push(' ');
        line.push_str(argument);
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    // Always emulated: KVM inside a virtual machine is there on many hosts, and works on few.
    qemu.args([
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-display",
        "none",
        "-serial",
        "stdio",
        "-no-reboot",
        "-nic",
        "none",
    ]);
    qemu.args(["-m", &run.memory_mib.to_string(), "-append", &line]);
    qemu.arg("-kernel")
        .arg(&run.kernel.image)
        .arg("-initrd")
        .arg(archive);
    qemu.arg("-drive").arg(format!(
        "file={},if=virtio,format=raw,cache=unsafe",
        disk.display()
    ));
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    qemu
}

fn read_console(mut console: impl BufRead, echo: bool) -> String {
    let mut text = String::new();
    let mut line = Vec::new();
    // A console that breaks off is a missing end marker, which is reported as such.
    while console
        .read_until(b'\n', &mut line)
        .is_ok_and(|read| read > 0)
    {
        let printable = String::from_utf8_lossy(&line).replace('\r', "");
        if echo {
            print!("{printable}");
        }
        text.push_str(&printable);
        line.clear();
    }
    text
}

fn wait(child: &mut Child, deadline: Instant) -> Result<()> {
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill().context("cannot stop qemu")?;
            child.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn exit_code(console: &str) -> Option<i32> {
    let marker = console
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix(END_MARKER))?;
    marker.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_comes_from_the_last_marker_only() {
        assert_eq!(exit_code("hello\nprocmon-guest-exit: 7\n"), Some(7));
        assert_eq!(
            exit_code("procmon-guest-exit: 1\nprocmon-guest-exit: 0\nreboot: Power down\n"),
            Some(0)
        );
        assert_eq!(exit_code("Kernel panic - not syncing\n"), None);
    }
}
