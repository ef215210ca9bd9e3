//! Block requests and their issuers.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::kernel::CaptureOptions;
use procmon_common::wire::slow_io::Operation;

use crate::trial;
use crate::watcher::Watcher;

const BYTES: usize = 16 << 10;
const WRITES: usize = 16;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "direct_writes_are_told_with_their_issuer",
        direct_writes_are_told_with_their_issuer,
    )]
}

#[repr(C, align(4096))]
struct Aligned([u8; BYTES]);

fn direct_writes_are_told_with_their_issuer() -> Result<()> {
    let mut watcher = Watcher::with(CaptureOptions {
        io_slow_threshold: Duration::ZERO,
        ..CaptureOptions::default()
    })?;
    let (_folder, mut file) = target()?;
    let data = Box::new(Aligned([7; BYTES]));
    for _ in 0..WRITES {
        file.write_all(&data.0)?;
    }
    let pid = std::process::id();
    let written = |watcher: &Watcher| -> u64 {
        let own = watcher
            .slow
            .iter()
            .filter(|(issuer, slow)| *issuer == pid && slow.operation() == Operation::Write);
        own.map(|(_, slow)| slow.bytes).sum()
    };
    let done = watcher.until("block requests of this process", |watcher| {
        written(watcher) >= (BYTES * WRITES) as u64
    });
    let seen = || {
        format!(
            "pid {pid}, seen {:?}, lost {:?}",
            watcher.slow,
            watcher.lost()
        )
    };
    done.with_context(seen)?;
    for (issuer, slow) in &watcher.slow {
        if *issuer == pid {
            ensure!(
                slow.latency_ns > 0 && slow.latency_ns < 60_000_000_000,
                "{slow:?}"
            );
            ensure!(slow.device_major > 0 && !slow.device.is_empty(), "{slow:?}");
            ensure!(
                Path::new("/sys/class/block").join(&slow.device).exists(),
                "{slow:?}"
            );
            ensure!(!slow.writeback, "{slow:?}");
        }
    }
    Ok(())
}

/// In a virtual machine without a file system on disk: the disk. Else a file beside the build.
fn target() -> Result<(Option<tempfile::TempDir>, File)> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_DIRECT);
    let disk = PathBuf::from("/dev/vda");
    let root = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if root.starts_with("rootfs /")
        && std::fs::metadata(&disk).is_ok_and(|meta| meta.file_type().is_block_device())
    {
        return Ok((None, options.open(&disk)?));
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = options
        .create(true)
        .truncate(true)
        .open(folder.path().join("direct"));
    Ok((
        Some(folder),
        file.context("the build folder must be on a disk that takes O_DIRECT")?,
    ))
}
