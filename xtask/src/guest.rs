//! `cargo xtask guest`: one command on one of Debian's kernels, for finding out why a test fails there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::prerequisites;
use crate::qemu::{self, GuestFile, GuestRun, Kernel};

/// Run a command on Debian's 6.1 or 6.12 kernel, in QEMU.
///
/// The guest has busybox, the given files under /bin, and an empty disk at /dev/vda. Example:
/// `cargo xtask guest --kernel 6.1 --file target/debug/procmon-agent -- procmon-agent check`
#[derive(Args)]
pub(crate) struct Options {
    /// The kernel's series, as Debian packages it.
    #[arg(long, default_value = "6.1")]
    kernel: String,
    /// Put this file of the host into the guest's /bin; may be repeated.
    #[arg(long = "file")]
    files: Vec<PathBuf>,
    /// Add this to the kernel's command line; may be repeated.
    #[arg(long = "kernel-argument")]
    kernel_arguments: Vec<String>,
    /// Stop the guest after so many seconds.
    #[arg(long, default_value_t = 300)]
    time_limit: u64,
    /// What to run, with its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::ensure(prerequisites::EMULATOR)?;
    let kernel = Kernel::of_series(&options.kernel)?;
    let report = qemu::boot(&GuestRun {
        kernel: &kernel,
        files: options
            .files
            .iter()
            .map(|file| in_bin(file))
            .collect::<Result<_>>()?,
        command: options.command.clone(),
        environment: Vec::new(),
        kernel_arguments: options.kernel_arguments.clone(),
        memory_mib: 1024,
        disk_mib: 64,
        time_limit: Duration::from_secs(options.time_limit),
        echo: true,
    })?;
    println!("{}: {:.1} s", kernel.release, report.elapsed.as_secs_f64());
    match report.exit_code {
        Some(0) => Ok(()),
        Some(code) => bail!("the command exited with {code}"),
        None => bail!(
            "the guest did not reach its end within {} s",
            options.time_limit
        ),
    }
}

fn in_bin(file: &Path) -> Result<GuestFile> {
    let name = file
        .file_name()
        .with_context(|| format!("{} has no file name", file.display()))?;
    Ok(GuestFile {
        host: file.to_path_buf(),
        guest: format!("/bin/{}", name.to_string_lossy()),
    })
}
