//! The types a key can have, and what each accepts.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::Value;
use super::quantity::{parse_byte_size, parse_duration};

/// A type that a key can have. A program adds its own for its enumerations.
pub trait Setting: Sized {
    /// What is accepted, with an example; completes the sentence "expected …".
    const EXPECTED: &'static str;
    /// Never shown, in an error message neither.
    const SECRET: bool = false;

    /// `None` when the value is not of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl Setting for String {
    const EXPECTED: &'static str =
        "text, for example web-1 (in YAML a number or true/false needs quotes: \"42\")";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }
}

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path, for example /var/lib/procmon";

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).map(Self::from)
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Some(true),
                "false" | "off" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number, for example 7200";

    fn from_value(value: &Value) -> Option<Self> {
        value.scalar()?.trim().parse().ok()
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str =
        "a duration with its unit, for example 250ms, 15s, 1h30m or 7d (0 is written 0)";

    fn from_value(value: &Value) -> Option<Self> {
        parse_duration(value.scalar()?)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl Setting for ByteSize {
    const EXPECTED: &'static str = "a size, for example 256MiB, 1GB or a number of bytes";

    fn from_value(value: &Value) -> Option<Self> {
        parse_byte_size(value.scalar()?).map(Self)
    }
}

/// Where to listen. Without a host (`:8080`) it is every IPv4 address, as in Go.
impl Setting for SocketAddr {
    const EXPECTED: &'static str =
        "address:port, for example 127.0.0.1:8080, [::1]:8080 or :8080 for every address";

    fn from_value(value: &Value) -> Option<Self> {
        let Value::Text(text) = value else {
            return None;
        };
        let text = text.trim();
        let (host, port) = text.rsplit_once(':')?;
        match host {
            "" => Some(Self::from((Ipv4Addr::UNSPECIFIED, port.parse().ok()?))),
            "localhost" => Some(Self::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
            _ => text.parse().ok(),
        }
    }
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "text (in YAML a number needs quotes)";
    const SECRET: bool = true;

    fn from_value(value: &Value) -> Option<Self> {
        String::from_value(value).map(Self)
    }
}

/// Keys with values of their own below one key, which the program reads one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries(pub Vec<(String, Value)>);

impl Setting for Entries {
    const EXPECTED: &'static str =
        "keys with values, for example `a=1,b=2MiB`, or in YAML an indented line `a: 1` for each";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => text
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
                .map(|pair| split_pair(pair).map(|(key, value)| (key, Value::Text(value))))
                .collect::<Option<_>>()
                .map(Self),
            Value::Map(entries) => Some(Self(entries.clone())),
            _ => None,
        }
    }
}

/// Names and values that an operator gives a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub BTreeMap<String, String>);

const MAX_LABELS: usize = 64;
const MAX_LABEL_NAME: usize = 64;
const MAX_LABEL_VALUE: usize = 256;

impl Labels {
    fn collect(pairs: impl Iterator<Item = Option<(String, String)>>) -> Option<Self> {
        let labels = pairs.collect::<Option<BTreeMap<_, _>>>()?;
        let valid = labels.len() <= MAX_LABELS && labels.iter().all(valid_label);
        valid.then_some(Self(labels))
    }
}

fn valid_label((name, value): (&String, &String)) -> bool {
    (1..=MAX_LABEL_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte))
        && value.len() <= MAX_LABEL_VALUE
        && !value.chars().any(char::is_control)
}

fn split_pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

impl Setting for Labels {
    const EXPECTED: &'static str = "names with values, for example `team=core,env=prod`, or in YAML `{team: core}`; names of \
         letters, digits and _.-/, at most 64 of them";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Self::collect(
                text.split(',')
                    .filter(|pair| !pair.trim().is_empty())
                    .map(split_pair),
            ),
            Value::List(items) => Self::collect(items.iter().map(|item| match item {
                Value::Text(pair) => split_pair(pair),
                _ => None,
            })),
            Value::Map(entries) => Self::collect(entries.iter().map(|(name, value)| match value {
                Value::Text(text) => Some((name.clone(), text.clone())),
                _ => None,
            })),
            _ => None,
        }
    }
}

/// A list of words: separated by commas, or a YAML list.
impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list, for example `a,b` or in YAML `[a, b]`";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(
                text.split(',')
                    .map(|word| word.trim().to_owned())
                    .filter(|word| !word.is_empty())
                    .collect(),
            ),
            Value::List(items) => items.iter().map(String::from_value).collect(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_addresses() {
        for (text, expected) in [
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:9", "[::1]:9"),
        ] {
            let address = SocketAddr::from_value(&text.into()).expect(text);
            assert_eq!(address.to_string(), expected);
        }
        for bad in ["8080", ":", ":99999", "example.org:80", "127.0.0.1", "*:80"] {
            assert_eq!(SocketAddr::from_value(&bad.into()), None, "{bad}");
        }
    }

    #[test]
    fn labels_are_written_three_ways() {
        let expected = Labels(BTreeMap::from([
            ("env".to_owned(), "prod".to_owned()),
            ("team".to_owned(), "core".to_owned()),
        ]));
        let list = Value::List(vec!["team=core".into(), "env=prod".into()]);
        let map = Value::Map(vec![
            ("team".to_owned(), "core".into()),
            ("env".to_owned(), "prod".into()),
        ]);
        for value in ["team=core, env=prod".into(), list, map] {
            assert_eq!(
                Labels::from_value(&value),
                Some(expected.clone()),
                "{value}"
            );
        }
        for bad in ["team", "=x", "a b=c", "a=\u{7}"] {
            assert_eq!(Labels::from_value(&bad.into()), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_hides_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "(secret)");
    }
}
