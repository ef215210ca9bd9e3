//! Block requests and their issuers.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::kernel::CaptureOptions;
use procmon_common::wire;
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
    histograms_agree(&mut watcher, pid)
}

/// What the histograms add up is what the records told one by one.
fn histograms_agree(watcher: &mut Watcher, pid: u32) -> Result<()> {
    let histograms = watcher.block_latency()?;
    let writes = |histogram: &&wire::BlockLatency| histogram.operation() == Operation::Write;
    let handle = watcher.handle(pid);
    let own: Vec<_> = histograms
        .iter()
        .filter(writes)
        .filter(|histogram| histogram.issuer == handle && handle.is_some())
        .collect();
    ensure!(
        own.len() == 1,
        "{} rows of this process: {histograms:?}",
        own.len()
    );
    let told: Vec<_> = watcher
        .slow
        .iter()
        .filter(|(issuer, slow)| *issuer == pid && slow.operation() == Operation::Write)
        .collect();
    let requests = own[0]
        .buckets
        .iter()
        .map(|count| *count as usize)
        .sum::<usize>();
    ensure!(
        requests == told.len(),
        "{:?}, but {} records",
        own[0],
        told.len()
    );
    ensure!(own[0].bytes == told.iter().map(|(_, slow)| slow.bytes).sum::<u64>());
    ensure!(own[0].latency_sum_ns == told.iter().map(|(_, slow)| slow.latency_ns).sum::<u64>());
    for (_, slow) in &told {
        let bucket = (slow.latency_ns / 1000)
            .checked_ilog2()
            .map_or(0, |log| log + 1) as usize;
        ensure!(
            own[0].buckets.get(bucket).is_some_and(|count| *count > 0),
            "{slow:?}, {:?}",
            own[0]
        );
    }
    let device = histograms.iter().filter(writes).find(|histogram| {
        let device = histogram.device.as_ref();
        device.is_some_and(|device| device.name == told[0].1.device)
    });
    let device = device.with_context(|| format!("no row of the device: {histograms:?}"))?;
    ensure!(device.bytes >= own[0].bytes && device.writeback.is_none());
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
