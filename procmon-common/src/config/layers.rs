//! The layers, and the errors that say which of them is wrong.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::value::key_text;
use super::{Setting, Value};

const ENVIRONMENT_PREFIX: &str = "PROCMON_";

/// A configuration that cannot be used: where, which key, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// The keys of one program.
#[derive(Clone, Copy, Debug)]
pub struct KeySet {
    pub supported: &'static [&'static str],
    /// Keys with a meaning in the documentation that this version cannot give them: refused rather than ignored.
    pub unsupported: &'static [&'static str],
}

/// What each layer says, key by key.
#[derive(Debug)]
pub struct Layers {
    flags: BTreeMap<&'static str, Value>,
    environment: BTreeMap<&'static str, Value>,
    file: BTreeMap<String, Value>,
    path: Option<PathBuf>,
    misspelt: Vec<String>,
}

impl Layers {
    /// Reads the file and the environment. `flags` are the flags that were given, under the key they set; `path` is that
    /// of `--config`, else `PROCMON_CONFIG` is used, else there is no file.
    pub fn read(
        keys: &KeySet,
        flags: impl IntoIterator<Item = (&'static str, Value)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        path: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let environment: Vec<_> = environment.into_iter().collect();
        let misspelt = environment
            .iter()
            .filter_map(|(name, _)| misspelt(keys, name.to_str()?))
            .collect();
        let mut from_environment = None;
        let environment = read_environment(keys, environment, &mut from_environment)?;
        let path = path.map(Path::to_path_buf).or(from_environment);
        let file = match &path {
            Some(path) => read_file(keys, path)?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            flags: flags.into_iter().collect(),
            environment,
            file,
            path,
            misspelt,
        })
    }

    /// What to say of variables that nearly are keys. They cannot be errors: another program's may begin the same.
    pub fn misspelt(&self) -> &[String] {
        &self.misspelt
    }

    /// The value of a key from the highest layer that has it; `None` leaves the default to the caller.
    pub fn get<T: Setting>(&self, key: &'static str) -> Result<Option<T>, ConfigError> {
        self.get_checked(key, |_| Ok(()))
    }

    /// As [`Layers::get`], with a range: `check` says what is wrong with a value of the right type.
    pub fn get_checked<T: Setting>(
        &self,
        key: &'static str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.highest(key) else {
            return Ok(None);
        };
        let shown = if T::SECRET {
            "the value (not shown)".to_owned()
        } else {
            value.to_string()
        };
        let place = self.place(key);
        let typed = T::from_value(value).ok_or_else(|| {
            ConfigError(format!(
                "{place}: {shown} does not fit; expected {}",
                T::EXPECTED
            ))
        })?;
        check(&typed).map_err(|reason| ConfigError(format!("{place}: {shown} {reason}")))?;
        Ok(Some(typed))
    }

    /// Where the value of a key comes from: `--interval`, `PROCMON_INTERVAL`, `agent.yaml: interval`, or `default`.
    pub fn place(&self, key: &str) -> String {
        if self.flags.contains_key(key) {
            format!("--{}", key.replace('_', "-"))
        } else if self.environment.contains_key(key) {
            variable(key)
        } else if let (Some(path), true) = (&self.path, self.file.contains_key(key)) {
            format!("{}: {key}", path.display())
        } else {
            "default".to_owned()
        }
    }

    fn highest(&self, key: &str) -> Option<&Value> {
        self.flags
            .get(key)
            .or_else(|| self.environment.get(key))
            .or_else(|| self.file.get(key))
    }
}

fn variable(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.to_ascii_uppercase())
}

