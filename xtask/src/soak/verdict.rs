//! Whether anything grew, and whether anything was lost.

use anyhow::{Result, bail};

use super::readings::Reading;
use crate::bench::statistics::median;

const MIB: f64 = (1 << 20) as f64;

/// How much higher the median of the last quarter may be than that of the second: the allocator's steps, and what is
/// kept of the last minutes. A leak of one byte for each process or sample grows past it within the half hour.
const RSS_GROWTH: f64 = 1.1;
const RSS_GROWTH_BYTES: f64 = 4.0 * MIB;
/// Connections and segments come and go.
const FILES_GROWTH: f64 = 4.0;

/// Processes spawned, and what the API says of them.
pub(super) struct Lives {
    pub(super) spawned: u64,
    pub(super) starts: u64,
    pub(super) exits: u64,
}

/// A name, where it is in a reading, the highest it may become, and the unit it is shown in.
type Column = (&'static str, fn(&Reading) -> f64, fn(f64) -> f64, f64);

/// Prints a summary, and fails when something is not as it should be.
pub(super) fn judge(readings: &[Reading], lives: &Lives) -> Result<()> {
    if readings.len() < 8 {
        bail!(
            "{} readings are too few to tell whether anything grows",
            readings.len()
        );
    }
    let columns: [Column; 4] = [
        (
            "agent RSS in MiB",
            |r| r.agent.rss_bytes as f64,
            rss_limit,
            MIB,
        ),
        (
            "server RSS in MiB",
            |r| r.server.rss_bytes as f64,
            rss_limit,
            MIB,
        ),
        ("agent files", |r| r.agent.files as f64, files_limit, 1.0),
        ("server files", |r| r.server.files as f64, files_limit, 1.0),
    ];
    let mut failures = Vec::new();
    for (what, read, limit, unit) in columns {
        let [early, late] = quarters(readings, read);
        println!("{what:<20} {:>8.1} then {:>8.1}", early / unit, late / unit);
        if late > limit(early) {
            failures.push(format!(
                "{what} grew from {:.1} to {:.1}",
                early / unit,
                late / unit
            ));
        }
    }
    summary(readings, lives);
    let drops = readings.last().map_or(0, |reading| reading.drops);
    if drops > 0 {
        failures.push(format!("{drops} records were dropped"));
    }
    if lives.starts != lives.spawned || lives.exits != lives.spawned {
        failures.push("not every process is in the API".to_owned());
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("; "))
}

fn rss_limit(early: f64) -> f64 {
    early * RSS_GROWTH + RSS_GROWTH_BYTES
}

fn files_limit(early: f64) -> f64 {
    early + FILES_GROWTH
}

/// Medians of the second and of the last quarter: the first is for warming up.
fn quarters(readings: &[Reading], read: fn(&Reading) -> f64) -> [f64; 2] {
    let quarter = readings.len() / 4;
    [1, 3].map(|number| {
        let part = readings.iter().skip(number * quarter).take(quarter);
        median(part.map(read))
    })
}

fn summary(readings: &[Reading], lives: &Lives) {
    let (Some(first), Some(last)) = (readings.first(), readings.last()) else {
        return;
    };
    let processes = || readings.iter().map(|reading| reading.processes);
    let seconds = last.elapsed_s - first.elapsed_s;
    println!(
        "{:.0} s: {} spawned, {} starts and {} ends in the API, {} dropped; CPU ms per s: agent {:.1}, server {:.1}; \
         store {:.1} MiB, spool {:.1} MiB; {} to {} processes on this host",
        last.elapsed_s,
        lives.spawned,
        lives.starts,
        lives.exits,
        last.drops,
        (last.agent.cpu_s - first.agent.cpu_s) * 1e3 / seconds,
        (last.server.cpu_s - first.server.cpu_s) * 1e3 / seconds,
        last.server.disk_bytes as f64 / MIB,
        last.agent.disk_bytes as f64 / MIB,
        processes().min().unwrap_or_default(),
        processes().max().unwrap_or_default()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVES: Lives = Lives {
        spawned: 10,
        starts: 10,
        exits: 10,
    };

    fn readings(rss: impl Fn(u64) -> u64) -> Vec<Reading> {
        (0..40)
            .map(|second| {
                let mut reading = Reading {
                    elapsed_s: second as f64,
                    ..Reading::default()
                };
                reading.agent.rss_bytes = rss(second);
                reading
            })
            .collect()
    }

    #[test]
    fn what_settles_is_flat_and_what_grows_is_not() {
        let settles = readings(|second| if second < 5 { 10 << 20 } else { 20 << 20 });
        judge(&settles, &LIVES).unwrap();
        let grows = readings(|second| (20 << 20) + second * (1 << 19));
        assert!(
            judge(&grows, &LIVES)
                .unwrap_err()
                .to_string()
                .contains("agent RSS")
        );
        assert!(judge(&grows[..7], &LIVES).is_err(), "too few to tell");
    }

    #[test]
    fn a_missing_end_fails() {
        let lives = Lives { exits: 9, ..LIVES };
        assert!(judge(&readings(|_| 1 << 20), &lives).is_err());
    }
}
