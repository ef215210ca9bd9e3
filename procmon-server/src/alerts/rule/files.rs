//! Rules as code: YAML files in a folder, each with a list under `rules`. They are read again when a file is another one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use super::{Rule, RuleBody, Source};

/// Larger files are not rules that people write.
const MAX_FILE_BYTES: u64 = 4 << 20;
const MAX_FILES: usize = 1_000;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub path: PathBuf,
    pub message: String,
}

/// The files of a folder, as they were when they were read.
#[derive(Debug, Default)]
pub struct RuleFiles {
    seen: Vec<(PathBuf, Option<SystemTime>, u64)>,
    /// By file; of a file that became wrong, what it said before.
    rules: BTreeMap<PathBuf, Vec<Arc<Rule>>>,
    errors: Vec<FileError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBody {
    #[serde(default)]
    rules: Vec<Value>,
}

impl RuleFiles {
    /// Reads what changed; whether anything did.
    pub fn refresh(&mut self, folder: &Path) -> bool {
        let listed = match list(folder) {
            Ok(listed) => listed,
            Err(error) => {
                let errors = vec![error];
                let is_news = self.errors != errors;
                if is_news {
                    tell(&errors);
                    self.errors = errors;
                }
                self.seen.clear();
                return is_news;
            }
        };
        if listed == self.seen {
            return false;
        }
        self.seen = listed;
        self.errors.clear();
        let paths: Vec<PathBuf> = self.seen.iter().map(|(path, ..)| path.clone()).collect();
        self.rules.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(rules) => {
                    self.rules
                        .insert(path, rules.into_iter().map(Arc::new).collect());
                }
                Err(mut errors) => self.errors.append(&mut errors),
            }
        }
        self.errors.extend(twice(&self.rules));
        tell(&self.errors);
        true
    }

    /// Each id once.
    pub fn rules(&self) -> BTreeMap<String, Arc<Rule>> {
        let mut rules = BTreeMap::new();
        for rule in self.rules.values().flatten() {
            rules
                .entry(rule.id.clone())
                .or_insert_with(|| Arc::clone(rule));
        }
        rules
    }

    pub fn errors(&self) -> &[FileError] {
        &self.errors
    }
}

fn tell(errors: &[FileError]) {
    for FileError { path, message } in errors {
        tracing::error!("{}: {message}; what it said before stays", path.display());
    }
}

fn list(folder: &Path) -> Result<Vec<(PathBuf, Option<SystemTime>, u64)>, FileError> {
    let failed = |error: std::io::Error| FileError {
        path: folder.to_owned(),
        message: format!("cannot be read: {error}"),
    };
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml");
        // Through links: that is how Kubernetes shows files.
        let Ok(metadata) = std::fs::metadata(&path) else {
            continue;
        };
        if is_yaml && metadata.is_file() {
            listed.push((path, metadata.modified().ok(), metadata.len()));
        }
        if listed.len() > MAX_FILES {
            let message = format!("has more than {MAX_FILES} files");
            let path = folder.to_owned();
            return Err(FileError { path, message });
        }
    }
    listed.sort();
    Ok(listed)
}

/// The rules of a file, or everything that is wrong with it.
pub fn read(path: &Path) -> Result<Vec<Rule>, Vec<FileError>> {
    let wrong = |message: String| FileError {
        path: path.to_owned(),
        message,
    };
    let one = |message: String| vec![wrong(message)];
    let metadata = std::fs::metadata(path);
    if metadata.as_ref().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(one("is not a file".to_owned()));
    }
    if metadata.is_ok_and(|metadata| metadata.len() > MAX_FILE_BYTES) {
        return Err(one(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| one(format!("cannot be read: {error}")))?;
    let body: FileBody = serde_yaml_ng::from_str(&text).map_err(|error| {
        one(format!(
            "is not a file of rules ({error}); it has a list of them under rules:"
        ))
    })?;
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for (number, value) in (1..).zip(body.rules) {
        let name = value.get("name").and_then(Value::as_str).map(str::to_owned);
        let named = |mut body: RuleBody| {
            if body.id.is_none() {
                body.id = Some(id_of(path, &body.name));
            }
            Rule::new(body, Source::File(path.to_owned()))
        };
        match RuleBody::from_value(value).and_then(named) {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                let name = name.unwrap_or_else(|| "without a name".to_owned());
                errors.push(wrong(format!("rule {number} ({name}): {error}")));
            }
        }
    }
    if errors.is_empty() {
        return Ok(rules);
    }
    Err(errors)
}