/// Takes the variables that are keys. Others with the prefix are left alone: an orchestrator sets some of its own
/// (Kubernetes: `PROCMON_SERVICE_HOST` for a service named procmon). An empty variable counts as not set.
fn read_environment(
    keys: &KeySet,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    path: &mut Option<PathBuf>,
) -> Result<BTreeMap<&'static str, Value>, ConfigError> {
    let mut values = BTreeMap::new();
    for (name, value) in environment {
        if value.is_empty() {
            continue;
        }
        if name == OsStr::new("PROCMON_CONFIG") {
            *path = Some(PathBuf::from(value));
            continue;
        }
        let is_variable_of = |key: &&&'static str| name == OsStr::new(&variable(key));
        if let Some(key) = keys.unsupported.iter().find(is_variable_of) {
            return Err(unsupported(&variable(key)));
        }
        if let Some(key) = keys.supported.iter().find(is_variable_of) {
            let text = value
                .into_string()
                .map_err(|_| ConfigError(format!("{}: not valid UTF-8", variable(key))))?;
            values.insert(*key, Value::Text(text));
        }
    }
    Ok(values)
}

/// A variable whose name is a letter or two from that of a key, and that of none.
fn misspelt(keys: &KeySet, name: &str) -> Option<String> {
    let key = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase();
    if name == "PROCMON_CONFIG" || keys.supported.iter().any(|known| variable(known) == name) {
        return None;
    }
    let is_near = |known: &&&str| edit_distance(&key, known) <= 1 + usize::from(known.len() > 6);
    let near = keys.supported.iter().find(is_near)?;
    let meant = variable(near);
    Some(format!(
        "{name} is not the name of a key, and is ignored; did you mean {meant}?"
    ))
}

fn unsupported(place: &str) -> ConfigError {
    ConfigError(format!("{place}: not supported by this version; remove it"))
}

/// Far more than any configuration needs. The parser's time grows faster than a nested text does.
const MAX_FILE_BYTES: u64 = 64 << 10;

fn read_file(keys: &KeySet, path: &Path) -> Result<BTreeMap<String, Value>, ConfigError> {
    let shown = path.display();
    // Read up to the limit: a device or a pipe tells no length.
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| {
            ConfigError(format!(
                "{shown}: cannot read the configuration file: {error}; check --config (and PROCMON_CONFIG), or leave it out: \
                 no file is required"
            ))
        })?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError(format!(
            "{shown}: too long for a configuration file (at most {MAX_FILE_BYTES} bytes); is it another file?"
        )));
    }
    let root: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text)
        .map_err(|error| ConfigError(format!("{shown}: not valid YAML: {error}")))?;
    let mapping = match root {
        serde_yaml_ng::Value::Null => return Ok(BTreeMap::new()),
        serde_yaml_ng::Value::Mapping(mapping) => mapping,
        _ => {
            return Err(ConfigError(format!(
                "{shown}: expected lines of `key: value`, for example `{}: …`",
                keys.supported[0]
            )));
        }
    };
    let mut values = BTreeMap::new();
    for (key, yaml) in mapping {
        let key = key_text(key);
        check_key(keys, path, &key)?;
        // `token:` with nothing after it is a key left blank, as if it was not there.
        if let Some(value) = Value::from_yaml(yaml) {
            values.insert(key, value);
        }
    }
    Ok(values)
}

fn check_key(keys: &KeySet, path: &Path, key: &str) -> Result<(), ConfigError> {
    if keys.supported.contains(&key) {
        return Ok(());
    }
    let place = format!("{}: {key}", path.display());
    if keys.unsupported.contains(&key) {
        return Err(unsupported(&place));
    }
    Err(ConfigError(format!(
        "{place}: {}",
        unknown_key(key, keys.supported)
    )))
}

/// What is wrong with a key that there is not: the nearest one that there is, and all others.
pub fn unknown_key(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .min_by_key(|candidate| edit_distance(key, candidate))
        .copied()
        .unwrap_or_default();
    format!(
        "unknown key; did you mean `{nearest}`? (all keys: {})",
        known.join(", ")
    )
}

/// Insertions, deletions and substitutions that turn one text into the other.
pub fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 0..to.len() {
            let substituted = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::edit_distance;

    #[test]
    fn distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("agent-id", "agent_id"), 1);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
