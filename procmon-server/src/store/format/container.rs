//! The outermost layer: sections, compressed one by one.

use std::borrow::Cow;
use std::cell::RefCell;
use std::thread::LocalKey;

use super::bytes::{Reader, put};
use super::{FormatError, MAGIC, VERSION};

const PLAIN: u64 = 0;
const ZSTD: u64 = 1;
const LEVEL: i32 = 3;
const TIGHT_LEVEL: i32 = 9;
/// Of what is written anew within the hour, as the log: some 4 % more bytes for half of the time.
const LIGHT_LEVEL: i32 = 1;
/// Below this, compression costs more than it saves: most sections of most batches are, and each frame costs as much to begin as
/// so many bytes.
const WORTH_COMPRESSING: usize = 256;
/// What the head says of a section: id, encoding, plain and stored length.
const HEAD_NUMBERS: usize = 4;
/// No section of a batch that was accepted comes near.
const MAX_SECTION_BYTES: usize = 1 << 28;

thread_local! {
    static LIGHT_COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

pub(super) fn pack(sections: &[(u64, Vec<u8>)]) -> Vec<u8> {
    const HEAD_BYTES: usize = 16;
    let plain_bytes: usize = sections.iter().map(|(_, plain)| plain.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES * (sections.len() + 1) + plain_bytes);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    put(&mut out, sections.len() as u64);
    let mut content = Vec::with_capacity(plain_bytes);
    for (id, plain) in sections {
        let before = content.len();
        let encoding = store(plain, &mut content);
        put(&mut out, *id);
        put(&mut out, encoding);
        put(&mut out, plain.len() as u64);
        put(&mut out, (content.len() - before) as u64);
    }
    out.extend_from_slice(&content);
    out
}

fn store(plain: &[u8], content: &mut Vec<u8>) -> u64 {
    if plain.len() >= WORTH_COMPRESSING
        && let Ok(compressed) = compress_lightly(plain)
        && compressed.len() < plain.len()
    {
        content.extend_from_slice(&compressed);
        return ZSTD;
    }
    content.extend_from_slice(plain);
    PLAIN
}

pub(in crate::store) fn compress(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    compress_with(&COMPRESSOR, LEVEL, plain)
}

pub(in crate::store) fn compress_lightly(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    compress_with(&LIGHT_COMPRESSOR, LIGHT_LEVEL, plain)
}

type KeptCompressor = LocalKey<RefCell<Option<zstd::bulk::Compressor<'static>>>>;

fn compress_with(
    kept: &'static KeptCompressor,
    level: i32,
    plain: &[u8],
) -> std::io::Result<Vec<u8>> {
    kept.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(plain),
        None => kept
            .insert(zstd::bulk::Compressor::new(level)?)
            .compress(plain),
    })
}

/// With some eight times the time, and a context that is not kept: for large pieces.
pub(in crate::store) fn compress_tightly(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(plain, TIGHT_LEVEL)
}

pub(in crate::store) fn decompress(stored: &[u8], length: usize) -> std::io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(stored, length),
        None => kept
            .insert(zstd::bulk::Decompressor::new()?)
            .decompress(stored, length),
    })
}

/// The sections of a batch, not yet decompressed.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    found: Vec<(u64, u64, usize, &'a [u8])>,
}

impl<'a> Sections<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(FormatError::Magic);
        }
        let version = reader.byte()?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let count = reader.count()?;
        let mut heads = reader;
        for _ in 0..count {
            for _ in 0..HEAD_NUMBERS {
                reader.number()?;
            }
        }
        let mut found = Vec::with_capacity(count.min(32));
        for _ in 0..count {
            let (id, encoding) = (heads.number()?, heads.number()?);
            let plain = usize::try_from(heads.number()?).map_err(|_| FormatError::Lengths)?;
            let stored = usize::try_from(heads.number()?).map_err(|_| FormatError::Lengths)?;
            found.push((id, encoding, plain, reader.take(stored)?));
        }
        Ok(Self { found })
    }

    /// A section's content; empty when it is not there.
    pub(super) fn read(&self, wanted: u64) -> Result<Cow<'a, [u8]>, FormatError> {
        let Some((_, encoding, plain, stored)) =
            self.found.iter().find(|(id, ..)| *id == wanted).copied()
        else {
            return Ok(Cow::Borrowed(&[]));
        };
        if plain > MAX_SECTION_BYTES {
            return Err(FormatError::Lengths);
        }
        let content = match encoding {
            PLAIN => Cow::Borrowed(stored),
            ZSTD => Cow::Owned(decompress(stored, plain).map_err(|_| FormatError::Compression)?),
            _ => return Err(FormatError::Compression),
        };
        if content.len() != plain {
            return Err(FormatError::Lengths);
        }
        Ok(content)
    }
}
