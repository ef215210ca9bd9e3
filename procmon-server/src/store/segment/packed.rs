//! Columns of numbers whose digits are noise: times in nanoseconds, byte counts. zstd spends eight bits on each byte of such a
//! number, of which one says whether the number goes on; here a number is its length in bits, which compresses well, and its
//! bits below the first, which do not and are stored as they are.
//!
//! ```text
//! stored length of the bit lengths: varint; the bit lengths, a byte each, as a zstd frame
//! the bits below the first one of each number, from the lowest on, without gaps
//! ```

use super::SegmentError;
use crate::store::format::bytes::{Reader, put};
use crate::store::format::container::{compress, decompress};

/// Numbers of variable length, one after the other, packed. None where they are not that.
pub(super) fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    let mut lengths = Vec::with_capacity(plain.len());
    let mut bits = BitWriter::with_capacity(plain.len());
    let (mut value, mut shift) = (0_u64, 0_u32);
    for byte in plain {
        value |= u64::from(byte & 0x7f) << shift;
        if *byte >= 0x80 {
            shift += 7;
            if shift > 63 {
                return None;
            }
            continue;
        }
        let length = u64::BITS - value.leading_zeros();
        lengths.push(length as u8);
        if length > 1 {
            bits.put(value & !(1 << (length - 1)), length - 1);
        }
        (value, shift) = (0, 0);
    }
    if shift != 0 {
        return None;
    }
    let lengths = compress(&lengths).ok()?;
    let mut out = Vec::with_capacity(lengths.len() + bits.bytes.len() + 11);
    put(&mut out, lengths.len() as u64);
    out.extend_from_slice(&lengths);
    out.extend_from_slice(&bits.finish());
    Some(out)
}

/// The numbers as they were, in at most so many bytes.
pub(super) fn unpack(stored: &[u8], most_bytes: usize) -> Result<Vec<u8>, SegmentError> {
    let mut reader = Reader::new(stored);
    let length = usize::try_from(reader.number()?).map_err(|_| SegmentError::Lengths)?;
    let frame = reader.take(length)?;
    // Each number takes a byte at least.
    let lengths = decompress(frame, most_bytes).map_err(|_| SegmentError::Compression)?;
    let mut bits = BitReader {
        bytes: reader.take(reader.remaining())?,
        pending: 0,
        count: 0,
    };
    let mut out = Vec::with_capacity(lengths.len() * 2);
    for length in lengths {
        let value = match u32::from(length) {
            0 => 0,
            length @ 1..=64 => bits.take(length - 1)? | 1 << (length - 1),
            _ => return Err(SegmentError::Overlong),
        };
        put(&mut out, value);
    }
    if out.len() > most_bytes {
        return Err(SegmentError::Lengths);
    }
    Ok(out)
}

#[derive(Debug)]
struct BitWriter {
    bytes: Vec<u8>,
    pending: u128,
    count: u32,
}

impl BitWriter {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            pending: 0,
            count: 0,
        }
    }

    fn put(&mut self, value: u64, count: u32) {
        self.pending |= u128::from(value) << self.count;
        self.count += count;
        if self.count >= 64 {
            self.bytes
                .extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.count -= 64;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let rest = self.pending.to_le_bytes();
        self.bytes
            .extend_from_slice(&rest[..self.count.div_ceil(8) as usize]);
        self.bytes
    }
}

#[derive(Debug)]
struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u128,
    count: u32,
}

impl BitReader<'_> {
    fn take(&mut self, count: u32) -> Result<u64, SegmentError> {
        while self.count < count {
            if let Some((word, rest)) = self.bytes.split_first_chunk::<8>() {
                self.pending |= u128::from(u64::from_le_bytes(*word)) << self.count;
                self.count += 64;
                self.bytes = rest;
                continue;
            }
            let (byte, rest) = self.bytes.split_first().ok_or(SegmentError::Truncated)?;
            self.pending |= u128::from(*byte) << self.count;
            self.count += 8;
            self.bytes = rest;
        }
        let value = self.pending as u64 & ((1_u128 << count) - 1) as u64;
        self.pending >>= count;
        self.count -= count;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(numbers in proptest::collection::vec((any::<u64>(), 0..64_u32), 0..300)) {
            let mut plain = Vec::new();
            for (number, shift) in numbers {
                put(&mut plain, number >> shift);
            }
            let packed = pack(&plain).expect("numbers");
            prop_assert_eq!(unpack(&packed, plain.len()).expect("just packed"), plain.clone());
            if !plain.is_empty() {
                prop_assert!(unpack(&packed, plain.len() - 1).is_err());
                prop_assert!(unpack(&packed[..packed.len() - 1], plain.len()).is_err() || packed.len() == 2);
            }
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack(&bytes, 1000);
            let _ = pack(&bytes);
        }
    }

    #[test]
    fn what_is_no_numbers_is_not_packed() {
        assert!(pack(&[0x80]).is_none());
        assert!(pack(&[0xff; 12]).is_none());
    }
}
