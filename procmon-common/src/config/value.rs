//! What a layer holds for one key, before the key's type is applied.

use std::fmt;

/// A value as written. Flags and environment variables are always text; a YAML scalar keeps its kind, so that `agent_id:
/// 007` is not silently another name.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Number(String),
    Bool(bool),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Value {
    /// The text of a scalar that was written as text or number; `None` for anything else.
    pub fn scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn from_yaml(yaml: serde_yaml_ng::Value) -> Option<Self> {
        use serde_yaml_ng::Value as Yaml;
        Some(match yaml {
            Yaml::Null => return None,
            Yaml::Bool(flag) => Self::Bool(flag),
            Yaml::Number(number) => Self::Number(number.to_string()),
            Yaml::String(text) => Self::Text(text),
            Yaml::Sequence(items) => {
                Self::List(items.into_iter().filter_map(Self::from_yaml).collect())
            }
            Yaml::Mapping(entries) => Self::Map(
                entries
                    .into_iter()
                    .filter_map(|(key, value)| Some((key_text(key), Self::from_yaml(value)?)))
                    .collect(),
            ),
            Yaml::Tagged(tagged) => return Self::from_yaml(tagged.value),
        })
    }
}

/// A mapping's key as text, whatever scalar it was.
pub(super) fn key_text(key: serde_yaml_ng::Value) -> String {
    match Value::from_yaml(key) {
        Some(value) => value.to_string().trim_matches('"').to_owned(),
        None => "null".to_owned(),
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// As an error message shows it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => f.write_str(number),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                f.write_str(&items.join(", "))
            }
            Self::Map(entries) => write!(f, "a mapping of {} keys", entries.len()),
        }
    }
}
