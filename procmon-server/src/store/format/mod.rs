//! The storage format of a batch, version 1: what the store keeps of an upload, never the bytes that came over the wire.
//!
//! ```text
//! "PMB1"  version: u8  sections: varint
//! per section: id, encoding (0 plain, 1 zstd), plain length, stored length: varints
//! the sections' bytes, in the same order
//! ```
//!
//! A section is a table of columns (or, for strings and the sample, a list), each column with its number from a registry
//! that only grows. Readers pass over sections, columns and kinds of events that they do not know, and take a column that
//! is not there as unknown. Reading never panics and never trusts a length.

pub(in crate::store) mod bytes;
pub(in crate::store) mod container;
mod decode;
mod encode;
mod encode_kinds;
pub(in crate::store) mod strings;
pub(in crate::store) mod table;

pub use decode::{SampleParts, decode, decode_events, decode_sample, names_pid};
pub use encode::encode;

pub(crate) const MAGIC: &[u8; 4] = b"PMB1";
pub(crate) const VERSION: u8 = 1;

/// Numbers of sections.
pub(crate) mod section {
    pub(crate) const STRINGS: u64 = 1;
    pub(crate) const LIVES: u64 = 2;
    pub(crate) const EVENTS: u64 = 3;
    pub(crate) const EXITS: u64 = 4;
    pub(crate) const SLOW_IO: u64 = 5;
    pub(crate) const LOSSES: u64 = 6;
    pub(crate) const SPAN: u64 = 7;
    pub(crate) const FRAME: u64 = 8;
    pub(crate) const PORTS: u64 = 9;
    pub(crate) const TOTALS: u64 = 10;
    pub(crate) const OOMS: u64 = 11;
    pub(crate) const SHORT_LIVED: u64 = 12;
    pub(crate) const BLOCK_LATENCY: u64 = 13;
}

/// Numbers of columns, by section.
pub(crate) mod column {
    pub(crate) mod life {
        pub(crate) const FLAGS: u64 = 1;
        /// Value + 1 here and below, where 0 is unknown.
        pub(crate) const PID: u64 = 2;
        pub(crate) const START: u64 = 3;
        /// 0: an upload; otherwise the boot + 1.
        pub(crate) const BOOT: u64 = 4;
        pub(crate) const PPID: u64 = 5;
        pub(crate) const STARTED_NS: u64 = 6;
        pub(crate) const IMAGE_SEQ: u64 = 7;
        pub(crate) const NAME: u64 = 8;
        pub(crate) const EXE: u64 = 9;
        pub(crate) const ARGS: u64 = 10;
        /// How much longer argv really is.
        pub(crate) const ARGS_CUT: u64 = 11;
        pub(crate) const UID: u64 = 12;
        pub(crate) const EUID: u64 = 13;
        pub(crate) const GID: u64 = 14;
        pub(crate) const USERNAME: u64 = 15;
        pub(crate) const CGROUP: u64 = 16;
        pub(crate) const CONTAINER: u64 = 17;
        pub(crate) const PID_NAMESPACE: u64 = 18;
        pub(crate) const NAMESPACE_PID: u64 = 19;
        /// How much longer argv is than it really was.
        pub(crate) const ARGS_GROWN: u64 = 20;
        pub(crate) const SYSTEMD_UNIT: u64 = 21;

        pub(crate) const HAS_STARTED: u64 = 1;
        pub(crate) const HAS_IMAGE: u64 = 2;
        pub(crate) const HAS_CREDENTIALS: u64 = 4;
        pub(crate) const IS_BASELINE: u64 = 8;
        /// Whether argv was cut, where its length says otherwise.
        pub(crate) const ARGS_ARE_CUT: u64 = 16;
        pub(crate) const ARGS_ARE_WHOLE: u64 = 32;
    }

    pub(crate) mod event {
        pub(crate) const TS_NS: u64 = 1;
        pub(crate) const KIND: u64 = 2;
        pub(crate) const LIFE: u64 = 3;
        /// Added to the kind.
        pub(crate) const SAMPLED: u64 = 128;
    }