/// Made of the file and the name: it stays the same when rules move within a file.
fn id_of(path: &Path, name: &str) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let slug = |text: &str| -> String {
        let letters = text.chars().map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '_'
            }
        });
        letters.take(31).collect()
    };
    format!("{}.{}", slug(&stem), slug(name))
}

/// Ids that more than one rule has.
fn twice(files: &BTreeMap<PathBuf, Vec<Arc<Rule>>>) -> Vec<FileError> {
    let mut first: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut errors = Vec::new();
    for (path, rules) in files {
        for rule in rules {
            match first.get(rule.id.as_str()) {
                None => {
                    first.insert(&rule.id, path);
                }
                Some(other) => errors.push(FileError {
                    path: path.clone(),
                    message: format!(
                        "a rule with the id {} is in {} too, and that one counts; give one of them another id",
                        rule.id,
                        other.display()
                    ),
                }),
            }
        }
    }
    errors
}

/// Checks files, and all files of folders: how many rules there are, and everything that is wrong.
pub fn check(paths: &[PathBuf]) -> (Vec<(PathBuf, usize)>, Vec<FileError>) {
    let (mut good, mut errors, mut rules) = (Vec::new(), Vec::new(), BTreeMap::new());
    for path in paths {
        let listed = if path.is_dir() {
            list(path).map(|listed| listed.into_iter().map(|(path, ..)| path).collect())
        } else {
            Ok(vec![path.clone()])
        };
        let files: Vec<PathBuf> = match listed {
            Ok(files) => files,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for file in files {
            match read(&file) {
                Ok(read) => {
                    good.push((file.clone(), read.len()));
                    rules.insert(file, read.into_iter().map(Arc::new).collect());
                }
                Err(mut wrong) => errors.append(&mut wrong),
            }
        }
    }
    errors.extend(twice(&rules));
    (good, errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "rules:\n- name: Busy\n  metric: cpu_percent\n  operator: '>'\n  threshold: 80\n  for: 1m\n\
                        - id: zed\n  name: Zombies\n  kind: zombie\n";

    #[test]
    fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("Web servers.yaml");
        std::fs::write(&path, GOOD).expect("written");
        std::fs::write(folder.path().join("notes.txt"), "no rules").expect("written");
        let mut files = RuleFiles::default();
        assert!(files.refresh(folder.path()));
        let ids = |files: &RuleFiles| files.rules().into_keys().collect::<Vec<_>>();
        assert_eq!(ids(&files), ["web_servers.busy", "zed"]);
        assert!(!files.refresh(folder.path()), "nothing changed");
        std::fs::write(&path, GOOD.replace("cpu_percent", "cpu")).expect("written");
        assert!(files.refresh(folder.path()));
        assert!(
            files.errors()[0]
                .message
                .contains("rule 1 (Busy): metric: ")
        );
        assert_eq!(ids(&files).len(), 2, "what it said before");
        std::fs::remove_file(&path).expect("removed");
        assert!(files.refresh(folder.path()));
        assert!(ids(&files).is_empty() && files.errors().is_empty());
        assert!(files.refresh(&folder.path().join("nowhere")));
        assert_eq!(files.errors().len(), 1);
    }

    #[test]
    fn a_check_tells_everything_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a.yml"), folder.path().join("b.yaml"));
        std::fs::write(&a, GOOD).expect("written");
        std::fs::write(
            &b,
            "rules:\n- name: x\n- name: y\n  kind: zombie\n  id: zed\n- 3\n",
        )
        .expect("written");
        let (good, errors) = check(&[folder.path().to_owned()]);
        assert_eq!(good, [(a.clone(), 2)]);
        assert_eq!(errors.len(), 2, "{errors:?}");
        std::fs::write(&b, "rules:\n- name: y\n  kind: zombie\n  id: zed\n").expect("written");
        let (good, errors) = check(&[a, b.clone()]);
        assert_eq!((good.len(), errors.len()), (2, 1));
        assert!(errors[0].message.contains("another id"), "{errors:?}");
        std::fs::write(&b, "groups: []\n").expect("written");
        let (_, errors) = check(&[b, "nowhere.yaml".into()]);
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
