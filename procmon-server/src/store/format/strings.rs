//! The dictionary: each distinct byte string of a batch once.

use std::collections::HashMap;

use super::FormatError;
use super::bytes::{Reader, put};

/// Gives each distinct string a number, in order of first use.
#[derive(Debug, Default)]
pub(in crate::store) struct Interner<'a> {
    numbers: HashMap<&'a [u8], u64, foldhash::fast::RandomState>,
    strings: Vec<&'a [u8]>,
}

impl<'a> Interner<'a> {
    pub(in crate::store) fn intern(&mut self, string: &'a [u8]) -> u64 {
        *self.numbers.entry(string).or_insert_with(|| {
            self.strings.push(string);
            self.strings.len() as u64 - 1
        })
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }

    pub(in crate::store) fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.strings.len() as u64);
        for string in &self.strings {
            put(&mut out, string.len() as u64);
        }
        for string in &self.strings {
            out.extend_from_slice(string);
        }
        out
    }
}

/// The strings by number.
#[derive(Debug, Default)]
pub(in crate::store) struct Strings<'a> {
    strings: Vec<&'a [u8]>,
}

impl<'a> Strings<'a> {
    pub(in crate::store) fn read(bytes: &'a [u8]) -> Result<Self, FormatError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let count = reader.count()?;
        let mut lengths = reader;
        for _ in 0..count {
            reader.number()?;
        }
        let mut strings = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::try_from(lengths.number()?).map_err(|_| FormatError::Lengths)?;
            strings.push(reader.take(length)?);
        }
        Ok(Self { strings })
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.strings.len()
    }

    pub(in crate::store) fn bytes(&self, number: u64) -> Result<&'a [u8], FormatError> {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.strings.get(index))
            .copied()
            .ok_or(FormatError::Reference)
    }

    pub(in crate::store) fn text(&self, number: u64) -> Result<Box<str>, FormatError> {
        Ok(String::from_utf8_lossy(self.bytes(number)?).into())
    }
}
