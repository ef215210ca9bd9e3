//! The proc connector's messages, byte by byte (`linux/netlink.h`, `linux/connector.h`, `linux/cn_proc.h`). Reads any
//! bytes without panicking.

use super::connector::{ProcEvent, What};

const NLMSG_DONE: u16 = 3;
const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;

/// `struct nlmsghdr`, then `struct cn_msg`.
const NETLINK_BYTES: usize = 16;
const CONNECTOR_BYTES: usize = 20;
const EVENT: usize = NETLINK_BYTES + CONNECTOR_BYTES;
/// Of `struct proc_event`, where the part that depends on the kind begins.
const DATA: usize = EVENT + 16;

pub(super) const SUBSCRIBE_BYTES: usize = EVENT + 4;

const FORK: u32 = 1;
const EXEC: u32 = 2;
const UID: u32 = 4;
const GID: u32 = 0x40;
const COMM: u32 = 0x200;
const EXIT: u32 = 0x8000_0000;

/// Each CPU numbers its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) cpu: u32,
    pub(super) seq: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// To a request with this number; 0 or an error number.
    Answer {
        request: u32,
        error: i32,
    },
    Event(ProcEvent),
    /// A kind that is of no use here.
    Other,
}

/// The request to be told of all events. Every listener gets the answer to it: its number tells whose it is.
pub(super) fn subscribe(request: u32) -> [u8; SUBSCRIBE_BYTES] {
    let mut message = [0; SUBSCRIBE_BYTES];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(SUBSCRIBE_BYTES as u32).to_ne_bytes());
    put(4, &NLMSG_DONE.to_ne_bytes());
    put(NETLINK_BYTES, &CN_IDX_PROC.to_ne_bytes());
    put(NETLINK_BYTES + 4, &CN_VAL_PROC.to_ne_bytes());
    put(NETLINK_BYTES + 12, &request.to_ne_bytes());
    put(NETLINK_BYTES + 16, &4_u16.to_ne_bytes());
    put(EVENT, &PROC_CN_MCAST_LISTEN.to_ne_bytes());
    message
}

/// `None`: not a message of the proc connector.
pub(super) fn parse(bytes: &[u8]) -> Option<(Number, Message)> {
    if (word(bytes, NETLINK_BYTES)?, word(bytes, NETLINK_BYTES + 4)?) != (CN_IDX_PROC, CN_VAL_PROC)
    {
        return None;
    }
    let number = Number {
        cpu: word(bytes, EVENT + 4)?,
        seq: word(bytes, NETLINK_BYTES + 8)?,
    };
    let what = match word(bytes, EVENT)? {
        0 => {
            // The kernel answers with one more.
            let request = word(bytes, NETLINK_BYTES + 12)?.wrapping_sub(1);
            let error = word(bytes, DATA)?.cast_signed();
            return Some((number, Message::Answer { request, error }));
        }
        FORK => return Some((number, fork(bytes)?)),
        EXEC => What::Executed,
        UID => What::UserChanged {
            uid: word(bytes, DATA + 8)?,
            euid: word(bytes, DATA + 12)?,
        },
        GID => What::GroupChanged {
            gid: word(bytes, DATA + 8)?,
        },
        COMM => What::Renamed(bytes.get(DATA + 8..DATA + 24)?.try_into().ok()?),
        EXIT => What::Ended {
            status: word(bytes, DATA + 8)?,
        },
        _ => return Some((number, Message::Other)),
    };
    Some((number, event(bytes, DATA, what)?))
}

/// Begins with the parent.
fn fork(bytes: &[u8]) -> Option<Message> {
    let parent = word(bytes, DATA + 4)?;
    event(bytes, DATA + 8, What::Forked { parent })
}

fn event(bytes: &[u8], thread: usize, what: What) -> Option<Message> {
    let time = bytes.get(EVENT + 8..EVENT + 16)?.try_into().ok()?;
    Some(Message::Event(ProcEvent {
        tid: word(bytes, thread)?,
        pid: word(bytes, thread + 4)?,
        ts_monotonic_ns: u64::from_ne_bytes(time),
        what,
    }))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(what: u32, answer: u32, data: &[u32]) -> Vec<u8> {
        let words = [
            &[
                0,
                0,
                0,
                0,
                CN_IDX_PROC,
                CN_VAL_PROC,
                41,
                answer,
                40,
                what,
                1,
                9,
                0,
            ][..],
            data,
        ];
        words
            .concat()
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect()
    }

    #[test]
    fn events_of_the_kernel() {
        let number = Number { cpu: 1, seq: 41 };
        let event = |tid, pid, what| {
            Message::Event(ProcEvent {
                pid,
                tid,
                ts_monotonic_ns: 9,
                what,
            })
        };
        for (bytes, expected) in [
            (
                message(FORK, 0, &[11, 10, 21, 20]),
                event(21, 20, What::Forked { parent: 10 }),
            ),
            (message(EXEC, 0, &[20, 20]), event(20, 20, What::Executed)),
            (
                message(EXIT, 0, &[20, 20, 0x8b, 17, 1, 1]),
                event(20, 20, What::Ended { status: 0x8b }),
            ),
            (
                message(UID, 0, &[20, 20, 1000, 0]),
                event(20, 20, What::UserChanged { uid: 1000, euid: 0 }),
            ),
            (message(0x100, 0, &[20, 20]), Message::Other),
            (
                message(0, 8, &[1]),
                Message::Answer {
                    request: 7,
                    error: 1,
                },
            ),
        ] {
            assert_eq!(parse(&bytes), Some((number, expected)));
        }
    }

    #[test]
    fn other_connectors_are_not_read() {
        let mut bytes = message(EXEC, 0, &[20, 20]);
        bytes[NETLINK_BYTES] = 4;
        assert_eq!(parse(&bytes), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
            what in proptest::sample::select(vec![0, FORK, EXEC, UID, GID, COMM, EXIT, 7]),
        ) {
            let _ = parse(&bytes);
            if bytes.len() >= EVENT + 4 {
                bytes[NETLINK_BYTES..NETLINK_BYTES + 4].copy_from_slice(&CN_IDX_PROC.to_ne_bytes());
                bytes[NETLINK_BYTES + 4..NETLINK_BYTES + 8].copy_from_slice(&CN_VAL_PROC.to_ne_bytes());
                bytes[EVENT..EVENT + 4].copy_from_slice(&what.to_ne_bytes());
                let _ = parse(&bytes);
            }
        }
    }
}
