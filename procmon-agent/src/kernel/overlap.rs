//! When one version of the programs takes over from another, both are attached for a while: what happens in it is in both
//! rings. The old ring answers for what happened until the new programs were attached, the new one for the rest; here is
//! which records of the new ring were in the old one already.

use std::collections::{HashMap, VecDeque};

use procmon_common::kernel::{Header, Kind};

/// Two programs on one tracepoint run one after the other; a machine that is emulated, or stopped in between, takes long.
const APART_NS: u64 = 1_000_000_000;

/// What the old rings held.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    seen: HashMap<Fingerprint, VecDeque<u64>>,
    /// When all new programs were attached.
    attached_boot_ns: u64,
}

/// What two records of one happening share.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fingerprint {
    kind: u16,
    pid: u32,
    start_boot_ns: u64,
    body: u32,
}

impl Overlap {
    pub(super) fn new(attached_boot_ns: u64) -> Self {
        Self {
            seen: HashMap::new(),
            attached_boot_ns,
        }
    }

    /// Whether a record of an old ring is to be taken from there. The kernel detaches programs some time after it is told
    /// to: what the old ones write until then is in the new ring for sure.
    pub(super) fn belongs_to_old(&mut self, record: &[u8]) -> bool {
        let Some((header, fingerprint)) = fingerprint(record) else {
            // It cannot be read, and is counted as such.
            return true;
        };
        if header.ts_boot_ns > self.attached_boot_ns {
            return false;
        }
        let times = self.seen.entry(fingerprint).or_default();
        times.push_back(header.ts_boot_ns);
        true
    }

    /// Whether a record of the new ring tells what an old one told. Each old one answers for one new one.
    pub(super) fn takes(&mut self, record: &[u8]) -> bool {
        if self.seen.is_empty() {
            return false;
        }
        let Some((header, fingerprint)) = fingerprint(record) else {
            return false;
        };
        if header.ts_boot_ns > self.attached_boot_ns + 2 * APART_NS {
            self.seen = HashMap::new();
            return false;
        }
        let Some(times) = self.seen.get_mut(&fingerprint) else {
            return false;
        };
        let same = |time: &u64| time.abs_diff(header.ts_boot_ns) < APART_NS;
        match times.iter().position(same) {
            Some(place) => times.remove(place).is_some(),
            None => false,
        }
    }
}

fn fingerprint(record: &[u8]) -> Option<(Header, Fingerprint)> {
    let bytes = record.get(..size_of::<Header>())?;
    let header: Header = bytemuck::pod_read_unaligned(bytes);
    let body = record
        .get(bytes.len()..header.len as usize)
        .unwrap_or_default();
    // A life begins and ends once, and its totals go on between two looks. Of the rest there may be many.
    let once = [Kind::Fork, Kind::Exit, Kind::Free]
        .iter()
        .any(|kind| *kind as u16 == header.kind);
    // The latency, first in a slow request, is measured by each version for itself.
    let body = if header.kind == Kind::SlowIo as u16 {
        body.get(8..).unwrap_or_default()
    } else {
        body
    };
    let fingerprint = Fingerprint {
        kind: header.kind,
        pid: header.pid,
        start_boot_ns: header.start_boot_ns,
        body: if once { 0 } else { crc32fast::hash(body) },
    };
    Some((header, fingerprint))
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn record(kind: Kind, pid: u32, ts_boot_ns: u64, body: &[u8]) -> Vec<u8> {
        let header = Header {
            kind: kind as u16,
            len: (size_of::<Header>() + body.len()) as u32,
            pid,
            ts_boot_ns,
            ..Header::zeroed()
        };
        [bytemuck::bytes_of(&header), body].concat()
    }

    #[test]
    fn each_old_record_answers_for_one_new_one() {
        let mut overlap = Overlap::new(10_000);
        assert!(overlap.belongs_to_old(&record(Kind::Exec, 7, 5_000, b"true")));
        assert!(overlap.belongs_to_old(&record(Kind::Exit, 7, 6_000, b"totals")));
        let again = record(Kind::Exec, 7, 5_100, b"true");
        assert!(!overlap.takes(&record(Kind::Exec, 8, 5_100, b"true")));
        assert!(!overlap.takes(&record(Kind::Exec, 7, 5_100, b"false")));
        assert!(overlap.takes(&again));
        assert!(!overlap.takes(&again), "a second exec of the same image");
        assert!(overlap.takes(&record(Kind::Exit, 7, 6_100, b"later totals")));
    }

    #[test]
    fn the_new_ring_answers_for_what_happened_once_its_programs_were_attached() {
        let mut overlap = Overlap::new(10_000);
        assert!(overlap.belongs_to_old(&record(Kind::Exec, 7, 9_999, b"true")));
        assert!(!overlap.belongs_to_old(&record(Kind::Exec, 8, 10_001, b"true")));
        assert!(overlap.takes(&record(Kind::Exec, 7, 10_002, b"true")));
        assert!(!overlap.takes(&record(Kind::Exec, 8, 10_003, b"true")));
        assert!(!overlap.takes(b"short"));
        let later = 10_000 + 3 * APART_NS;
        assert!(!overlap.takes(&record(Kind::Exec, 7, later, b"true")));
    }
}
