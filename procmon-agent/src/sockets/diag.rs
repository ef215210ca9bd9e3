//! All TCP and UDP sockets of a network namespace from the kernel's `sock_diag` (`linux/inet_diag.h`): one short record
//! each, where `/proc/net/tcp` would print and parse a line.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
    socket_with,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// Of `struct inet_diag_msg`.
const STATE: usize = 1;
const LOCAL_PORT: usize = 4;
const REMOTE_PORT: usize = 6;
const INODE: usize = 68;

const TCP_LISTEN: u8 = 10;
/// All but those that no process holds: `TIME_WAIT` and requests that are not accepted yet.
const STATES: u32 = !(1 << 6 | 1 << 3 | 1 << 12);
/// The kernel fills a page or more at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// A socket that some process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InternetSocket {
    pub(super) inode: u32,
    /// Where it waits for others: a listening TCP port, or a UDP port without a peer.
    pub(super) port: Option<u16>,
}

/// Hands over every socket of the calling thread's network namespace.
pub(super) fn dump(mut take: impl FnMut(InternetSocket)) -> Result<()> {
    let netlink = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .context("cannot open a sock_diag socket")?;
    for (family, is_needed) in [(AddressFamily::INET, true), (AddressFamily::INET6, false)] {
        for protocol in [rustix::net::ipproto::TCP, rustix::net::ipproto::UDP] {
            match dump_one(&netlink, family, protocol, &mut take) {
                // A kernel without IPv6 has none of its sockets.
                Err(error)
                    if !is_needed && error.downcast_ref::<Errno>() == Some(&Errno::NOENT) => {}
                result => result?,
            }
        }
    }
    Ok(())
}

fn dump_one(
    netlink: &OwnedFd,
    family: AddressFamily,
    protocol: Protocol,
    take: &mut impl FnMut(InternetSocket),
) -> Result<()> {
    let is_tcp = protocol == rustix::net::ipproto::TCP;
    let mut request = [0; REQUEST_BYTES];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(REQUEST_BYTES as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST_DUMP.to_ne_bytes());
    put(
        HEADER_BYTES,
        &[family.as_raw() as u8, protocol.as_raw().get() as u8],
    );
    put(HEADER_BYTES + 4, &STATES.to_ne_bytes());
    send(netlink, &request, SendFlags::empty()).context("cannot ask sock_diag")?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let (_, length) =
            recv(netlink, &mut buffer[..], RecvFlags::empty()).context("cannot read sock_diag")?;
        if !read(buffer.get(..length).unwrap_or_default(), is_tcp, take)? {
            return Ok(());
        }
    }
}

/// Reads one datagram of messages; whether more follow.
fn read(mut bytes: &[u8], is_tcp: bool, take: &mut impl FnMut(InternetSocket)) -> Result<bool> {
    while !bytes.is_empty() {
        let length = word(bytes, 0).context("a message of sock_diag is cut")? as usize;
        let kind = bytes
            .get(4..6)
            .map_or(0, |kind| u16::from_ne_bytes([kind[0], kind[1]]));
        let message = bytes
            .get(HEADER_BYTES..length)
            .context("a message of sock_diag is cut")?;
        match kind {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => {
                let number = word(message, 0).unwrap_or(0).cast_signed();
                let error = Errno::from_io_error(&std::io::Error::from_raw_os_error(-number));
                return Err(error.unwrap_or(Errno::INVAL)).context("sock_diag refuses");
            }
            SOCK_DIAG_BY_FAMILY => {
                if let Some(socket) = socket(message, is_tcp) {
                    take(socket);
                }
            }
            other => bail!("sock_diag sent a message of kind {other}"),
        }
        // Messages are aligned to 4 bytes; the last one may not be.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// `None`: no process holds it (any more).
fn socket(message: &[u8], is_tcp: bool) -> Option<InternetSocket> {
    let port = |at: usize| {
        Some(u16::from_be_bytes(
            message.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let (local, remote) = (port(LOCAL_PORT)?, port(REMOTE_PORT)?);
    let waits = if is_tcp {
        *message.get(STATE)? == TCP_LISTEN
    } else {
        remote == 0 && local != 0
    };
    let inode = word(message, INODE).filter(|inode| *inode != 0)?;
    Some(InternetSocket {
        inode,
        port: waits.then_some(local),
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, state: u8, local: u16, remote: u16, inode: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES + 72];
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let body = &mut bytes[HEADER_BYTES..];
        body[STATE] = state;
        body[LOCAL_PORT..LOCAL_PORT + 2].copy_from_slice(&local.to_be_bytes());
        body[REMOTE_PORT..REMOTE_PORT + 2].copy_from_slice(&remote.to_be_bytes());
        body[INODE..INODE + 4].copy_from_slice(&inode.to_ne_bytes());
        bytes
    }

    fn all(bytes: &[u8], is_tcp: bool) -> (Vec<(u32, Option<u16>)>, Result<bool>) {
        let mut sockets = Vec::new();
        let more = read(bytes, is_tcp, &mut |socket| {
            sockets.push((socket.inode, socket.port));
        });
        (sockets, more)
    }

    #[test]
    fn ports_are_of_sockets_that_wait() {
        let tcp = [
            message(SOCK_DIAG_BY_FAMILY, TCP_LISTEN, 80, 0, 1),
            message(SOCK_DIAG_BY_FAMILY, 1, 80, 4711, 2),
            message(SOCK_DIAG_BY_FAMILY, 6, 80, 4711, 0),
        ];
        let (sockets, more) = all(&tcp.concat(), true);
        assert_eq!(sockets, [(1, Some(80)), (2, None)]);
        assert!(more.expect("reads"));
        let udp = [
            message(SOCK_DIAG_BY_FAMILY, 7, 53, 0, 3),
            message(SOCK_DIAG_BY_FAMILY, 1, 40_000, 53, 4),
            message(NLMSG_DONE, 0, 0, 0, 0),
        ];
        let (sockets, more) = all(&udp.concat(), false);
        assert_eq!(sockets, [(3, Some(53)), (4, None)]);
        assert!(!more.expect("reads"));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut bytes = message(NLMSG_ERROR, 0, 0, 0, 0);
        bytes[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&(-2_i32).to_ne_bytes());
        let (_, refused) = all(&bytes, true);
        let error = refused.expect_err("refused");
        assert_eq!(error.downcast_ref::<Errno>(), Some(&Errno::NOENT));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            length in 0_u32..100,
            kind in 0_u16..24,
        ) {
            let mut bytes = bytes;
            let _ = all(&bytes, true);
            if bytes.len() >= 6 {
                bytes[..4].copy_from_slice(&length.to_ne_bytes());
                bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
                let _ = all(&bytes, false);
            }
        }
    }
}
