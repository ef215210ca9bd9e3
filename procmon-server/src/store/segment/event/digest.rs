//! What an agent's events in a segment have, in a few hundred bytes beside its body: which exit codes and signals, how long the
//! longest life was, and which names. A question for what few agents have reads these of all of them, and bodies of few.

use std::collections::BTreeSet;

use super::exit;
use super::read::EventIndex;
use super::table;
use crate::store::EventQuery;
use crate::store::format::bytes::{Reader, put};
use crate::store::read::has_part;
use crate::store::segment::SegmentError;
use crate::store::segment::container::{Content, Magic, Sections, pack};

const MAGIC: Magic = *b"PMD1";
const VERSION: u8 = 1;
/// Beyond, it does not say which: then it rules nothing out by them.
const MOST_NUMBERS: usize = 512;
const MOST_NAME_BYTES: usize = 32 << 10;

/// Numbers of sections, for ever. One that is not there is not known.
mod section {
    pub(super) const CODES: u64 = 1;
    pub(super) const SIGNALS: u64 = 2;
    pub(super) const LONGEST_MS: u64 = 3;
    pub(super) const NAMES: u64 = 4;
}

/// What there is; `None` where there are too many to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDigest {
    codes: Option<BTreeSet<u64>>,
    signals: Option<BTreeSet<u64>>,
    longest_ms: Option<u64>,
    names: Option<Names>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    all: BTreeSet<Box<[u8]>>,
    bytes: usize,
}

impl Default for EventDigest {
    /// Of nothing.
    fn default() -> Self {
        Self {
            codes: Some(BTreeSet::new()),
            signals: Some(BTreeSet::new()),
            longest_ms: Some(0),
            names: Some(Names::default()),
        }
    }
}

impl EventDigest {
    /// Rules nothing out.
    pub const UNKNOWN: Self = Self {
        codes: None,
        signals: None,
        longest_ms: None,
        names: None,
    };

    /// Of the events of a segment, as they are stored.
    pub fn of_segment(events: &[u8]) -> Result<Self, SegmentError> {
        let index = EventIndex::open(events)?;
        let mut digest = Self::default();
        for head in &index.blocks {
            let exits = index.tables(head)?.block(table::EXITS)?;
            exit::each_end(&exits, |code, signal| {
                note(&mut digest.codes, code);
                note(&mut digest.signals, signal);
            })?;
            digest.longest_ms = digest.longest_ms.max(Some(head.longest_ms));
        }
        let (words, numbers) = index.names()?;
        for number in numbers {
            note_name(&mut digest.names, words.bytes(number)?);
        }
        Ok(digest)
    }

    pub fn write(&self) -> Vec<u8> {
        let mut sections = Vec::new();
        let mut add = |id, plain| sections.push((id, Content::Plain(plain)));
        for (id, numbers) in [
            (section::CODES, &self.codes),
            (section::SIGNALS, &self.signals),
        ] {
            if let Some(numbers) = numbers {
                let mut plain = Vec::new();
                for number in numbers {
                    put(&mut plain, *number);
                }
                add(id, plain);
            }
        }
        if let Some(longest_ms) = self.longest_ms {
            let mut plain = Vec::new();
            put(&mut plain, longest_ms);
            add(section::LONGEST_MS, plain);
        }
        if let Some(names) = &self.names {
            let mut plain = Vec::with_capacity(names.bytes);
            for name in &names.all {
                put(&mut plain, name.len() as u64);
                plain.extend_from_slice(name);
            }
            add(section::NAMES, plain);
        }
        pack(MAGIC, VERSION, sections)
    }

    pub fn read(bytes: &[u8]) -> Result<Self, SegmentError> {
        let sections = Sections::open(bytes, MAGIC, VERSION)?;
        let numbers = |id| -> Result<Option<BTreeSet<u64>>, SegmentError> {
            if !sections.has(id) {
                return Ok(None);
            }
            let plain = sections.read(id)?;
            let mut reader = Reader::new(&plain);
            let mut numbers = BTreeSet::new();
            while reader.remaining() > 0 {
                numbers.insert(reader.number()?);
            }
            Ok(Some(numbers))
        };
        let mut names = sections.has(section::NAMES).then(Names::default);
        let plain = sections.read(section::NAMES)?;
        let mut reader = Reader::new(&plain);
        while reader.remaining() > 0 {
            let length = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            note_name(&mut names, reader.take(length)?);
        }
        let longest = numbers(section::LONGEST_MS)?;
        Ok(Self {
            codes: numbers(section::CODES)?,
            signals: numbers(section::SIGNALS)?,
            longest_ms: longest.and_then(|longest| longest.last().copied()),
            names,
        })
    }

