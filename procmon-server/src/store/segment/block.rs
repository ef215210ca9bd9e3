//! A block: some rows as columns, each column a frame that is compressed on its own, so that a reader pays only for the
//! columns that it asks for.
//!
//! ```text
//! rows, columns: varints
//! per column: id, encoding, plain length, stored length: varints
//! the frames, in the same order
//! ```

use super::SegmentError;
use super::container::{Effort, expand, shrink_numbers};
use crate::store::format::bytes::{Reader, put, put_signed};

/// Room in a new column: most blocks have tens of rows at least, and growing to that costs more than writing them.
const COLUMN_BYTES: usize = 64;

/// Collects the columns of a block, and then those of the next. A column may have fewer values than there are rows.
#[derive(Debug)]
pub(super) struct BlockWriter {
    columns: Vec<WriterColumn>,
    /// Where the columns of low numbers are, + 1: most tables have no others.
    places: [u8; 64],
    pub(super) rows: usize,
}

#[derive(Debug)]
struct WriterColumn {
    id: u64,
    bytes: Vec<u8>,
    any: bool,
}

impl Default for BlockWriter {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            places: [0; 64],
            rows: 0,
        }
    }
}

impl BlockWriter {
    fn column(&mut self, id: u64) -> &mut WriterColumn {
        let index = match self.places.get(id as usize) {
            Some(0) => {
                let index = self.add(id);
                // There are fewer than there are places.
                self.places[id as usize] = index as u8 + 1;
                index
            }
            Some(place) => usize::from(*place) - 1,
            None => {
                let known = self.columns.iter().position(|column| column.id == id);
                known.unwrap_or_else(|| self.add(id))
            }
        };
        &mut self.columns[index]
    }

    fn add(&mut self, id: u64) -> usize {
        self.columns.push(WriterColumn {
            id,
            bytes: Vec::with_capacity(COLUMN_BYTES),
            any: false,
        });
        self.columns.len() - 1
    }

    pub(super) fn put(&mut self, id: u64, value: u64) {
        let column = self.column(id);
        column.any |= value != 0;
        put(&mut column.bytes, value);
    }

    pub(super) fn put_signed(&mut self, id: u64, value: i64) {
        let column = self.column(id);
        column.any |= value != 0;
        put_signed(&mut column.bytes, value);
    }

    pub(super) fn put_all(&mut self, id: u64, values: impl Iterator<Item = u64>) {
        let column = self.column(id);
        for value in values {
            column.any |= value != 0;
            put(&mut column.bytes, value);
        }
    }

    /// About as much memory as it takes.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.bytes.len()).sum()
    }

    /// Appends the block, and begins the next, whose columns are likely to need as much room. A column of nothing but zeros is
    /// left out, but for the first, which bounds the number of rows.
    pub(super) fn finish(&mut self, effort: Effort, out: &mut Vec<u8>) {
        let columns = self.columns.iter().enumerate();
        let kept: Vec<_> = columns
            .filter(|(index, column)| *index == 0 || column.any)
            .map(|(_, column)| column)
            .collect();
        put(out, self.rows as u64);
        put(out, kept.len() as u64);
        let mut frames = Vec::new();
        for column in kept {
            let (encoding, shrunk) = shrink_numbers(&column.bytes, effort);
            let stored = shrunk.as_deref().unwrap_or(&column.bytes);
            put(out, column.id);
            put(out, encoding);
            put(out, column.bytes.len() as u64);
            put(out, stored.len() as u64);
            frames.extend_from_slice(stored);
        }
        out.extend_from_slice(&frames);
        self.rows = 0;
        for column in &mut self.columns {
            column.bytes.clear();
            column.any = false;
        }
    }
}

/// The columns of a block, not yet decompressed.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) rows: usize,
    columns: Vec<(u64, u64, usize, &'a [u8])>,
}

/// More rows than any block has.
pub(super) const MAX_ROWS: usize = 1 << 22;

impl<'a> Block<'a> {
    /// No bytes are a block of no rows.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        if bytes.is_empty() {
            return Ok(Self {
                rows: 0,
                columns: Vec::new(),
            });
        }
        let mut reader = Reader::new(bytes);
        let rows = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
        if rows > MAX_ROWS {
            return Err(SegmentError::Lengths);
        }
        let count = reader.count()?;
        let mut heads = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let (id, encoding) = (reader.number()?, reader.number()?);
            let plain = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            let stored = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
            heads.push((id, encoding, plain, stored));
        }
        let mut columns = Vec::with_capacity(heads.len());
        for (id, encoding, plain, stored) in heads {
            columns.push((id, encoding, plain, reader.take(stored)?));
        }
        Ok(Self { rows, columns })
    }

    /// Where a column must have a value in every row: that it does bounds the number of rows.
    pub(super) fn require_rows(&self, id: u64) -> Result<(), SegmentError> {
        let found = self.columns.iter().find(|(known, ..)| *known == id);
        if self.rows > found.map_or(0, |(_, _, plain, _)| *plain) {
            return Err(SegmentError::Lengths);
        }
        Ok(())
    }

    pub(super) fn column(&self, wanted: u64) -> Result<Values, SegmentError> {
        let found = self.columns.iter().find(|(id, ..)| *id == wanted);
        let bytes = match found {
            Some((_, encoding, plain, stored)) => Some(expand(*encoding, stored, *plain)?),
            None => None,
        };
        Ok(Values { bytes, at: 0 })
    }
}

/// The values of one column, one after the other; zeros where the column was left out.
#[derive(Debug)]
pub(super) struct Values {
    bytes: Option<Vec<u8>>,
    at: usize,
}

impl Values {
    /// Of a column that is not in a block.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes: Some(bytes),
            at: 0,
        }
    }

    pub(super) fn zeros() -> Self {
        Self { bytes: None, at: 0 }
    }

    pub(super) fn is_zeros(&self) -> bool {
        self.bytes.is_none()
    }

    pub(super) fn next(&mut self) -> Result<u64, SegmentError> {
        let Some(bytes) = &self.bytes else {
            return Ok(0);
        };
        let rest = bytes.get(self.at..).unwrap_or(&[]);
        // Most numbers are one byte.
        if let Some(first) = rest.first()
            && *first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*first));
        }
        let mut reader = Reader::new(rest);
        let value = reader.number()?;
        self.at += rest.len() - reader.remaining();
        Ok(value)
    }

    pub(super) fn signed(&mut self) -> Result<i64, SegmentError> {
        let value = self.next()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Passes over values.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), SegmentError> {
        let Some(bytes) = &self.bytes else {
            return Ok(());
        };
        let rest = bytes.get(self.at..).unwrap_or(&[]);
        let mut left = count;
        for (index, byte) in rest.iter().enumerate() {
            if left == 0 {
                self.at += index;
                return Ok(());
            }
            left -= usize::from(*byte < 0x80);
        }
        if left > 0 {
            return Err(SegmentError::Truncated);
        }
        self.at = bytes.len();
        Ok(())
    }
}
