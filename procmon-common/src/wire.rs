//! The wire format: the messages of `proto/procmon.proto`, and their way into and out of a request body.

use prost::Message;
use serde::{Deserialize, Serialize};

#[expect(
    clippy::doc_markdown,
    reason = "generated from the schema, whose comments are not rustdoc"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/procmon.v1.rs"));
}
pub use generated::*;

impl event::Kind {
    /// The `type` of the API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fork(_) => "fork",
            Self::Exec(_) => "exec",
            Self::Exit(_) => "exit",
            Self::IoSlow(_) => "io_slow",
            Self::Oom(_) => "oom",
        }
    }
}

pub const CONTENT_TYPE: &str = "application/x-protobuf";
pub const CONTENT_ENCODING: &str = "zstd";

/// Request header with the host's clock when the batch was sent, Unix milliseconds. With it the server tells a batch that
/// waited in the spool from a clock that is off.
pub const SENT_HEADER: &str = "procmon-sent-unix-ms";

/// Largest request body the server takes, and what it may grow to.
pub const MAX_BODY_BYTES: usize = 8 << 20;
pub const MAX_DECODED_BYTES: usize = 64 << 20;

/// Fast, and within a few percent of level 3 on batches.
const ZSTD_LEVEL: i32 = 1;
/// Room that an encoder keeps between batches.
const PLAIN_KEPT: usize = 256 << 10;

/// The server's answer to a batch, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub epoch: u64,
    /// Every batch of this epoch up to here is stored, or was skipped by the agent.
    pub durable_seq: u64,
    /// The server cannot follow the deltas: the agent's next batch must be a key batch.
    #[serde(default)]
    pub resync: bool,
    /// The server's clock when it took the batch, Unix milliseconds.
    #[serde(default)]
    pub received_unix_ms: i64,
}

/// Why a body is not a batch.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not valid zstd: {0}")]
    Compression(std::io::Error),
    #[error("the body is larger than {limit} bytes when decompressed")]
    TooLarge { limit: usize },
    #[error("the body is not a procmon.v1.Batch: {0}")]
    Message(prost::DecodeError),
}

/// A batch as a request body.
pub fn encode(batch: &Batch) -> std::io::Result<Vec<u8>> {
    Encoder::new()?.encode(batch)
}

/// Encodes many batches; keeps the compressor's tables, which cost more to set up than a small batch to compress.
pub struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
}

impl Encoder {
    pub fn new() -> std::io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(Self {
            compressor,
            plain: Vec::new(),
        })
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

/// Reads a request body. Never allocates more than `limit` for its content.
pub fn decode(body: &[u8], limit: usize) -> Result<Batch, DecodeError> {
    let plain = decompress(body, limit)?;
    Batch::decode(bytes(plain)).map_err(DecodeError::Message)
}

fn bytes(plain: Vec<u8>) -> prost::bytes::Bytes {
    prost::bytes::Bytes::from(plain)
}

/// Undoes zstd up to `limit` bytes, whatever the header claims.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    use std::io::Read;
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(body).map_err(DecodeError::Compression)?;
    let mut limited = decoder.take(limit as u64 + 1);
    limited
        .read_to_end(&mut plain)
        .map_err(DecodeError::Compression)?;
    if plain.len() > limit {
        return Err(DecodeError::TooLarge { limit });
    }
    Ok(plain)
}

impl Image {
    /// Whether the end of argv is missing.
    pub fn is_cut(&self) -> bool {
        self.args_cut
            .unwrap_or(self.args_bytes > self.args.len() as u64)
    }
}

/// The arguments of an argv as the kernel keeps it: each ended by NUL, empty ones included. What a process wrote over its
/// argv without a NUL is one argument.
pub fn split_args(args: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ended = args.strip_suffix(&[0]).unwrap_or(args);
    let empty = args.is_empty();
    ended.split(|byte| *byte == 0).filter(move |_| !empty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    #[test]
    fn arguments_are_split_at_nul_alone() {
        let split = |args: &'static [u8]| split_args(args).collect::<Vec<_>>();
        assert_eq!(split(b""), Vec::<&[u8]>::new());
        assert_eq!(split(b"\0"), [b""]);
        assert_eq!(split(b"a\0\0b c\n\0"), [&b"a"[..], b"", b"b c\n"]);
        assert_eq!(split(b"a\0\0"), [&b"a"[..], b""]);
        assert_eq!(split(b"nginx: master"), [b"nginx: master"]);
    }

    #[test]
    fn round_trip() {
        let body = encode(&batch()).expect("compresses");
        assert_eq!(decode(&body, 1 << 20).expect("decodes"), batch());
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 1).expect("compresses");
        assert!(matches!(
            decode(&bomb, 1000),
            Err(DecodeError::TooLarge { limit: 1000 })
        ));
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let body = encode(&batch()).expect("compresses");
        for length in 0..body.len() {
            assert!(
                decode(&body[..length], 1 << 20).is_err(),
                "{length} bytes of {}",
                body.len()
            );
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
