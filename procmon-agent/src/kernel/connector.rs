//! The kernel's proc connector: starts and ends of all threads as netlink messages, since Linux 2.6.15. It works in the
//! initial network and PID namespaces only, and needs `CAP_NET_ADMIN`.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, send,
    socket_with, sockopt,
};

use super::message::{Message, parse, subscribe};
use super::wait_readable;

/// `CN_IDX_PROC`, as a mask of groups.
const GROUP: u32 = 1;
/// A message takes some 800 bytes of it: 10 000 events may wait. The kernel takes the memory only while they do.
const SOCKET_BYTES: usize = 8 << 20;
const LONGEST_MESSAGE: usize = 4096;
/// The kernel answers before the request's call returns, where it answers at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// A subscription. Messages that found the socket full are counted by the gaps in each CPU's numbers.
pub struct Connector {
    socket: OwnedFd,
    /// The number that each CPU's next message has.
    next: HashMap<u32, u32>,
    lost: u64,
}

/// What one message says of a thread (`tid`) of a process (`pid`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcEvent {
    pub pid: u32,
    pub tid: u32,
    /// `ktime_get_ns`: it stands still while the host sleeps.
    pub ts_monotonic_ns: u64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Forked {
        parent: u32,
    },
    Executed,
    UserChanged {
        uid: u32,
        euid: u32,
    },
    GroupChanged {
        gid: u32,
    },
    Renamed([u8; 16]),
    /// `status` as wait(2) reports it.
    Ended {
        status: u32,
    },
}

impl Connector {
    /// Subscribes. The error says what is missing.
    pub fn start() -> Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::CONNECTOR),
        )
        .map_err(|error| match error {
            Errno::PROTONOSUPPORT => anyhow!("this kernel has no connector (CONFIG_CONNECTOR)"),
            error => anyhow!(error).context("cannot open a netlink socket"),
        })?;
        // Without the permission the socket keeps the host's limit (net.core.rmem_max).
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BYTES)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES));
        bind(&socket, &SocketAddrNetlink::new(0, GROUP)).map_err(|error| match error {
            Errno::PERM => anyhow!("missing CAP_NET_ADMIN"),
            error => anyhow!(error).context("cannot join the proc connector's group"),
        })?;
        let request = std::process::id();
        send(&socket, &subscribe(request), SendFlags::empty()).map_err(|error| match error {
            Errno::CONNREFUSED => anyhow!("this is not the initial network namespace"),
            error => anyhow!(error).context("cannot subscribe to the proc connector"),
        })?;
        let mut connector = Self {
            socket,
            next: HashMap::new(),
            lost: 0,
        };
        connector.await_answer(request)?;
        Ok(connector)
    }

    /// The events before the answer are of before the subscription: another listener's.
    fn await_answer(&mut self, ours: u32) -> Result<()> {
        let mut buffer = [0; LONGEST_MESSAGE];
        loop {
            match self.receive(&mut buffer)? {
                Some(Message::Answer { request, error }) if request == ours => {
                    return match std::io::Error::from_raw_os_error(error) {
                        _ if error == 0 => Ok(()),
                        error if error.kind() == ErrorKind::PermissionDenied => {
                            Err(anyhow!("missing CAP_NET_ADMIN"))
                        }
                        error => Err(error).context("the proc connector refuses"),
                    };
                }
                Some(_) => {}
                None => {
                    if !wait_readable([self.socket.as_fd()], ANSWER_WITHIN) {
                        bail!("this kernel has no proc connector (CONFIG_PROC_EVENTS)");
                    }
                }
            }
        }
    }

    /// Readable when there are events.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next pending event; `None` when there is no more.
    pub fn next_event(&mut self) -> Result<Option<ProcEvent>> {
        let mut buffer = [0; LONGEST_MESSAGE];
        while let Some(message) = self.receive(&mut buffer)? {
            if let Message::Event(event) = message {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Events that did not fit into the socket, of whatever kind they were.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Message>> {
        loop {
            match recvfrom(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, length, sender)) => {
                    // Only the kernel has the port 0: another process may send to the group, too.
                    let from_kernel = sender
                        .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                        .is_some_and(|sender| sender.pid() == 0);
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if let Some((number, message)) = parse(bytes).filter(|_| from_kernel) {
                        self.count_gap(number.cpu, number.seq);
                        return Ok(Some(message));
                    }
                }
                Err(Errno::AGAIN) => return Ok(None),
                // The socket was full: the gaps will tell how many were lost.
                Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot read from the proc connector"),
            }
        }
    }

    fn count_gap(&mut self, cpu: u32, seq: u32) {
        let next = seq.wrapping_add(1);
        if let Some(expected) = self.next.insert(cpu, next) {
            let gap = seq.wrapping_sub(expected);
            // The numbers of a CPU ascend; a step back would be a new count, not four billion losses.
            if gap < 1 << 31 {
                self.lost += u64::from(gap);
            }
        }
    }
}
