//! Batches into request bodies and back.

use std::cell::RefCell;
use std::io::Read;

use prost::Message;
use prost::bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::Batch;
use super::dictionary::{Dictionary, dictionary_of, known_dictionaries};

/// Fast, and within a few percent of level 3 on batches.
const ZSTD_LEVEL: i32 = 1;
/// Room that an encoder keeps between batches.
const PLAIN_KEPT: usize = 256 << 10;
/// What a frame may ask a decoder to keep at hand, as a power of two: more than any of our levels asks for, and far less than
/// a stranger could.
const WINDOW_LOG_MAX: u32 = 24;
/// Content up to here is decompressed in one step, into a buffer of the size that the frame names.
const ONE_STEP_BYTES: u64 = 1 << 20;

/// Why a body is not a batch.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not valid zstd: {0}")]
    Compression(std::io::Error),
    #[error(
        "the body is compressed with dictionary {id}, which is not known here; send it without a dictionary, or with one of: {}",
        known_list()
    )]
    Dictionary { id: u32 },
    #[error("the body is larger than {limit} bytes when decompressed")]
    TooLarge { limit: usize },
    #[error("the body is not a procmon.v1.Batch: {0}")]
    Message(prost::DecodeError),
}

fn known_list() -> String {
    let ids: Vec<_> = known_dictionaries().map(|id| id.to_string()).collect();
    ids.join(", ")
}

/// A batch as a request body that every server understands.
pub fn encode(batch: &Batch) -> std::io::Result<Vec<u8>> {
    Encoder::plain()?.encode(batch)
}

/// Encodes many batches; keeps the compressor's tables, which cost more to set up than a small batch to compress.
pub struct Encoder {
    compressor: Compressor<'static>,
    plain: Vec<u8>,
}

impl Encoder {
    /// With the newest dictionary.
    pub fn new() -> std::io::Result<Self> {
        let compressor = Compressor::with_dictionary(ZSTD_LEVEL, Dictionary::newest().content)?;
        Ok(Self::with(compressor))
    }

    /// Without a dictionary.
    pub fn plain() -> std::io::Result<Self> {
        Ok(Self::with(Compressor::new(ZSTD_LEVEL)?))
    }

    fn with(compressor: Compressor<'static>) -> Self {
        Self {
            compressor,
            plain: Vec::new(),
        }
    }

    /// A batch as a request body.
    pub fn encode(&mut self, batch: &Batch) -> std::io::Result<Vec<u8>> {
        self.plain.clear();
        // A vector has always room.
        batch
            .encode(&mut self.plain)
            .map_err(std::io::Error::other)?;
        let body = self.compressor.compress(&self.plain);
        self.plain.shrink_to(PLAIN_KEPT);
        body
    }
}

/// The same body without a dictionary, for a server that does not have it.
pub fn without_dictionary(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let plain = decompress(body, limit)?;
    zstd::bulk::compress(&plain, ZSTD_LEVEL).map_err(DecodeError::Compression)
}

/// Reads a request body. Never allocates more than `limit` for its content.
pub fn decode(body: &[u8], limit: usize) -> Result<Batch, DecodeError> {
    let plain = decompress(body, limit)?;
    Batch::decode(Bytes::from(plain)).map_err(DecodeError::Message)
}

/// Undoes zstd up to `limit` bytes, whatever the header claims.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let dictionary = dictionary_of(body);
    if let Some(id) = dictionary
        && Dictionary::decoder(id).is_none()
    {
        return Err(DecodeError::Dictionary { id });
    }
    if let Some(plain) = in_one_step(body, dictionary, limit) {
        return Ok(plain);
    }
    let mut decoder = match dictionary.and_then(Dictionary::decoder) {
        Some(ready) => zstd::Decoder::with_prepared_dictionary(body, ready),
        None => zstd::Decoder::with_buffer(body),
    }
    .map_err(DecodeError::Compression)?;
    decoder
        .window_log_max(WINDOW_LOG_MAX)
        .map_err(DecodeError::Compression)?;
    let mut plain = Vec::new();
    let mut limited = decoder.take(limit as u64 + 1);
    limited
        .read_to_end(&mut plain)
        .map_err(DecodeError::Compression)?;
    if plain.len() > limit {
        return Err(DecodeError::TooLarge { limit });
    }
    Ok(plain)
}

