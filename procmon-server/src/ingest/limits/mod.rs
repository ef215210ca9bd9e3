//! What one agent may make the server take: configured by `ingest_limits`, held agent by agent, and answered with 429 (come
//! back later) or 413 (never in this form). No HTTP beyond these answers lives here.

mod bucket;
mod gate;
mod memory;

pub use gate::Gate;
pub(crate) use gate::Turn;
pub(crate) use memory::{BodyMemory, Held};

use procmon_common::config::{ByteSize, Entries, Setting, Value, unknown_key};

/// The limits in force. A rate of 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    pub requests_per_s: u64,
    pub burst_requests: u64,
    pub bytes_per_s: u64,
    pub burst_bytes: u64,
    pub concurrent_requests: u64,
    pub body_bytes: u64,
    pub content_bytes: u64,
    pub processes: u64,
    pub names: u64,
    pub text_bytes: u64,
    pub events: u64,
    pub agents: u64,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            requests_per_s: 200,
            burst_requests: 2_000,
            bytes_per_s: 16 << 20,
            burst_bytes: 256 << 20,
            concurrent_requests: 8,
            body_bytes: 8 << 20,
            content_bytes: 64 << 20,
            processes: 100_000,
            names: 20_000,
            text_bytes: 128 << 20,
            events: 100_000,
            agents: 50_000,
        }
    }
}

/// One key below `ingest_limits`.
struct Limit {
    name: &'static str,
    is_bytes: bool,
    least: u64,
    most: u64,
    field: fn(&mut IngestLimits) -> &mut u64,
}

const fn count(
    name: &'static str,
    least: u64,
    most: u64,
    field: fn(&mut IngestLimits) -> &mut u64,
) -> Limit {
    Limit {
        name,
        is_bytes: false,
        least,
        most,
        field,
    }
}

const fn bytes(
    name: &'static str,
    least: u64,
    most: u64,
    field: fn(&mut IngestLimits) -> &mut u64,
) -> Limit {
    Limit {
        name,
        is_bytes: true,
        least,
        most,
        field,
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const LIMITS: [Limit; 12] = [
    count("requests_per_s", 0, 1_000_000, |limits| {
        &mut limits.requests_per_s
    }),
    count("burst_requests", 1, 10_000_000, |limits| {
        &mut limits.burst_requests
    }),
    bytes("bytes_per_s", 0, 64 * GIB, |limits| &mut limits.bytes_per_s),
    bytes("burst_bytes", MIB, 64 * GIB, |limits| {
        &mut limits.burst_bytes
    }),
    count("concurrent_requests", 1, 10_000, |limits| {
        &mut limits.concurrent_requests
    }),
    bytes("body_bytes", 4 << 10, 64 * MIB, |limits| {
        &mut limits.body_bytes
    }),
    bytes("content_bytes", 4 << 10, 256 * MIB, |limits| {
        &mut limits.content_bytes
    }),
    count("processes", 1, 4_194_304, |limits| &mut limits.processes),
    count("names", 1, 4_194_304, |limits| &mut limits.names),
    bytes("text_bytes", 4 << 10, 16 * GIB, |limits| {
        &mut limits.text_bytes
    }),
    count("events", 1, 10_000_000, |limits| &mut limits.events),
    count("agents", 1, 1_000_000, |limits| &mut limits.agents),
];

impl IngestLimits {
    /// The defaults, changed as `ingest_limits` says. An error says what is wrong with which key.
    pub fn read(entries: &Entries) -> Result<Self, String> {
        let mut limits = Self::default();
        for (key, value) in &entries.0 {
            let limit = LIMITS
                .iter()
                .find(|limit| limit.name == key)
                .ok_or_else(|| format!("{key}: {}", unknown_key(key, &Self::keys())))?;
            *(limit.field)(&mut limits) = limit.read(value)?;
        }
        Ok(limits)
    }

    /// The keys below `ingest_limits`.
    pub fn keys() -> Vec<&'static str> {
        LIMITS.iter().map(|limit| limit.name).collect()
    }
}

impl Limit {
    fn read(&self, value: &Value) -> Result<u64, String> {
        let name = self.name;
        let (read, expected) = if self.is_bytes {
            (
                ByteSize::from_value(value).map(|size| size.0),
                ByteSize::EXPECTED,
            )
        } else {
            (u64::from_value(value), u64::EXPECTED)
        };
        let given =
            read.ok_or_else(|| format!("{name}: {value} does not fit; expected {expected}"))?;
        if !(self.least..=self.most).contains(&given) {
            let unit = if self.is_bytes { " bytes" } else { "" };
            return Err(format!(
                "{name}: {value} is out of range; {} to {}{unit} are accepted",
                self.least, self.most
            ));
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<IngestLimits, String> {
        let entries = Entries::from_value(&text.into()).expect("keys with values");
        IngestLimits::read(&entries)
    }

    #[test]
    fn keys_change_what_they_name_alone() {
        let limits = read("processes=500, body_bytes=1MiB,requests_per_s=0").expect("valid");
        let expected = IngestLimits {
            processes: 500,
            body_bytes: 1 << 20,
            requests_per_s: 0,
            ..IngestLimits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(read(""), Ok(IngestLimits::default()));
    }

    #[test]
    fn defaults_are_within_their_ranges() {
        let mut limits = IngestLimits::default();
        for limit in LIMITS {
            let value = *(limit.field)(&mut limits);
            assert!(
                (limit.least..=limit.most).contains(&value),
                "{}",
                limit.name
            );
        }
    }

    #[test]
    fn errors_name_key_value_and_what_is_accepted() {
        for (text, expected) in [
            ("procesess=5", "did you mean `processes`?"),
            (
                "body_bytes=1GiB",
                "body_bytes: \"1GiB\" is out of range; 4096 to 67108864 bytes",
            ),
            (
                "names=many",
                "names: \"many\" does not fit; expected a whole number",
            ),
            ("processes=0", "processes: \"0\" is out of range; 1 to"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
