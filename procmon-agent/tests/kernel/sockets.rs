//! Sockets of processes, found without the kernel programs.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::enrich::procfs;
use procmon_agent::sockets::Sockets;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::trial;
use crate::watcher::child;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("sockets_of_this_namespace", || sockets_of("here")),
        trial("sockets_of_another_namespace", || sockets_of("elsewhere")),
        trial("sockets_without_permission_are_unknown", without_permission),
    ]
}

/// The ports of a child: TCP, TCP over IPv6, UDP.
fn start(place: &str) -> Result<(Child, Vec<u16>)> {
    let mut listener = child(["listen", place])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(listener.stdout.take().context("piped")?).read_line(&mut line)?;
    let ports = line
        .split_whitespace()
        .map(|port| Ok(port.parse()?))
        .collect::<Result<Vec<u16>>>()?;
    ensure!(ports.len() == 3, "the child printed {line:?}");
    Ok((listener, ports))
}

fn refresh(sockets: &mut Sockets, pids: &[u32]) {
    let processes = pids.iter().map(|pid| {
        let start_ticks = procfs::stat(*pid).map_or(0, |stat| stat.start_ticks);
        (*pid, start_ticks, procfs::open_fds(*pid))
    });
    sockets.refresh(processes);
}

fn sockets_of(place: &str) -> Result<()> {
    let (mut listener, mut ports) = start(place)?;
    ports.sort_unstable();
    ports.dedup();
    let (pid, own) = (listener.id(), std::process::id());
    let mut sockets = Sockets::default();
    refresh(&mut sockets, &[own, pid]);
    // The listeners, and both ends of one connection; those have the listener's port, too.
    ensure!(
        sockets.of(pid) == Some((5, &ports[..])),
        "{:?}, not 5 and {ports:?}",
        sockets.of(pid)
    );
    ensure!(
        sockets.of(own).is_some(),
        "this process has no known sockets"
    );
    // The child lets go of its UDP socket.
    let mut stdin = listener.stdin.take().context("piped")?;
    let fds = procfs::open_fds(pid);
    writeln!(stdin, "close")?;
    while procfs::open_fds(pid) == fds {
        std::thread::yield_now();
    }
    refresh(&mut sockets, &[own, pid]);
    let (count, left) = sockets.of(pid).context("not known")?;
    ensure!(count == 4, "{count} sockets are left");
    ensure!(left.iter().all(|port| ports.contains(port)), "{left:?}");
    drop(stdin);
    listener.wait()?;
    refresh(&mut sockets, &[own, pid]);
    ensure!(sockets.of(pid).is_none(), "it is gone");
    Ok(())
}

/// Whoever may not look at a process does not know that it has none.
fn without_permission() -> Result<()> {
    let status = child(["ladder", "sockets"]).status()?;
    ensure!(status.success(), "see above: {status}");
    Ok(())
}

/// As `nobody`: root's processes cannot be looked at.
pub(crate) fn as_nobody() -> Result<()> {
    let root = std::os::unix::process::parent_id();
    crate::namespaces::become_nobody()?;
    let mut sockets = Sockets::default();
    refresh(&mut sockets, &[root]);
    ensure!(sockets.of(root).is_none(), "{:?}", sockets.of(root));
    Ok(())
}

/// The child: listens until its input ends.
pub(crate) fn listen(place: &str) -> Result<()> {
    if place == "elsewhere" {
        // SAFETY: the flag is not FILES.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    }
    loopback_up()?;
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let tcp6 = TcpListener::bind("[::1]:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(tcp.local_addr()?)?;
    let accepted = tcp.accept()?;
    println!(
        "{} {} {}",
        tcp.local_addr()?.port(),
        tcp6.local_addr()?.port(),
        udp.local_addr()?.port()
    );
    let mut lines = std::io::stdin().lines();
    lines.next();
    drop(udp);
    lines.next();
    drop((client, accepted, tcp, tcp6));
    Ok(())
}

/// A new namespace's is down, and the virtual machine's too.
fn loopback_up() -> Result<()> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: libc::c_short,
        padding: [u8; 22],
    }
    let mut request = Request {
        name: [0; 16],
        flags: libc::IFF_UP as libc::c_short,
        padding: [0; 22],
    };
    request.name[..2].copy_from_slice(b"lo");
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the request has the size of `struct ifreq` and outlives the call.
    let result = unsafe {
        libc::ioctl(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )
    };
    ensure!(
        result == 0,
        "cannot bring up the loopback device: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
