//! Numbers of variable length, and a reader that never leaves its bytes.

use super::FormatError;

pub(in crate::store) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small for small differences of either sign.
pub(in crate::store) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::store) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(in crate::store) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(in crate::store) fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(in crate::store) fn byte(&mut self) -> Result<u8, FormatError> {
        Ok(self.take(1)?[0])
    }

    pub(in crate::store) fn number(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FormatError::Overlong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError::Overlong)
    }

    pub(in crate::store) fn signed(&mut self) -> Result<i64, FormatError> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of things that each take at least one more byte.
    pub(in crate::store) fn count(&mut self) -> Result<usize, FormatError> {
        let count = usize::try_from(self.number()?).map_err(|_| FormatError::Lengths)?;
        if count > self.remaining() {
            return Err(FormatError::Truncated);
        }
        Ok(count)
    }

    /// A count of bytes, and those bytes.
    pub(in crate::store) fn block(&mut self) -> Result<Self, FormatError> {
        let length = self.count()?;
        Ok(Self::new(self.take(length)?))
    }
}
