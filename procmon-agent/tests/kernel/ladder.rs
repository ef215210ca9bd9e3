//! Each level of the probe ladder, forced: what it knows is as the process was, and what it cannot know is unknown.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::config::Probe;
use procmon_agent::kernel::probe::{LEVELS, Level, assess, choose};
use procmon_agent::kernel::{CaptureOptions, Connector};
use procmon_agent::source::Source;

use crate::child::in_namespace;
use crate::trial;
use crate::watcher::{Watcher, child};

/// Small enough for an emulated machine.
const STORM: u32 = 2000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ladder_tracepoint_starts_and_ends", || {
            starts_and_ends(Probe::Tracepoint)
        }),
        trial("ladder_procnet_starts_and_ends", || {
            starts_and_ends(Probe::Procnet)
        }),
        trial("ladder_tracepoint_knows_how_it_ended", || {
            how_it_ended(Probe::Tracepoint)
        }),
        trial("ladder_procnet_knows_how_it_ended", || {
            how_it_ended(Probe::Procnet)
        }),
        trial(
            "ladder_tracepoint_without_connector",
            tracepoint_without_connector,
        ),
        trial("ladder_tracepoint_leader_first", || {
            leader_first(Probe::Tracepoint)
        }),
        trial("ladder_procnet_leader_first", || {
            leader_first(Probe::Procnet)
        }),
        trial("ladder_tracepoint_exec_by_a_thread", || {
            exec_by_a_thread(Probe::Tracepoint)
        }),
        trial("ladder_procnet_exec_by_a_thread", || {
            exec_by_a_thread(Probe::Procnet)
        }),
        trial("ladder_tracepoint_storm", || storm(Probe::Tracepoint)),
        trial("ladder_procnet_storm", || storm(Probe::Procnet)),
        trial(
            "ladder_procnet_counts_what_it_lost",
            procnet_counts_what_it_lost,
        ),
        trial("ladder_without_btf", || in_namespace("no-btf")),
        trial("ladder_without_capabilities", || {
            in_namespace("no-capabilities")
        }),
        trial("ladder_in_a_pid_namespace", || {
            in_namespace("pid-namespace")
        }),
        trial("ladder_in_a_network_namespace", || {
            in_namespace("network-namespace")
        }),
        trial("ladder_is_assessed", is_assessed),
    ]
}

/// The kernels without a proc connector refuse it for that reason, and for no other.
fn start(wanted: Probe) -> Result<Option<Watcher>> {
    match choose(wanted, CaptureOptions::default(), None) {
        Ok((level, reason, source)) => {
            ensure!(level.name() == wanted.name(), "{level}");
            ensure!(reason == "the configuration asks for it", "{reason}");
            Watcher::of(source).map(Some)
        }
        Err(error) => {
            ensure!(
                wanted == Probe::Procnet && !kernel_has_connector(),
                "{error:#}"
            );
            let reason = format!("{error:#}");
            ensure!(reason.contains("CONFIG_"), "{reason}");
            Ok(None)
        }
    }
}

/// As its configuration says, where the kernel shows it; the machines of these tests have it.
fn kernel_has_connector() -> bool {
    let protocols = std::fs::read_to_string("/proc/net/connector");
    protocols.is_ok_and(|table| table.lines().any(|line| line.starts_with("cn_proc")))
}

fn starts_and_ends(wanted: Probe) -> Result<()> {
    let Some(mut watcher) = start(wanted)? else {
        return Ok(());
    };
    let mut process = child(["sleep", "300", "a b", "", "--password=hunter2"]).spawn()?;
    let pid = process.id();
    watcher.until("exec event", |watcher| {
        watcher
            .lives
            .get(&pid)
            .is_some_and(|life| !life.execs.is_empty())
    })?;
    process.wait()?;
    let life = watcher.life_of(pid)?;
    let own = std::env::current_exe()?;
    let image = life.execs[0].image.clone().context("no image")?;
    ensure!(
        *image.exe == *own.as_os_str().as_encoded_bytes(),
        "{image:?}"
    );
    let args = |password: &str| {
        format!(
            "{}\0--child\0sleep\x00300\0a b\0\0--password={password}\0",
            own.display()
        )
    };
    ensure!(*image.args == *args("‹redacted›").as_bytes(), "{image:?}");
    ensure!(
        image.args_bytes == args("hunter2").len() as u64,
        "{image:?}"
    );
    let credentials = life.execs[0]
        .credentials
        .clone()
        .context("no credentials")?;
    ensure!(
        (credentials.uid, credentials.euid, credentials.gid) == (0, Some(0), 0),
        "{credentials:?}"
    );
    ensure!(life.process.ppid == std::process::id(), "{life:?}");
    ensure!(!life.process.baseline, "{life:?}");
    let exit = life.exit();
    ensure!(
        exit.cpu_time_ns.is_none() && exit.max_rss_bytes.is_none(),
        "{exit:?}"
    );
    ensure!(!exit.totals_final, "{exit:?}");
    Ok(())
}

