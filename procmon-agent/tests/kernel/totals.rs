//! What a life used up, against what the kernel tells its parent.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_common::wire;

use crate::trial;
use crate::watcher::{Watcher, child, wait4};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "cpu_time_of_threads_equals_wait4",
            cpu_time_of_threads_equals_wait4,
        ),
        trial(
            "cpu_time_and_memory_of_64_mb_equal_wait4",
            cpu_time_and_memory_of_64_mb_equal_wait4,
        ),
        trial("peak_rss_is_not_the_parent_s", peak_rss_is_not_the_parent_s),
    ]
}

fn micros(time: libc::timeval) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_usec
}

fn equal_cpu_time(exit: &wire::Exit, usage: &libc::rusage) -> Result<()> {
    let told = micros(usage.ru_utime) + micros(usage.ru_stime);
    let seen = (exit.cpu_time_ns.context("no CPU time")? / 1000) as i64;
    ensure!(
        (told - seen).abs() <= 1000,
        "wait4 tells {told} us, the exit event {seen} us"
    );
    ensure!(exit.totals_final, "{exit:?}");
    ensure!(
        exit.user_time_ns
            .zip(exit.system_time_ns)
            .map(|(user, system)| user + system)
            == exit.cpu_time_ns
    );
    Ok(())
}

fn cpu_time_of_threads_equals_wait4() -> Result<()> {
    let mut watcher = Watcher::start_patiently()?;
    let (pid, usage) = wait4(child(["threads", "4", "40"]))?;
    equal_cpu_time(watcher.life_of(pid)?.exit(), &usage)
}

fn cpu_time_and_memory_of_64_mb_equal_wait4() -> Result<()> {
    let mut watcher = Watcher::start_patiently()?;
    let (pid, usage) = wait4(child(["memory", "67108864"]))?;
    let life = watcher.life_of(pid)?;
    equal_cpu_time(life.exit(), &usage)?;
    let peak = life.exit().max_rss_bytes.context("no peak RSS")? as i64;
    let told = usage.ru_maxrss * 1024;
    // wait4 tells the peak of whoever started it by vfork, where that was higher: of this test program.
    let inherited = told > peak && told <= own_peak_rss_bytes()?;
    ensure!(
        peak >= 64 << 20 && (inherited || (peak - told).abs() <= 2 << 20),
        "peak RSS {peak}, wait4 tells {told}"
    );
    Ok(())
}

fn own_peak_rss_bytes() -> Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: i64 = line
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .context("/proc/self/status has no VmHWM")?;
    Ok(kib << 10)
}

fn peak_rss_is_not_the_parent_s() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let output = child(["spawn-from-big", "524288000"])
        .stdout(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    let pids = String::from_utf8(output.stdout)?;
    ensure!(pids.lines().count() == 2, "{pids:?}");
    for pid in pids.lines() {
        // Linux lets go of the memory before the exit hook until 6.16: unknown there, never the parent's.
        match watcher.life_of(pid.parse()?)?.exit().max_rss_bytes {
            Some(peak) => ensure!(
                (100 << 10..32 << 20).contains(&peak),
                "peak RSS of /bin/true: {peak}"
            ),
            None => ensure!(
                !memory_is_there_at_exit(),
                "peak RSS is unknown on a kernel that shows it"
            ),
        }
    }
    Ok(())
}

/// The exit hook runs before the memory is let go since 6.16.
fn memory_is_there_at_exit() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (6, 16)
}
