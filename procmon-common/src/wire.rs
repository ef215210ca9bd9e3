//! The wire format: the messages of `proto/procmon.proto`, and their way into and out of a request body.

use serde::{Deserialize, Serialize};

#[expect(
    clippy::doc_markdown,
    reason = "generated from the schema, whose comments are not rustdoc"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/procmon.v1.rs"));
}
pub use generated::*;

mod body;
mod dictionary;

pub use body::{DecodeError, Encoder, decode, decompress, encode, without_dictionary};
pub use dictionary::{DICTIONARY_BYTES, Dictionary, dictionary_of, known_dictionaries};

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

/// Response header with the numbers of the dictionaries that the server can decompress with, separated by commas. Until a
/// server has said so, batches are sent to it without one.
pub const DICTIONARIES_HEADER: &str = "procmon-dictionaries";

/// Largest request body the server takes, and what it may grow to.
pub const MAX_BODY_BYTES: usize = 8 << 20;
pub const MAX_DECODED_BYTES: usize = 64 << 20;

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
    use super::*;

    #[test]
    fn arguments_are_split_at_nul_alone() {
        let split = |args: &'static [u8]| split_args(args).collect::<Vec<_>>();
        assert_eq!(split(b""), Vec::<&[u8]>::new());
        assert_eq!(split(b"\0"), [b""]);
        assert_eq!(split(b"a\0\0b c\n\0"), [&b"a"[..], b"", b"b c\n"]);
        assert_eq!(split(b"a\0\0"), [&b"a"[..], b""]);
        assert_eq!(split(b"nginx: master"), [b"nginx: master"]);
    }
}
