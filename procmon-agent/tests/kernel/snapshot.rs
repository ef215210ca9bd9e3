//! A pass of the task iterator against /proc, on processes that this test starts and that hold still meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::kernel::{Capture, CaptureOptions};
use procmon_agent::sample::{Sample, Sampled, Sampler};

use crate::files::equals_files;
use crate::trial;
use crate::watcher::child;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_snapshot_equals_proc", a_snapshot_equals_proc),
        trial(
            "a_listener_in_a_network_namespace_is_seen",
            a_listener_in_a_network_namespace_is_seen,
        ),
        trial(
            "every_process_is_in_a_snapshot",
            every_process_is_in_a_snapshot,
        ),
    ]
}

/// What the child holds: threads, memory, files, and sockets of each kind. Prints its ports, and ends with its input.
pub(crate) fn busy(own_network: bool) -> ! {
    if own_network {
        // SAFETY: a plain system call on this process, which has one thread.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(result, 0, "unshare: {}", std::io::Error::last_os_error());
        raise_loopback();
    }
    let memory = vec![7_u8; 24 << 20];
    let files: Vec<_> = (0..70).map(|_| fs::File::open("/dev/null")).collect();
    let listeners: Vec<TcpListener> = ["127.0.0.1:0", "[::1]:0"]
        .into_iter()
        .filter_map(|address| TcpListener::bind(address).ok())
        .collect();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let duplicate = listeners[0].try_clone();
    let stream = TcpStream::connect(listeners[0].local_addr().expect("bound"));
    let accepted = listeners[0].accept();
    let mut ports: Vec<u16> = listeners
        .iter()
        .map(|listener| listener.local_addr().expect("bound").port())
        .collect();
    ports.push(udp.local_addr().expect("bound").port());
    let burnt = std::sync::Arc::new(std::sync::Barrier::new(4));
    for _ in 0..3 {
        let burnt = std::sync::Arc::clone(&burnt);
        std::thread::spawn(move || {
            let started = std::time::Instant::now();
            while started.elapsed() < Duration::from_millis(30) {
                std::hint::black_box(started);
            }
            burnt.wait();
            std::thread::sleep(Duration::from_hours(1));
        });
    }
    burnt.wait();
    let text: Vec<String> = ports.iter().map(ToString::to_string).collect();
    println!("{}", text.join(" "));
    let _ = std::io::stdin().read(&mut [0]);
    drop((memory, files, duplicate, stream, accepted, udp));
    std::process::exit(0)
}

/// A new network namespace has its loopback interface down.
fn raise_loopback() {
    #[repr(C)]
    struct InterfaceFlags {
        name: [u8; 16],
        flags: libc::c_short,
        padding: [u8; 22],
    }
    let mut request = InterfaceFlags {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short,
        padding: [0; 22],
    };
    let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
    // SAFETY: the request is as long as `struct ifreq`.
    let result = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCSIFFLAGS,
            &raw mut request,
        )
    };
    assert_eq!(
        result,
        0,
        "SIOCSIFFLAGS: {}",
        std::io::Error::last_os_error()
    );
}

struct Busy {
    process: Child,
    ports: BTreeSet<u16>,
}

impl Busy {
    fn start(own_network: bool) -> Result<Self> {
        let flag = if own_network { "1" } else { "0" };
        let mut process = child(["busy-host", flag])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("piped")?).read_line(&mut line)?;
        wait_until_still(process.id())?;
        let ports = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { process, ports })
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn end(mut self) -> Result<()> {
        self.process
            .stdin
            .take()
            .context("piped")?
            .write_all(b"x")?;
        self.process.wait()?;
        Ok(())
    }
}

