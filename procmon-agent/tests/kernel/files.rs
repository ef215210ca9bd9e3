//! The files and sockets that a snapshot tells of a process, against /proc.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::sample::{Sample, Sampled};

use crate::snapshot::{find, sampler, wait_until_still};
use crate::trial;
use crate::watcher::child;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "more_sockets_than_a_pass_tells",
            more_sockets_than_a_pass_tells,
        ),
        trial(
            "what_a_sleeper_opens_and_closes_is_seen",
            what_a_sleeper_opens_and_closes_is_seen,
        ),
        trial(
            "a_leader_that_left_leaves_its_files",
            a_leader_that_left_leaves_its_files,
        ),
    ]
}

pub(crate) fn equals_files(
    sample: &Sample,
    sampled: &Sampled,
    ports: &BTreeSet<u16>,
) -> Result<()> {
    let mut sockets = BTreeSet::new();
    let mut fds = 0;
    for fd in fs::read_dir(format!("/proc/{}/fd", sampled.pid))? {
        fds += 1;
        let target = fs::read_link(fd?.path())?.to_string_lossy().into_owned();
        if target.starts_with("socket:") {
            sockets.insert(target);
        }
    }
    ensure!(
        sampled.open_fds == Some(fds),
        "{:?} fds, /proc has {fds}",
        sampled.open_fds
    );
    ensure!(
        sampled.net_conns == Some(sockets.len() as u64),
        "{:?} sockets, /proc has {}",
        sampled.net_conns,
        sockets.len()
    );
    let seen: BTreeSet<u16> = sample
        .ports_of(sampled)
        .context("no ports")?
        .iter()
        .copied()
        .collect();
    ensure!(seen == *ports, "ports {seen:?}, the process has {ports:?}");
    Ok(())
}

fn more_sockets_than_a_pass_tells() -> Result<()> {
    let (_capture, mut sampler) = sampler()?;
    let listeners: Vec<UdpSocket> = (0..700)
        .map(|_| UdpSocket::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let ports: BTreeSet<u16> = listeners
        .iter()
        .map(|socket| Ok(socket.local_addr()?.port()))
        .collect::<Result<_>>()?;
    let sample = sampler.take()?;
    let found = find(&sample, std::process::id())?;
    let seen = sample.ports_of(found).context("no ports")?;
    let missing = ports.iter().filter(|port| !seen.contains(port)).count();
    ensure!(missing == 0, "{missing} of 700 ports are missing");
    ensure!(
        found.net_conns >= Some(700),
        "{:?} sockets",
        found.net_conns
    );
    Ok(())
}

/// One thread that does a step for each byte it is given, prints its listening ports, and sleeps again.
pub(crate) fn steps() -> ! {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut files = Vec::new();
    let mut step = [0];
    while std::io::stdin().read_exact(&mut step).is_ok() {
        match step[0] {
            b'+' => listeners.push(TcpListener::bind("127.0.0.1:0").expect("binds")),
            b'-' => drop(listeners.pop()),
            // Another file at the same descriptor.
            b'f' => {
                drop(listeners.pop());
                files.push(fs::File::open("/dev/null").expect("opens"));
            }
            _ => files.clear(),
        }
        let ports = listeners.iter().map(|listener| {
            let address = listener.local_addr().expect("bound");
            address.port().to_string()
        });
        println!("{}", ports.collect::<Vec<_>>().join(" "));
    }
    std::process::exit(0)
}

/// The programs remember the files of those that sleep. More samples after each step than a memo may be used for.
fn what_a_sleeper_opens_and_closes_is_seen() -> Result<()> {
    const SAMPLES: usize = 12;
    let (_capture, mut sampler) = sampler()?;
    let mut process = child(["steps"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().context("piped")?;
    let mut output = BufReader::new(process.stdout.take().context("piped")?);
    for (number, step) in b"+f++-+++f--0+--".iter().enumerate() {
        input.write_all(&[*step])?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let ports = line.split_whitespace().map(str::parse);
        let ports: BTreeSet<u16> = ports.collect::<Result<_, _>>()?;
        wait_until_still(process.id())?;
        for _ in 0..SAMPLES {
            let sample = sampler.take()?;
            equals_files(&sample, find(&sample, process.id())?, &ports)
                .with_context(|| format!("after step {number}, `{}`", char::from(*step)))?;
        }
    }
    drop(input);
    process.wait()?;
    Ok(())
}

fn a_leader_that_left_leaves_its_files() -> Result<()> {
    let (_capture, mut sampler) = sampler()?;
    let mut process = child(["leader-left"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
    let port: u16 = line.trim().parse()?;
    let sample = sampler.take()?;
    let found = find(&sample, process.id())?;
    ensure!(sample.ports_of(found) == Some(&[port][..]), "{found:?}");
    ensure!(found.open_fds >= Some(4), "{found:?}");
    drop(process.stdin.take());
    process.wait()?;
    Ok(())
}

/// The main thread ends; another keeps a listener. Prints its port when the leader is gone, and ends with its input.
pub(crate) fn leader_left() -> ! {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    std::thread::spawn(move || {
        let leader = format!("/proc/self/task/{}/stat", std::process::id());
        while fs::read_to_string(&leader).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("{}", listener.local_addr().expect("bound").port());
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    // SAFETY: ends this thread only.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    std::process::exit(95)
}