    /// Becomes that of both.
    pub fn add(&mut self, other: &Self) {
        merge(&mut self.codes, other.codes.as_ref());
        merge(&mut self.signals, other.signals.as_ref());
        let longest = self.longest_ms.zip(other.longest_ms);
        self.longest_ms = longest.map(|(one, two)| one.max(two));
        match &other.names {
            Some(names) => names
                .all
                .iter()
                .for_each(|name| note_name(&mut self.names, name)),
            None => self.names = None,
        }
    }

    /// Whether it can rule out anything that a query asks for.
    pub(in crate::store) fn tells_of(query: &EventQuery) -> bool {
        query.exits.any() || query.name_part.is_some()
    }

    /// Whether there may be an event that has what is asked for.
    pub(in crate::store) fn may_have(&self, query: &EventQuery) -> bool {
        let has = |numbers: &Option<BTreeSet<u64>>, wanted: Option<u32>| match (numbers, wanted) {
            (Some(numbers), Some(wanted)) => numbers.contains(&u64::from(wanted)),
            _ => true,
        };
        let long_enough = match (self.longest_ms, query.exits.min_lived_ms) {
            (Some(longest), Some(wanted)) => longest >= wanted,
            _ => true,
        };
        let named = || match (&self.names, &query.name_part) {
            (Some(names), Some(part)) => {
                let part = part.to_lowercase();
                names.all.iter().any(|name| has_part(name, &part))
            }
            _ => true,
        };
        has(&self.codes, query.exits.code)
            && has(&self.signals, query.exits.signal)
            && long_enough
            && named()
    }
}

fn note(numbers: &mut Option<BTreeSet<u64>>, number: Option<u64>) {
    let (Some(known), Some(number)) = (numbers.as_mut(), number) else {
        return;
    };
    known.insert(number);
    if known.len() > MOST_NUMBERS {
        *numbers = None;
    }
}

fn note_name(names: &mut Option<Names>, name: &[u8]) {
    let Some(known) = names else { return };
    if known.all.contains(name) {
        return;
    }
    known.bytes += name.len() + 1;
    known.all.insert(name.into());
    if known.bytes > MOST_NAME_BYTES {
        *names = None;
    }
}

fn merge(numbers: &mut Option<BTreeSet<u64>>, more: Option<&BTreeSet<u64>>) {
    match more {
        Some(more) => more.iter().for_each(|number| note(numbers, Some(*number))),
        None => *numbers = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::segment::ExitBounds;

    fn digest() -> EventDigest {
        let mut digest = EventDigest::default();
        for code in [0, 1, 137] {
            note(&mut digest.codes, Some(code));
        }
        note(&mut digest.signals, Some(9));
        digest.longest_ms = Some(1_500);
        for name in ["Java", "sh", "postgres: writer"] {
            note_name(&mut digest.names, name.as_bytes());
        }
        digest
    }

    fn may_have(digest: &EventDigest, exits: ExitBounds, name: Option<&str>) -> bool {
        digest.may_have(&EventQuery {
            exits,
            name_part: name.map(str::to_owned),
            ..EventQuery::default()
        })
    }

    #[test]
    fn what_is_not_there_is_ruled_out_and_what_is_unknown_is_not() {
        let code = |code| ExitBounds {
            code: Some(code),
            ..ExitBounds::default()
        };
        let lived = |ms| ExitBounds {
            min_lived_ms: Some(ms),
            ..ExitBounds::default()
        };
        let mut digest = EventDigest::read(&digest().write()).expect("readable");
        assert!(may_have(&digest, code(137), None) && !may_have(&digest, code(2), None));
        assert!(may_have(&digest, lived(1_500), None) && !may_have(&digest, lived(1_501), None));
        let any = ExitBounds::default();
        assert!(may_have(&digest, any, Some("WRIT")) && !may_have(&digest, any, Some("nginx")));
        for name in 0..10_000 {
            note_name(&mut digest.names, format!("name-{name}").as_bytes());
        }
        assert!(may_have(&digest, any, Some("nginx")), "too many to say");
        let again = EventDigest::read(&digest.write()).expect("readable");
        assert_eq!(again, digest);
    }

    #[test]
    fn two_are_what_both_have() {
        let mut both = EventDigest::default();
        both.add(&digest());
        assert_eq!(both, digest());
        let unknown = EventDigest {
            names: None,
            ..EventDigest::default()
        };
        both.add(&unknown);
        assert_eq!(both.names, None);
        assert_eq!(both.codes, digest().codes);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = digest().write();
        for length in 0..bytes.len() {
            assert!(EventDigest::read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(EventDigest::of_segment(b"no segment").is_err());
    }
}
