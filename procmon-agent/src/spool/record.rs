//! A batch as a record of a segment file.
//!
//! Little-endian: magic `PSP1`, CRC-32 of all that follows it, payload length, flags (1: key), epoch, seq, time built;
//! then the payload. The magic is the format's version.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use prost::bytes::Bytes;

use super::SpooledBatch;

const HEADER_BYTES: usize = 40;
const MAGIC: [u8; 4] = *b"PSP1";
const FLAG_KEY: u32 = 1;
/// Beyond what any server takes: a longer length is damage, not data.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;

/// What stands at a place of a segment.
#[derive(Debug)]
pub(super) enum Found {
    Record(SpooledBatch),
    End,
    /// The record that was being written when the agent or the host stopped.
    Torn,
    Damaged,
}

/// Length of the record of a batch.
pub(super) fn length(batch: &SpooledBatch) -> u64 {
    (HEADER_BYTES + batch.payload.len()) as u64
}

/// `None` for a payload that no server would take.
pub(super) fn encode(batch: &SpooledBatch) -> Option<Vec<u8>> {
    if batch.payload.len() > MAX_PAYLOAD_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + batch.payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(batch.payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&u32::from(batch.key).to_le_bytes());
    bytes.extend_from_slice(&batch.epoch.to_le_bytes());
    bytes.extend_from_slice(&batch.seq.to_le_bytes());
    bytes.extend_from_slice(&batch.built_unix_ns.to_le_bytes());
    bytes.extend_from_slice(&batch.payload);
    let checksum = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// Reads the record at the start of `source`, which has `remaining` bytes.
pub(super) fn read(source: &mut impl Read, remaining: u64) -> io::Result<Found> {
    if remaining == 0 {
        return Ok(Found::End);
    }
    if remaining < HEADER_BYTES as u64 {
        return Ok(Found::Torn);
    }
    let mut header = [0; HEADER_BYTES];
    source.read_exact(&mut header)?;
    if header == [0; HEADER_BYTES] {
        // After a loss of power the file may have grown before its content was written.
        return Ok(Found::Torn);
    }
    let payload_bytes = u32_at(&header, 8) as usize;
    if header[..4] != MAGIC || payload_bytes > MAX_PAYLOAD_BYTES {
        return Ok(Found::Damaged);
    }
    if payload_bytes as u64 > remaining - HEADER_BYTES as u64 {
        return Ok(Found::Torn);
    }
    let mut payload = vec![0; payload_bytes];
    source.read_exact(&mut payload)?;
    Ok(decode(&header, payload))
}

fn decode(header: &[u8; HEADER_BYTES], payload: Vec<u8>) -> Found {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&header[8..]);
    checksum.update(&payload);
    if checksum.finalize() != u32_at(header, 4) {
        return Found::Damaged;
    }
    Found::Record(SpooledBatch {
        epoch: u64_at(header, 16),
        seq: u64_at(header, 24),
        key: u32_at(header, 12) & FLAG_KEY != 0,
        built_unix_ns: u64_at(header, 32) as i64,
        payload: Bytes::from(payload),
    })
}

fn u32_at(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// A file read from a place of its own, whoever else uses the file.
pub(super) struct At<'a> {
    pub(super) file: &'a File,
    pub(super) offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(payload: Vec<u8>) -> SpooledBatch {
        SpooledBatch {
            epoch: 7,
            seq: 9,
            key: true,
            built_unix_ns: -1,
            payload: payload.into(),
        }
    }

    proptest! {
        #[test]
        fn round_trip_and_every_cut_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            cut in any::<proptest::sample::Index>(),
        ) {
            let batch = batch(payload);
            let bytes = encode(&batch).expect("short");
            prop_assert_eq!(bytes.len() as u64, length(&batch));
            let found = read(&mut bytes.as_slice(), bytes.len() as u64).expect("reads");
            prop_assert!(matches!(found, Found::Record(again) if again == batch));
            let kept = 1 + cut.index(bytes.len() - 1);
            let found = read(&mut &bytes[..kept], kept as u64).expect("reads");
            prop_assert!(matches!(found, Found::Torn));
        }

        #[test]
        fn any_flipped_bit_is_noticed(at in 0_usize..60, bit in 0_u8..8) {
            let mut bytes = encode(&batch(vec![5; 20])).expect("short");
            bytes[at] ^= 1 << bit;
            let found = read(&mut bytes.as_slice(), bytes.len() as u64).expect("reads");
            prop_assert!(!matches!(found, Found::Record(_) | Found::End));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(&mut bytes.as_slice(), bytes.len() as u64).expect("no I/O error");
        }
    }
}
