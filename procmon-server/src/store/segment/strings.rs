//! The strings of a segment, each once: *words* (names, paths, users, cgroups), which every reader needs, and arguments,
//! which lie in chunks of their own because they are most of the bytes.

use std::cell::RefCell;
use std::collections::HashMap;

use super::SegmentError;
use super::container::{Effort, expand, shrink};
use crate::store::format::bytes::{Reader, put};

/// Plain bytes of a chunk of arguments, beyond which a new one begins: an hour's build fits into few, and each compiler's
/// arguments are mostly those of another one. To show one of them, its chunk is decompressed in about a millisecond.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of strings that are looked up before they are added. Beyond, the dictionary starts anew: what comes again is
/// stored again, and memory stays bounded.
const REMEMBERED_BYTES: usize = 32 << 20;

type Numbers = HashMap<Box<[u8]>, u32, foldhash::fast::RandomState>;

/// Gives each distinct word a number, in order of first use.
#[derive(Debug, Default)]
pub(super) struct WordWriter {
    numbers: Numbers,
    lengths: Vec<u8>,
    text: Vec<u8>,
    count: u32,
}

impl WordWriter {
    pub(super) fn number(&mut self, word: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.count;
        self.count += 1;
        put(&mut self.lengths, word.len() as u64);
        self.text.extend_from_slice(word);
        self.numbers.insert(word.into(), number);
        number
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len() * 2 + self.lengths.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + self.lengths.len() + 5);
        put(&mut out, u64::from(self.count));
        out.extend_from_slice(&self.lengths);
        out.extend_from_slice(&self.text);
        out
    }
}

/// The words by number.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SegmentError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0_usize;
        for _ in 0..count {
            let length = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            end = end.checked_add(length).ok_or(SegmentError::Lengths)?;
            ends.push(end);
        }
        let text = reader.take(end)?.to_vec();
        Ok(Self { text, ends })
    }

    pub(super) fn bytes(&self, number: u32) -> Result<&[u8], SegmentError> {
        let index = number as usize;
        let end = *self.ends.get(index).ok_or(SegmentError::Reference)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end).ok_or(SegmentError::Reference)
    }

    pub(super) fn text(&self, number: u32) -> Result<Box<str>, SegmentError> {
        Ok(String::from_utf8_lossy(self.bytes(number)?).into())
    }
}

/// How arguments are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArgumentKeeping {
    /// Bytes of each argv, from its beginning; `None` is all of it.
    pub(super) most_bytes: Option<usize>,
    pub(super) effort: Effort,
}

/// As [`WordWriter`], for arguments.
#[derive(Debug, Default)]
pub(super) struct ArgumentWriter {
    keeping: ArgumentKeeping,
    numbers: Numbers,
    remembered: usize,
    pub(super) count: u32,
    lengths: Vec<u8>,
    pending: Vec<u8>,
    pending_count: u32,
    /// Per chunk: strings, encoding, plain and stored length.
    directory: Vec<[u64; 4]>,
    chunks: Vec<u8>,
}

impl ArgumentWriter {
    pub(super) fn new(keeping: ArgumentKeeping) -> Self {
        Self {
            keeping,
            ..Self::default()
        }
    }

