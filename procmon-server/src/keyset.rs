//! Orders that pages follow: what rows are compared by, and how that is written into a cursor. A page goes on after the last
//! row of the one before by its values, so that what comes and goes in between moves nobody else.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::query::Value;

/// Of longer texts only the beginning counts: a cursor has to fit into a URL.
const TEXT_BYTES: usize = 256;
/// Longer ones were not written here.
const MAX_CURSOR_BYTES: usize = 16_384;

/// What rows are compared by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Key {
    Unknown,
    /// Written as its bits: a decimal that is not quite the same would skip or repeat rows.
    #[serde(with = "bits")]
    Number(f64),
    Text(Vec<u8>),
}

/// A key as it is found in a row, without a copy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyRef<'a> {
    Unknown,
    Number(f64),
    Text(&'a [u8]),
}

impl Key {
    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Unknown => KeyRef::Unknown,
            Self::Number(value) => KeyRef::Number(*value),
            Self::Text(bytes) => KeyRef::Text(bytes),
        }
    }
}

impl<'a> KeyRef<'a> {
    pub(crate) fn of(value: &'a Value<'_>) -> Self {
        match value {
            Value::Unknown | Value::Object | Value::Texts(_) => Self::Unknown,
            Value::Bool(value) => Self::Number(f64::from(*value)),
            Value::Int(value) | Value::Time(value) => Self::Number(*value as f64),
            Value::Double(value) => Self::Number(*value),
            Value::Ints(numbers) => numbers
                .iter()
                .min()
                .map_or(Self::Unknown, |number| Self::Number(f64::from(*number))),
            Value::Text(text) => Self::text(text.bytes()),
        }
    }

    pub(crate) fn text(bytes: &'a [u8]) -> Self {
        Self::Text(&bytes[..bytes.len().min(TEXT_BYTES)])
    }

    pub(crate) fn to_key(self) -> Key {
        match self {
            Self::Unknown => Key::Unknown,
            Self::Number(value) => Key::Number(value),
            Self::Text(bytes) => Key::Text(bytes.to_vec()),
        }
    }

    /// Unknown is last in either direction.
    pub(crate) fn compare(self, other: Self, descending: bool) -> Ordering {
        let ordering = match (self, other) {
            (Self::Unknown, Self::Unknown) => Ordering::Equal,
            (Self::Unknown, _) => return Ordering::Greater,
            (_, Self::Unknown) => return Ordering::Less,
            (Self::Number(a), Self::Number(b)) => a.total_cmp(&b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        };
        if descending {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// As clients see it.
pub(crate) fn to_cursor(content: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(content).unwrap_or_default())
}

/// `None` for what [`to_cursor`] did not write.
pub(crate) fn from_cursor<T: DeserializeOwned>(cursor: &str) -> Option<T> {
    if cursor.len() > MAX_CURSOR_BYTES {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    serde_json::from_slice(&json).ok()
}

mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}