    pub(crate) mod exit {
        pub(crate) const FLAGS: u64 = 1;
        pub(crate) const CODE: u64 = 2;
        pub(crate) const SIGNAL: u64 = 3;
        /// The totals follow from here on, in the order of `Exit::totals`.
        pub(crate) const FIRST_TOTAL: u64 = 4;
        /// Unknown, no, yes.
        pub(crate) const OOM_KILLED: u64 = 18;
        pub(crate) const KILLER_PID: u64 = 19;
        pub(crate) const KILLER_START: u64 = 20;
        pub(crate) const KILLER_BOOT: u64 = 21;
        pub(crate) const KILLER_NAME: u64 = 22;
        pub(crate) const KILLER_UID: u64 = 23;

        pub(crate) const CORE_DUMPED: u64 = 1;
        pub(crate) const TOTALS_FINAL: u64 = 2;
    }

    pub(crate) mod slow_io {
        pub(crate) const MAJOR: u64 = 1;
        pub(crate) const MINOR: u64 = 2;
        pub(crate) const DEVICE: u64 = 3;
        pub(crate) const OPERATION: u64 = 4;
        pub(crate) const BYTES: u64 = 5;
        pub(crate) const LATENCY_NS: u64 = 6;
        pub(crate) const WRITEBACK: u64 = 7;
    }

    pub(crate) mod loss {
        pub(crate) const KIND: u64 = 1;
        pub(crate) const REASON: u64 = 2;
        pub(crate) const COUNT: u64 = 3;
        pub(crate) const FROM_NS: u64 = 4;
        pub(crate) const COMMAND: u64 = 5;
        pub(crate) const CGROUP: u64 = 6;
    }

    pub(crate) mod oom {
        pub(crate) const FLAGS: u64 = 1;
        pub(crate) const MEMORY_CGROUP: u64 = 2;
        pub(crate) const RSS_BYTES: u64 = 3;
        pub(crate) const SCORE_ADJ: u64 = 4;

        pub(crate) const HAS_SCORE_ADJ: u64 = 1;
    }

    pub(crate) mod short_lived {
        pub(crate) const LIVES: u64 = 1;
        pub(crate) const NAME: u64 = 2;
        pub(crate) const UID: u64 = 3;
        pub(crate) const USERNAME: u64 = 4;
        pub(crate) const CGROUP: u64 = 5;
        pub(crate) const CONTAINER: u64 = 6;
        pub(crate) const CPU_TIME_NS: u64 = 7;
        pub(crate) const READ_BYTES: u64 = 8;
        pub(crate) const WRITE_BYTES: u64 = 9;
        pub(crate) const MINOR_FAULTS: u64 = 10;
        pub(crate) const MAJOR_FAULTS: u64 = 11;
    }

    pub(crate) mod block_latency {
        /// 0: a device, 1: an issuer, 2: writeback.
        pub(crate) const SOURCE: u64 = 1;
        pub(crate) const MAJOR: u64 = 2;
        pub(crate) const MINOR: u64 = 3;
        pub(crate) const NAME: u64 = 4;
        /// Handle of the issuer.
        pub(crate) const ISSUER: u64 = 5;
        pub(crate) const OPERATION: u64 = 6;
        pub(crate) const BYTES: u64 = 7;
        pub(crate) const LATENCY_SUM_NS: u64 = 8;
        /// The buckets follow.
        pub(crate) const FIRST_BUCKET: u64 = 9;
    }
}

/// What in `span` is set.
pub(crate) mod span {
    pub(crate) const KEY: u64 = 1;
    pub(crate) const MORE: u64 = 2;
    pub(crate) const CONTINUES: u64 = 4;
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("not a stored batch")]
    Magic,
    #[error("storage format {0} is newer than this server")]
    Version(u8),
    #[error("cut short")]
    Truncated,
    #[error("a number has more than 64 bits")]
    Overlong,
    #[error("a section does not decompress")]
    Compression,
    #[error("a reference points outside its table")]
    Reference,
    #[error("lengths contradict each other")]
    Lengths,
}

#[cfg(test)]
pub(in crate::store) mod tests;
