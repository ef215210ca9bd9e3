//! Telling the scans of a program apart from outside: it works, then it sleeps until the next.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process_cost::{cpu_ns, is_sleeping};

const POLL: Duration = Duration::from_millis(20);

/// A program that sleeps for so long, and used no CPU meanwhile, has done with its scan.
const QUIET: Duration = Duration::from_millis(100);

/// A burst of less than this share of the largest is not a scan, but a timer or a line of output.
const SCAN_SHARE: f64 = 0.1;

/// Watches a program that scans at an interval of its own, and returns the CPU milliseconds of each scan. The first two
/// are left out: they fill caches.
pub(super) fn observe(pid: u32, scans: usize, interval: Duration) -> Result<Vec<f64>> {
    let limit = Duration::from_secs(30) + (interval * 3) * scans as u32;
    let deadline = Instant::now() + limit;
    let mut bursts = Vec::new();
    let mut before = cpu_ns(pid)?;
    let (mut latest, mut moved_at) = (before, Instant::now());
    loop {
        thread::sleep(POLL);
        let now = cpu_ns(pid)?;
        if now != latest {
            (latest, moved_at) = (now, Instant::now());
        } else if now > before && moved_at.elapsed() >= QUIET && is_sleeping(pid)? {
            bursts.push((now - before) as f64 / 1e6);
            before = now;
        }
        let found = scans_among(&bursts);
        if found.len() >= scans {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("only {} scans in {} s", found.len(), limit.as_secs());
        }
    }
}

fn scans_among(bursts: &[f64]) -> Vec<f64> {
    let warm = bursts.get(2..).unwrap_or_default();
    let largest = warm.iter().copied().fold(0.0, f64::max);
    warm.iter()
        .copied()
        .filter(|burst| *burst >= largest * SCAN_SHARE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_and_the_small_ones_are_no_scans() {
        assert_eq!(scans_among(&[90.0, 30.0, 9.0, 0.01, 10.0]), [9.0, 10.0]);
        assert!(scans_among(&[90.0]).is_empty());
    }
}
