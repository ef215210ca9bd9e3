//! What the levels below `ebpf` hear of a process: that something happened, and the little that came with it. The rest
//! is read from `/proc` when the table takes it over.

use bytemuck::Pod;
use procmon_common::kernel::{ABI_VERSION, ClassicExecRecord, ClassicRecord, Comm, Header, Kind};

use crate::decode::{DecodeError, trim_comm};
use crate::kernel::{ProcEvent, What};

/// One event of a process, its path borrowed from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    pub pid: u32,
    pub ts_boot_ns: u64,
    pub happened: Happened<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened<'a> {
    Forked {
        parent: Option<u32>,
        seen: Option<Seen>,
    },
    /// `exe` is the path that was given; empty: not known.
    Executed {
        seen: Option<Seen>,
        exe: &'a [u8],
    },
    /// A thread ended. It is the last one for sure (`group_dead`), or it is to be found out.
    ThreadEnded {
        tid: u32,
        group_dead: bool,
        /// As wait(2) reports it.
        status: Option<u32>,
    },
    /// Real and effective.
    UserChanged {
        uid: u32,
        euid: u32,
    },
    GroupChanged {
        gid: u32,
    },
    Renamed(Comm),
}

/// What a tracepoint sees of the thread that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub uid: u32,
    pub gid: u32,
    pub cgroup_id: u64,
    pub comm: Comm,
}

impl Seen {
    pub fn name(&self) -> &[u8] {
        trim_comm(&self.comm)
    }
}

/// Reads a record of the classic tracepoints.
pub fn decode_classic(bytes: &[u8]) -> Result<Notice<'_>, DecodeError> {
    let header: Header = prefix(bytes)?;
    if header.abi != ABI_VERSION {
        return Err(DecodeError::Abi(header.abi));
    }
    let record: ClassicRecord = prefix(bytes)?;
    let seen = Some(Seen {
        uid: record.uid,
        gid: record.gid,
        cgroup_id: record.cgroup_id,
        comm: record.comm,
    });
    let happened = match Kind::try_from(header.kind).map_err(DecodeError::Kind)? {
        Kind::Fork => Happened::Forked {
            parent: Some(header.ppid).filter(|parent| *parent != 0),
            seen,
        },
        Kind::Exec => Happened::Executed {
            seen,
            exe: exe(bytes)?,
        },
        Kind::Exit => Happened::ThreadEnded {
            tid: record.tid,
            group_dead: record.group_dead != 0,
            status: None,
        },
        other => return Err(DecodeError::Kind(other as u16)),
    };
    Ok(Notice {
        pid: header.pid,
        ts_boot_ns: header.ts_boot_ns,
        happened,
    })
}

fn exe(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let path = bytes
        .get(size_of::<ClassicRecord>()..size_of::<ClassicExecRecord>())
        .ok_or(DecodeError::Short(bytes.len()))?;
    Ok(trim_comm(path))
}

fn prefix<T: Pod>(bytes: &[u8]) -> Result<T, DecodeError> {
    let bytes = bytes
        .get(..size_of::<T>())
        .ok_or(DecodeError::Short(bytes.len()))?;
    Ok(bytemuck::pod_read_unaligned(bytes))
}

/// What the proc connector tells about whole processes and about ends of threads; `None` for the rest.
pub fn of_connector(event: &ProcEvent, ts_boot_ns: u64) -> Option<Notice<'static>> {
    let is_leader = event.tid == event.pid;
    let happened = match event.what {
        What::Forked { parent } if is_leader => Happened::Forked {
            parent: Some(parent),
            seen: None,
        },
        What::Executed => Happened::Executed {
            seen: None,
            exe: &[],
        },
        What::Ended { status } => Happened::ThreadEnded {
            tid: event.tid,
            group_dead: false,
            status: Some(status),
        },
        What::UserChanged { uid, euid } if is_leader => Happened::UserChanged { uid, euid },
        What::GroupChanged { gid } if is_leader => Happened::GroupChanged { gid },
        What::Renamed(comm) if is_leader => Happened::Renamed(comm),
        _ => return None,
    };
    Some(Notice {
        pid: event.pid,
        ts_boot_ns,
        happened,
    })
}

#[cfg(test)]
mod tests {
    use bytemuck::{Zeroable, bytes_of};
    use proptest::prelude::*;

    use super::*;

    fn record(kind: Kind) -> ClassicRecord {
        ClassicRecord {
            header: Header {
                abi: ABI_VERSION,
                kind: kind as u16,
                pid: 7,
                ts_boot_ns: 9,
                ..Header::zeroed()
            },
            tid: 8,
            comm: *b"name\0\0\0\0\0\0\0\0\0\0\0\0",
            ..ClassicRecord::zeroed()
        }
    }

    #[test]
    fn records_of_classic_tracepoints() {
        let mut exec = ClassicExecRecord {
            record: record(Kind::Exec),
            ..ClassicExecRecord::zeroed()
        };
        exec.exe[..9].copy_from_slice(b"/bin/true");
        let notice = decode_classic(bytes_of(&exec)).expect("an exec");
        let Happened::Executed {
            seen: Some(seen),
            exe,
        } = notice.happened
        else {
            panic!("{notice:?}")
        };
        assert_eq!((notice.pid, notice.ts_boot_ns), (7, 9));
        assert_eq!((seen.name(), exe), (&b"name"[..], &b"/bin/true"[..]));
        let fork = record(Kind::Fork);
        let fork = decode_classic(bytes_of(&fork)).expect("a fork");
        assert!(
            matches!(fork.happened, Happened::Forked { parent: None, .. }),
            "a parent of 0 is not known"
        );
        assert_eq!(
            decode_classic(bytes_of(&record(Kind::SlowIo))),
            Err(DecodeError::Kind(Kind::SlowIo as u16))
        );
        assert_eq!(
            decode_classic(&bytes_of(&exec)[..200]),
            Err(DecodeError::Short(200))
        );
    }

    #[test]
    fn threads_are_not_processes() {
        let event = |what| ProcEvent {
            pid: 7,
            tid: 8,
            ts_monotonic_ns: 1,
            what,
        };
        assert_eq!(of_connector(&event(What::Forked { parent: 1 }), 1), None);
        assert!(of_connector(&event(What::Ended { status: 9 }), 1).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            kind in 0_u16..8,
        ) {
            let _ = decode_classic(&bytes);
            if bytes.len() >= 4 {
                bytes[..2].copy_from_slice(&ABI_VERSION.to_ne_bytes());
                bytes[2..4].copy_from_slice(&kind.to_ne_bytes());
                let _ = decode_classic(&bytes);
            }
        }
    }
}
