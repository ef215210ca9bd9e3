//! Columns of numbers under their registry numbers.

use super::FormatError;
use super::bytes::{Reader, put};

/// Room in a new column: batches have tens of rows, and growing to that costs more than writing them.
const COLUMN_BYTES: usize = 32;

/// Collects columns; each has one number per row.
#[derive(Debug, Default)]
pub(in crate::store) struct TableWriter {
    columns: Vec<(u64, Vec<u8>, bool)>,
    rows: u64,
}

impl TableWriter {
    pub(in crate::store) fn row(&mut self) -> RowWriter<'_> {
        self.rows += 1;
        RowWriter {
            table: self,
            next: 0,
        }
    }

    pub(in crate::store) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// A column of nothing but zeros is left out, but for the first, which bounds the number of rows.
    pub(in crate::store) fn finish(self) -> Vec<u8> {
        let kept: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(index, (_, _, any))| *index == 0 || *any)
            .map(|(_, column)| column)
            .collect();
        let mut out = Vec::with_capacity(kept.iter().map(|column| column.1.len() + 8).sum());
        put(&mut out, self.rows);
        put(&mut out, kept.len() as u64);
        for (id, bytes, _) in kept {
            put(&mut out, *id);
            put(&mut out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        out
    }
}

/// Writes one row; the columns come in the same order in every row.
pub(in crate::store) struct RowWriter<'a> {
    table: &'a mut TableWriter,
    next: usize,
}

impl RowWriter<'_> {
    pub(in crate::store) fn put(&mut self, id: u64, value: u64) -> &mut Self {
        if self.next == self.table.columns.len() {
            let column = Vec::with_capacity(COLUMN_BYTES);
            self.table.columns.push((id, column, false));
        }
        let (known, bytes, any) = &mut self.table.columns[self.next];
        debug_assert_eq!(*known, id);
        put(bytes, value);
        *any |= value != 0;
        self.next += 1;
        self
    }

    /// Value + 1, with 0 for unknown.
    pub(in crate::store) fn put_known(&mut self, id: u64, value: Option<u64>) -> &mut Self {
        self.put(id, value.map_or(0, |value| value.saturating_add(1)))
    }

    pub(in crate::store) fn put_signed(&mut self, id: u64, value: i64) -> &mut Self {
        self.put(id, ((value << 1) ^ (value >> 63)) as u64)
    }
}

/// The columns of one table.
#[derive(Debug)]
pub(in crate::store) struct Table<'a> {
    pub(in crate::store) rows: usize,
    columns: Vec<(u64, Reader<'a>)>,
}

impl<'a> Table<'a> {
    /// `first` is the column that is always there.
    pub(in crate::store) fn read(bytes: &'a [u8], first: u64) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes);
        let rows = reader.count()?;
        let count = reader.count()?;
        let mut columns = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            columns.push((reader.number()?, reader.block()?));
        }
        let bound = columns.iter().find(|(id, _)| *id == first);
        if rows > bound.map_or(0, |(_, column)| column.remaining()) {
            return Err(FormatError::Lengths);
        }
        Ok(Self { rows, columns })
    }

    pub(in crate::store) fn column(&self, id: u64) -> ColumnReader<'a> {
        let found = self.columns.iter().find(|(known, _)| *known == id);
        ColumnReader {
            reader: found.map(|(_, column)| *column),
        }
    }
}

/// The numbers of one column from the first row on; zeros where the column is not there.
#[derive(Debug)]
pub(in crate::store) struct ColumnReader<'a> {
    reader: Option<Reader<'a>>,
}

impl ColumnReader<'_> {
    pub(in crate::store) fn next(&mut self) -> Result<u64, FormatError> {
        self.reader.as_mut().map_or(Ok(0), Reader::number)
    }

    pub(in crate::store) fn signed(&mut self) -> Result<i64, FormatError> {
        self.reader.as_mut().map_or(Ok(0), Reader::signed)
    }

    pub(in crate::store) fn known(&mut self) -> Result<Option<u64>, FormatError> {
        Ok(self.next()?.checked_sub(1))
    }

    pub(in crate::store) fn known_u32(&mut self) -> Result<Option<u32>, FormatError> {
        Ok(self.known()?.and_then(|value| u32::try_from(value).ok()))
    }
}