fn how_it_ended(wanted: Probe) -> Result<()> {
    let Some(mut watcher) = start(wanted)? else {
        return Ok(());
    };
    for code in [0_u32, 7, 255] {
        let mut process = child(["exit", &code.to_string()]).spawn()?;
        process.wait()?;
        let exit = watcher.life_of(process.id())?.exit().clone();
        ensure!((exit.code, exit.signal) == (Some(code), None), "{exit:?}");
    }
    for signal in [libc::SIGKILL, libc::SIGSEGV] {
        let mut process = child(["signal", &signal.to_string()]).spawn()?;
        process.wait()?;
        let exit = watcher.life_of(process.id())?.exit().clone();
        ensure!(
            (exit.code, exit.signal) == (None, Some(signal.cast_unsigned())),
            "{exit:?}"
        );
    }
    let mut threads = child(["threads", "4", "5"]).spawn()?;
    threads.wait()?;
    let exit = watcher.life_of(threads.id())?.exit().clone();
    ensure!(exit.code == Some(0), "threads are not processes: {exit:?}");
    Ok(())
}

/// As without `CAP_NET_ADMIN`: how a process ended is unknown, not zero.
fn tracepoint_without_connector() -> Result<()> {
    let (_, _, source) = choose(Probe::Tracepoint, CaptureOptions::default(), None)?;
    let Source::Tracepoint { classic, .. } = source else {
        anyhow::bail!("not the level that was asked for")
    };
    let mut watcher = Watcher::of(Source::Tracepoint {
        classic,
        statuses: None,
    })?;
    let mut process = child(["exit", "7"]).spawn()?;
    process.wait()?;
    let exit = watcher.life_of(process.id())?.exit().clone();
    ensure!((exit.code, exit.signal) == (None, None), "{exit:?}");
    Ok(())
}

fn leader_first(wanted: Probe) -> Result<()> {
    let Some(mut watcher) = start(wanted)? else {
        return Ok(());
    };
    for arguments in [&["leader-first", "3"][..], &["leader-first", "3", "5"]] {
        let mut process = child(arguments).spawn()?;
        let pid = process.id();
        let told = process.wait()?.code().map(i32::cast_unsigned);
        let life = watcher.life_of(pid)?;
        ensure!(
            life.exit().code == told && told.is_some(),
            "the parent was told {told:?}: {:?}",
            life.exit()
        );
    }
    Ok(())
}

/// Another thread than the first one executes: the first one's end is not the process's.
fn exec_by_a_thread(wanted: Probe) -> Result<()> {
    let Some(mut watcher) = start(wanted)? else {
        return Ok(());
    };
    let own = std::env::current_exe()?;
    let mut process = child(["exec-by-thread"])
        .arg(&own)
        .args(["--child", "sleep", "400"])
        .spawn()?;
    let pid = process.id();
    watcher.until("second exec", |watcher| {
        watcher
            .lives
            .get(&pid)
            .is_some_and(|life| life.execs.len() == 2)
    })?;
    process.wait()?;
    let life = watcher.life_of(pid)?;
    let image = life.execs[1].image.clone().context("no image")?;
    ensure!(
        image.args.ends_with(b"--child\0sleep\x00400\0"),
        "{image:?}"
    );
    ensure!(life.exit().code == Some(0), "{life:?}");
    Ok(())
}

fn storm(wanted: Probe) -> Result<()> {
    let Some(mut watcher) = start(wanted)? else {
        return Ok(());
    };
    let pids = crate::storm::storm(&mut watcher, STORM)?;
    for pid in &pids {
        let life = &watcher.lives[pid];
        // Read late, or not at all; never another's.
        let image = life.execs[0].image.clone().unwrap_or_default();
        ensure!(
            image.args.is_empty() || image.args.starts_with(b"/bin/true\0"),
            "{image:?}"
        );
        if wanted == Probe::Tracepoint {
            ensure!(
                &*image.name == b"true" && image.exe.starts_with(b"/bin/true"),
                "{image:?}"
            );
        }
    }
    ensure!(watcher.lost()?.is_empty(), "lost: {:?}", watcher.lost()?);
    Ok(())
}

/// A reader that sleeps: what does not fit into the socket is counted, exactly.
fn procnet_counts_what_it_lost() -> Result<()> {
    let Some(mut sleeper) = start(Probe::Procnet)? else {
        return Ok(());
    };
    let mut awake = Connector::start()?;
    let mut heard = 0_u64;
    while heard < 100_000 {
        for _ in 0..500 {
            std::thread::spawn(|| {}).join().expect("an empty thread");
        }
        while awake.next_event()?.is_some() {
            heard += 1;
        }
    }
    ensure!(
        awake.lost() == 0,
        "the reader that reads lost {}",
        awake.lost()
    );
    // A gap shows with the next event of its CPU.
    sleeper.until("loss", |sleeper| {
        std::thread::spawn(|| {}).join().expect("an empty thread");
        sleeper.lost().is_ok_and(|lost| !lost.is_empty())
    })?;
    let lost = sleeper.lost()?;
    let [("event", "socket_full", count)] = lost[..] else {
        anyhow::bail!("{lost:?} of {heard}")
    };
    ensure!(count > 0 && count < heard, "{count} of {heard}");
    Ok(())
}

/// Every level that `check` calls possible can be had, and the rest has a reason and a fix.
fn is_assessed() -> Result<()> {
    let findings = assess();
    let names: Vec<_> = findings.iter().map(|finding| finding.level).collect();
    ensure!(names == LEVELS.map(Level::name), "{names:?}");
    for (finding, wanted) in findings.iter().zip([
        Probe::Ebpf,
        Probe::Tracepoint,
        Probe::Procnet,
        Probe::Sample,
    ]) {
        let chosen = choose(wanted, CaptureOptions::default(), None);
        ensure!(finding.ok == chosen.is_ok(), "{finding:?}");
        ensure!(!finding.reason.is_empty(), "{finding:?}");
        ensure!(finding.ok == finding.fix.is_empty(), "{finding:?}");
    }
    Ok(())
}
