//! What the server itself uses, as the kernel tells it.

use std::fs;

/// Bytes of memory and seconds of CPU time. What `/proc` does not tell is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
}

/// Of `/proc/self/stat`: 1/100 s on every Linux port.
const TICKS_PER_SECOND: f64 = 100.0;

impl Own {
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            cpu_seconds: cpu_seconds(&stat),
            resident_bytes: resident_bytes(&status),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| fds.count() as u64),
        }
    }
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    // utime and stime are fields 14 and 15; the first after the name is 3.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Option<Vec<f64>> = ticks.map(|field| field.parse().ok()).collect();
    Some(ticks?.into_iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = Own::read();
        assert!(own.cpu_seconds.is_some());
        assert!(own.resident_bytes > Some(1 << 20));
        assert!(own.open_fds >= Some(3));
        assert_eq!(
            cpu_seconds("1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 150 50 0"),
            Some(2.0)
        );
    }
}