    /// What is kept of an argv.
    pub(super) fn kept<'a>(&self, arguments: &'a [u8]) -> &'a [u8] {
        let most_bytes = self.keeping.most_bytes.unwrap_or(usize::MAX);
        &arguments[..arguments.len().min(most_bytes)]
    }

    /// Its number, which is [`ArgumentWriter::count`] as it was before when it is new.
    pub(super) fn number(&mut self, arguments: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(arguments) {
            return *number;
        }
        if self.remembered > REMEMBERED_BYTES {
            self.numbers.clear();
            self.remembered = 0;
        }
        let number = self.count;
        self.count += 1;
        self.remembered += arguments.len() + 64;
        self.numbers.insert(arguments.into(), number);
        put(&mut self.lengths, arguments.len() as u64);
        self.pending.extend_from_slice(arguments);
        self.pending_count += 1;
        if self.pending.len() >= CHUNK_BYTES {
            self.end_chunk();
        }
        number
    }

    fn end_chunk(&mut self) {
        let (encoding, shrunk) = shrink(&self.pending, self.keeping.effort);
        let stored = shrunk.as_deref().unwrap_or(&self.pending);
        self.directory.push([
            u64::from(self.pending_count),
            encoding,
            self.pending.len() as u64,
            stored.len() as u64,
        ]);
        self.chunks.extend_from_slice(stored);
        self.pending.clear();
        self.pending_count = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        self.remembered + self.chunks.len() + self.pending.len() + self.lengths.len()
    }

    /// The directory with all lengths, and the chunks.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        if self.pending_count > 0 {
            self.end_chunk();
        }
        let mut out = Vec::with_capacity(self.lengths.len() + self.directory.len() * 8);
        put(&mut out, self.directory.len() as u64);
        for chunk in &self.directory {
            for number in chunk {
                put(&mut out, *number);
            }
        }
        out.extend_from_slice(&self.lengths);
        (out, self.chunks)
    }
}

#[derive(Debug)]
struct Chunk<'a> {
    first: usize,
    encoding: u64,
    plain_bytes: usize,
    stored: &'a [u8],
}

/// The arguments by number; a chunk is decompressed when one of it is asked for, and the last one is kept.
#[derive(Debug, Default)]
pub(super) struct Arguments<'a> {
    chunks: Vec<Chunk<'a>>,
    /// Where each ends in its chunk.
    ends: Vec<usize>,
    open: RefCell<Option<(usize, Vec<u8>)>>,
}

impl<'a> Arguments<'a> {
    pub(super) fn read(directory: &[u8], frames: &'a [u8]) -> Result<Self, SegmentError> {
        if directory.is_empty() {
            return Ok(Self::default());
        }
        let (mut reader, mut stored) = (Reader::new(directory), Reader::new(frames));
        let mut chunks = Vec::new();
        let mut total = 0_usize;
        let mut counts = Vec::new();
        for _ in 0..reader.count()? {
            let count = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            let encoding = reader.number()?;
            let plain_bytes =
                usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            let length = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            chunks.push(Chunk {
                first: total,
                encoding,
                plain_bytes,
                stored: stored.take(length)?,
            });
            total = total.checked_add(count).ok_or(SegmentError::Lengths)?;
            counts.push(count);
        }
        // Each length takes a byte at least.
        if total > reader.remaining() {
            return Err(SegmentError::Lengths);
        }
        let mut ends = Vec::with_capacity(total);
        for count in counts {
            let mut end = 0_usize;
            for _ in 0..count {
                let length =
                    usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
                end = end.checked_add(length).ok_or(SegmentError::Lengths)?;
                ends.push(end);
            }
        }
        Ok(Self {
            chunks,
            ends,
            open: RefCell::new(None),
        })
    }

    pub(super) fn get(&self, number: u32) -> Result<Box<[u8]>, SegmentError> {
        self.read_one(number, |text| Box::from(text))
    }

    /// Whether they can be read.
    pub(super) fn check(&self, number: u32) -> Result<(), SegmentError> {
        self.read_one(number, |_| ())
    }

    fn read_one<T>(&self, number: u32, read: impl FnOnce(&[u8]) -> T) -> Result<T, SegmentError> {
        let index = number as usize;
        let end = *self.ends.get(index).ok_or(SegmentError::Reference)?;
        let at = self.chunks.partition_point(|chunk| chunk.first <= index);
        let at = at.checked_sub(1).ok_or(SegmentError::Reference)?;
        let chunk = &self.chunks[at];
        let start = if index == chunk.first {
            0
        } else {
            self.ends[index - 1]
        };
        let mut open = self.open.borrow_mut();
        if open.as_ref().is_none_or(|(kept, _)| *kept != at) {
            let plain = expand(chunk.encoding, chunk.stored, chunk.plain_bytes)?;
            *open = Some((at, plain));
        }
        let text = open.as_ref().and_then(|(_, plain)| plain.get(start..end));
        text.map(read).ok_or(SegmentError::Reference)
    }
}