/// Until no thread was scheduled for a while: then nothing of the process changes.
pub(crate) fn wait_until_still(pid: u32) -> Result<()> {
    let scheduled = || -> Result<Vec<String>> {
        let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
        threads
            .map(|thread| Ok(fs::read_to_string(thread?.path().join("schedstat"))?))
            .collect()
    };
    let mut before = Vec::new();
    loop {
        let now = scheduled()?;
        if now == before {
            return Ok(());
        }
        before = now;
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn sampler() -> Result<(Capture, Sampler)> {
    let mut capture = Capture::start(CaptureOptions::default())
        .context("this test needs root and a kernel with BTF")?;
    let iterator = capture.take_iterator();
    ensure!(iterator.is_some(), "the capture has no iterator");
    Ok((capture, Sampler::new(iterator)?))
}

pub(crate) fn find(sample: &Sample, pid: u32) -> Result<&Sampled> {
    let mut found = sample.processes.iter().filter(|sampled| sampled.pid == pid);
    let sampled = found
        .next()
        .with_context(|| format!("{pid} is not in the snapshot"))?;
    ensure!(found.next().is_none(), "{pid} is in the snapshot twice");
    Ok(sampled)
}

fn a_snapshot_equals_proc() -> Result<()> {
    let (_capture, mut sampler) = sampler()?;
    let busy = Busy::start(false)?;
    let pid = busy.pid();
    let sample = sampler.take()?;
    let found = find(&sample, pid)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat[stat.rfind(')').context("a name")? + 2..]
        .split(' ')
        .collect();
    let field = |number: usize| fields[number - 3].parse::<u64>();
    ensure!(found.status == b'S', "status {}", found.status as char);
    ensure!(found.ppid == Some(std::process::id()));
    ensure!(found.threads == Some(4) && field(20)? == 4);
    ensure!(found.virtual_bytes == field(23)?, "{found:?}, {stat}");
    let identity = found.identity.context("no identity")?;
    ensure!(identity.start_boot_ns / 10_000_000 == field(22)?);
    let faults = found.faults.context("no faults")?;
    ensure!(
        (faults.minor, faults.major) == (field(10)?, field(12)?),
        "{faults:?}, {stat}"
    );
    equals_io_and_threads(found)?;
    equals_memory(found)?;
    equals_files(&sample, found, &busy.ports)?;
    busy.end()
}

fn equals_io_and_threads(sampled: &Sampled) -> Result<()> {
    let pid = sampled.pid;
    let line = |text: &str, key: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        Ok(line.with_context(|| format!("no {key}"))?.trim().parse()?)
    };
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    ensure!(sampled.read_bytes == Some(line(&io, "read_bytes:")?));
    ensure!(sampled.write_bytes == Some(line(&io, "write_bytes:")?));
    let (mut cpu_ns, mut voluntary, mut involuntary) = (0, 0, 0);
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let status = fs::read_to_string(path.join("status"))?;
        voluntary += line(&status, "voluntary_ctxt_switches:")?;
        involuntary += line(&status, "nonvoluntary_ctxt_switches:")?;
        let schedstat = fs::read_to_string(path.join("schedstat"))?;
        cpu_ns += schedstat
            .split(' ')
            .next()
            .context("no CPU time")?
            .parse::<u64>()?;
    }
    let switches = sampled.switches.context("no switches")?;
    ensure!(
        (switches.voluntary, switches.involuntary) == (voluntary, involuntary),
        "{switches:?}, /proc tells {voluntary} and {involuntary}"
    );
    ensure!(
        sampled.cpu_time_ns == cpu_ns && cpu_ns > 0,
        "{} ns of CPU, /proc tells {cpu_ns}",
        sampled.cpu_time_ns
    );
    Ok(())
}

/// The walk over the page tables is the truth; the kernel's own counters may be approximations.
fn equals_memory(sampled: &Sampled) -> Result<()> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", sampled.pid))?;
    let rss = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib: u64 = rss
        .and_then(|text| text.trim().strip_suffix("kB"))
        .context("no Rss")?
        .trim()
        .parse()?;
    ensure!(
        sampled.rss_exact == Some(true) && sampled.rss_bytes == kib * 1024,
        "{} KiB (exact: {:?}), the page tables have {kib} KiB",
        sampled.rss_bytes / 1024,
        sampled.rss_exact
    );
    Ok(())
}

fn a_listener_in_a_network_namespace_is_seen() -> Result<()> {
    let (_capture, mut sampler) = sampler()?;
    let busy = Busy::start(true)?;
    let own = fs::read_link("/proc/self/ns/net")?;
    ensure!(fs::read_link(format!("/proc/{}/ns/net", busy.pid()))? != own);
    let sample = sampler.take()?;
    equals_files(&sample, find(&sample, busy.pid())?, &busy.ports)?;
    busy.end()
}

fn every_process_is_in_a_snapshot() -> Result<()> {
    let (_capture, mut sampler) = sampler()?;
    let mut children: Vec<Child> = (0..40)
        .map(|_| child(["sleep", "60000"]).spawn())
        .collect::<Result<_, _>>()?;
    let sample = sampler.take()?;
    ensure!(sample.processes.is_sorted_by_key(|sampled| sampled.pid));
    for process in &children {
        find(&sample, process.id())?;
    }
    find(&sample, std::process::id())?;
    let kthreadd = find(&sample, 2)?;
    ensure!(
        (kthreadd.rss_bytes, kthreadd.open_fds) == (0, Some(0)),
        "{kthreadd:?}"
    );
    for process in &mut children {
        process.kill()?;
        process.wait()?;
    }
    Ok(())
}
