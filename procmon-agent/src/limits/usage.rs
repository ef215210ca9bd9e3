//! What this process uses.
#![expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Resident memory; zero where `/proc` cannot be read. Four times a second: the file stays open.
pub(crate) fn own_rss_bytes() -> u64 {
    static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());
    // Seven numbers.
    let mut text = [0; 160];
    let read = STATM
        .as_ref()
        .and_then(|statm| statm.read_at(&mut text, 0).ok());
    let pages: u64 = std::str::from_utf8(&text[..read.unwrap_or(0)])
        .ok()
        .and_then(|statm| statm.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// CPU time of all threads since the start.
pub(crate) fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Below the usual 0 by as much as a service may be that others wait for.
const NICE: i32 = -10;

/// Lets this process run before others: on a host that is overloaded the ring is full before its turn comes. What it may
/// use in all is `cpu_limit`. Only with `CAP_SYS_NICE`, and for the threads that are started from now on.
pub fn go_first() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("the priority stays as it is: {error}");
    }
}

/// Returns memory to the kernel that was freed, and which glibc keeps for reuse unless told otherwise.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only returns free pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_anew_each_time() {
        let before = own_rss_bytes();
        let more = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = own_rss_bytes();
        assert!(
            before > 1 << 20 && after > before + (24 << 20),
            "{before} {after}"
        );
        drop(more);
    }
}
