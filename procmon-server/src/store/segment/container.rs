//! The outermost layer of a segment: numbered sections, compressed one by one, of which a reader opens what it needs.

use super::{SegmentError, packed};
use crate::store::format::bytes::{Reader, put};
use crate::store::format::container::{compress, compress_lightly, compress_tightly, decompress};

const PLAIN: u64 = 0;
const ZSTD: u64 = 1;
/// Numbers of which the digits are noise; since version 2.
const PACKED: u64 = 2;
/// Below this, compression costs more than it saves.
const WORTH_COMPRESSING: usize = 48;
/// The same of what is written anew soon.
const WORTH_COMPRESSING_LIGHTLY: usize = 256;
/// Columns of numbers that zstd makes no smaller than this part of what they were are tried packed, too.
const NOISE: (usize, usize) = (3, 5);
/// No section that was ever written comes near.
pub(super) const MAX_PLAIN_BYTES: usize = 1 << 28;

/// How much time may be spent on compressing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Effort {
    /// For a slice, which becomes part of an hour soon.
    #[default]
    Light,
    /// For an hour, which is kept for days.
    Usual,
    /// For large texts of an hour.
    Tight,
}

/// Kind of a segment, by its first four bytes.
pub(super) type Magic = [u8; 4];

/// A section before it is written.
pub(super) enum Content {
    /// To be compressed here, if that makes it smaller.
    Plain(Vec<u8>),
    /// Frames that are compressed on their own.
    Frames(Vec<u8>),
}

pub(super) fn pack(magic: Magic, version: u8, sections: Vec<(u64, Content)>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(&magic);
    out.push(version);
    put(&mut out, sections.len() as u64);
    let mut bodies = Vec::with_capacity(sections.len());
    for (id, content) in sections {
        let (encoding, plain, stored) = match content {
            Content::Plain(plain) => {
                let (encoding, stored) = shrink(&plain, Effort::Usual);
                (encoding, plain.len(), stored.unwrap_or(plain))
            }
            Content::Frames(frames) => (PLAIN, frames.len(), frames),
        };
        put(&mut out, id);
        put(&mut out, encoding);
        put(&mut out, plain as u64);
        put(&mut out, stored.len() as u64);
        bodies.push(stored);
    }
    for body in bodies {
        out.extend_from_slice(&body);
    }
    out
}

/// How to store bytes; none where they stay as they are.
pub(super) fn shrink(plain: &[u8], effort: Effort) -> (u64, Option<Vec<u8>>) {
    let worth_bytes = match effort {
        Effort::Light => WORTH_COMPRESSING_LIGHTLY,
        Effort::Usual | Effort::Tight => WORTH_COMPRESSING,
    };
    if plain.len() < worth_bytes {
        return (PLAIN, None);
    }
    let compressed = match effort {
        Effort::Light => compress_lightly(plain),
        Effort::Usual => compress(plain),
        Effort::Tight => compress_tightly(plain),
    };
    match compressed {
        Ok(compressed) if compressed.len() < plain.len() => (ZSTD, Some(compressed)),
        _ => (PLAIN, None),
    }
}

/// As [`shrink`], of numbers of variable length.
pub(super) fn shrink_numbers(plain: &[u8], effort: Effort) -> (u64, Option<Vec<u8>>) {
    let (encoding, shrunk) = shrink(plain, effort);
    let length = shrunk.as_ref().map_or(plain.len(), Vec::len);
    let is_noise = length * NOISE.1 >= plain.len() * NOISE.0;
    if effort == Effort::Light || plain.len() < WORTH_COMPRESSING || !is_noise {
        return (encoding, shrunk);
    }
    match packed::pack(plain) {
        Some(packed) if packed.len() < length => (PACKED, Some(packed)),
        _ => (encoding, shrunk),
    }
}

pub(super) fn expand(
    encoding: u64,
    stored: &[u8],
    plain_bytes: usize,
) -> Result<Vec<u8>, SegmentError> {
    if plain_bytes > MAX_PLAIN_BYTES {
        return Err(SegmentError::Lengths);
    }
    let plain = match encoding {
        PLAIN => stored.to_vec(),
        ZSTD => decompress(stored, plain_bytes).map_err(|_| SegmentError::Compression)?,
        PACKED => packed::unpack(stored, plain_bytes)?,
        _ => return Err(SegmentError::Compression),
    };
    if plain.len() != plain_bytes {
        return Err(SegmentError::Lengths);
    }
    Ok(plain)
}

/// As [`expand`], where only a bound of the length is known.
pub(super) fn expand_within(
    encoding: u64,
    stored: &[u8],
    most_bytes: usize,
) -> Result<Vec<u8>, SegmentError> {
    if most_bytes > MAX_PLAIN_BYTES {
        return Err(SegmentError::Lengths);
    }
    match encoding {
        PLAIN => Ok(stored.to_vec()),
        ZSTD => decompress(stored, most_bytes).map_err(|_| SegmentError::Compression),
        PACKED => packed::unpack(stored, most_bytes),
        _ => Err(SegmentError::Compression),
    }
}

/// The sections of a segment, not yet decompressed.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    pub(super) version: u8,
    found: Vec<(u64, u64, usize, &'a [u8])>,
}

impl<'a> Sections<'a> {
    /// Of no bytes.
    pub(super) fn empty() -> Self {
        Self {
            version: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn open(bytes: &'a [u8], magic: Magic, version: u8) -> Result<Self, SegmentError> {
        let mut reader = Reader::new(bytes);
        if reader.take(magic.len()).ok() != Some(&magic) {
            return Err(SegmentError::Magic);
        }
        let found_version = reader.byte()?;
        if found_version == 0 || found_version > version {
            return Err(SegmentError::Version(found_version));
        }
        let count = reader.count()?;
        let mut heads = Vec::with_capacity(count.min(32));
        for _ in 0..count {
            let (id, encoding) = (reader.number()?, reader.number()?);
            let plain = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            let stored = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            heads.push((id, encoding, plain, stored));
        }
        let mut found = Vec::with_capacity(heads.len());
        for (id, encoding, plain, stored) in heads {
            found.push((id, encoding, plain, reader.take(stored)?));
        }
        Ok(Self {
            version: found_version,
            found,
        })
    }

    pub(super) fn has(&self, wanted: u64) -> bool {
        self.found.iter().any(|(id, ..)| *id == wanted)
    }

    /// A section's content; empty when it is not there.
    pub(super) fn read(&self, wanted: u64) -> Result<Vec<u8>, SegmentError> {
        match self.found.iter().find(|(id, ..)| *id == wanted) {
            Some((_, encoding, plain, stored)) => expand(*encoding, stored, *plain),
            None => Ok(Vec::new()),
        }
    }

    /// The bytes of a section of frames, as they are.
    pub(super) fn frames(&self, wanted: u64) -> &'a [u8] {
        let found = self.found.iter().find(|(id, ..)| *id == wanted);
        found.map_or(&[], |(_, _, _, stored)| stored)
    }
}
