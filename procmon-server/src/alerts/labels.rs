//! What an alert is known by: its labels, as in Prometheus.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// Between names and values: no UTF-8 text has it.
const SEPARATOR: u8 = 0xff;

/// Names and values, sorted by name.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct LabelSet(BTreeMap<String, String>);

impl LabelSet {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// As [`Self::insert`], where there is a value: to Prometheus an empty label is none.
    pub fn insert_known(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.insert(name, value);
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.insert(name, value);
        self
    }

    /// Whether it has all labels of another one.
    pub fn contains(&self, other: &Self) -> bool {
        let mut pairs = other.iter();
        pairs.all(|(name, value)| self.get(name) == Some(value))
    }

    /// Sixteen hexadecimal digits: FNV-1a over names and values, the same number that Prometheus and Alertmanager compute of
    /// these labels.
    pub fn fingerprint(&self) -> String {
        let parts = self.iter().flat_map(|(name, value)| [name, value]);
        format!("{:016x}", hash_of(parts))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// Whether a label may be called so, in Prometheus too.
pub fn is_label_name(name: &str) -> bool {
    let mut letters = name.bytes();
    let first = letters.next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && !name.starts_with("__")
}

/// A number that stands for a text, the same in every version: for ids that are made of what they name.
pub(super) fn stable_hash(parts: &[&str]) -> u64 {
    hash_of(parts.iter().copied())
}

/// FNV-1a over texts, each ended by a separator.
fn hash_of<'a>(parts: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = parts.flat_map(|part| part.bytes().chain([SEPARATOR]));
    bytes.fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_prometheus() {
        // From model/signature_test.go of prometheus/common.
        let empty = LabelSet::default();
        assert_eq!(
            empty.fingerprint(),
            format!("{:016x}", 14_695_981_039_346_656_037_u64)
        );
        let labels: LabelSet = [("name", "garland, briggs"), ("fear", "love is not enough")]
            .into_iter()
            .collect();
        let expected = format!("{:016x}", 5_799_056_148_416_392_346_u64);
        assert_eq!(labels.fingerprint(), expected);
    }

    #[test]
    fn names() {
        for name in ["a", "_b1", "job"] {
            assert!(is_label_name(name), "{name}");
        }
        for name in ["", "1a", "a-b", "ü", "__name__"] {
            assert!(!is_label_name(name), "{name}");
        }
    }

    #[test]
    fn an_empty_label_is_none() {
        let mut labels = LabelSet::default().with("a", "1");
        labels.insert_known("b", Some(""));
        labels.insert_known("c", None);
        labels.insert_known("d", Some("2"));
        assert_eq!(labels.len(), 2);
        assert!(labels.contains(&LabelSet::default().with("d", "2")));
        assert!(!labels.contains(&LabelSet::default().with("d", "3")));
    }
}