thread_local! {
    /// Setting one up costs more than a small batch to decompress: each thread keeps its own, and what dictionary it has.
    static DECOMPRESSOR: RefCell<Option<(Option<u32>, Decompressor<'static>)>> = const { RefCell::new(None) };
}

/// A single small frame that says how large its content is. `None` for all others, and for those that are not valid.
fn in_one_step(body: &[u8], dictionary: Option<u32>, limit: usize) -> Option<Vec<u8>> {
    let size = get_frame_content_size(body).ok()??;
    if size > ONE_STEP_BYTES.min(limit as u64) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(has, _)| *has != dictionary) {
            let fresh = match dictionary {
                Some(id) => Decompressor::with_prepared_dictionary(Dictionary::decoder(id)?),
                None => Decompressor::new(),
            };
            *kept = Some((dictionary, fresh.ok()?));
        }
        let (_, decompressor) = kept.as_mut()?;
        let mut plain = Vec::with_capacity(size as usize);
        decompressor.decompress_to_buffer(body, &mut plain).ok()?;
        Some(plain)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Batch, Event};

    fn batch() -> Batch {
        Batch {
            agent_id: "a".into(),
            seq: 3,
            events: vec![Event {
                handle: 7,
                ..Event::default()
            }],
            ..Batch::default()
        }
    }

    fn with_dictionary() -> Vec<u8> {
        let mut encoder = Encoder::new().expect("starts");
        encoder.encode(&batch()).expect("compresses")
    }

    #[test]
    fn round_trip() {
        let body = encode(&batch()).expect("compresses");
        assert_eq!(dictionary_of(&body), None);
        assert_eq!(decode(&body, 1 << 20).expect("decodes"), batch());
        let small = with_dictionary();
        assert_eq!(dictionary_of(&small), Some(Dictionary::newest().id));
        assert_eq!(decode(&small, 1 << 20).expect("decodes"), batch());
        // The decompressor that a thread keeps is the right one for each.
        assert_eq!(decode(&body, 1 << 20).expect("decodes"), batch());
    }

    #[test]
    fn a_dictionary_can_be_taken_out() {
        let plain = without_dictionary(&with_dictionary(), 1 << 20).expect("transcodes");
        assert_eq!(dictionary_of(&plain), None);
        assert_eq!(decode(&plain, 1 << 20).expect("decodes"), batch());
    }

    #[test]
    fn an_unknown_dictionary_is_named() {
        let mut other = Dictionary::newest().content.to_vec();
        other[4..8].copy_from_slice(&77_u32.to_le_bytes());
        let mut compressor = Compressor::with_dictionary(1, &other).expect("valid");
        let body = compressor.compress(b"some bytes").expect("compresses");
        let error = decode(&body, 1 << 20).expect_err("not known");
        assert!(
            matches!(error, DecodeError::Dictionary { id: 77 }),
            "{error}"
        );
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 1).expect("compresses");
        assert!(matches!(
            decode(&bomb, 1000),
            Err(DecodeError::TooLarge { limit: 1000 })
        ));
        // Frames one after the other are one content.
        let frames = [&bomb[..], &bomb].concat();
        assert_eq!(decompress(&frames, 2 << 20).expect("fits").len(), 2 << 20);
        assert!(matches!(
            decompress(&frames, (2 << 20) - 1),
            Err(DecodeError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_window_that_only_a_stranger_asks_for_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("starts");
        encoder.window_log(27).expect("valid");
        std::io::Write::write_all(&mut encoder, &[7; 100]).expect("in memory");
        let body = encoder.finish().expect("in memory");
        assert!(matches!(
            decompress(&body, 1 << 20),
            Err(DecodeError::Compression(_))
        ));
    }

    #[test]
    fn a_cut_body_is_an_error() {
        for body in [encode(&batch()).expect("compresses"), with_dictionary()] {
            for length in 0..body.len() {
                assert!(
                    decode(&body[..length], 1 << 20).is_err(),
                    "{length} bytes of {}",
                    body.len()
                );
            }
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(body in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&body, 1 << 16);
            let _ = Batch::decode(body.as_slice());
        }
    }
}
