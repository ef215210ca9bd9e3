//! The form of a rule file, and the errors that say which rule is wrong and what to write instead.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

pub(super) const BUILTIN: &str = include_str!("builtin.yaml");

/// A rule file is small; a larger one is some other file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Of each kind of rule: all of them become one automaton that is kept in memory.
const MAX_RULES: usize = 1000;
/// Short words are in too much of what is harmless.
const MIN_NAME_LETTERS: usize = 3;

/// Rules as written. The built-in ones have the same form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RuleFile {
    pub(super) names: Vec<String>,
    pub(super) last_names: Vec<String>,
    pub(super) environment_names: Vec<String>,
    pub(super) query_names: Vec<String>,
    pub(super) tools: Vec<Tool>,
    pub(super) patterns: Vec<Pattern>,
    pub(super) exceptions: Exceptions,
}

/// What the short options of some commands mean.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) commands: Vec<String>,
    /// Only after one of these words; without any: always.
    #[serde(default)]
    pub(super) after: Vec<String>,
    /// The value is a secret: `-p SECRET`, `-pSECRET`, `--option=SECRET`.
    #[serde(default)]
    pub(super) options: Vec<String>,
    /// What follows in the same word is a secret; the next word is not.
    #[serde(default)]
    pub(super) attached: Vec<String>,
    /// The value is user, separator, secret.
    #[serde(default)]
    pub(super) user_options: Vec<String>,
    #[serde(default)]
    pub(super) user_separator: Option<char>,
    /// Words that are no options can be user, separator, secret.
    #[serde(default)]
    pub(super) user_words: bool,
    /// Of the words that are no options, after the command or the word of `after`, this one is a secret: the first is 1.
    #[serde(default)]
    pub(super) secret_word: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    pub(super) name: String,
    pub(super) regex: String,
    /// Texts that every match begins with, in any case of letters; the pattern is only tried there. Without: everywhere.
    #[serde(default)]
    pub(super) anchors: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Exceptions {
    pub(super) names: Vec<String>,
    pub(super) last_words: Vec<String>,
    pub(super) first_words: Vec<String>,
    /// Patterns, built-in ones too, that are switched off.
    pub(super) patterns: Vec<String>,
}

impl RuleFile {
    pub(super) fn builtin() -> Result<Self> {
        Self::parse(BUILTIN).context("the built-in rules")
    }

    /// The built-in rules and those of a file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        // Read up to the limit: a device or a pipe tells no length.
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
            .with_context(|| {
                format!("{shown}: cannot read the redaction rules; check redact_rules, or leave it out: built-in rules apply without it")
            })?;
        ensure!(
            text.len() as u64 <= MAX_FILE_BYTES,
            "{shown}: too long for redaction rules (at most {MAX_FILE_BYTES} bytes); is it another file?"
        );
        let added = Self::parse(&text).with_context(|| shown.to_string())?;
        let mut rules = Self::builtin()?;
        rules.add(added);
        rules.check_patterns().with_context(|| shown.to_string())?;
        Ok(rules)
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let parsed: Option<Self> = serde_yaml_ng::from_str(text).map_err(|error| {
            let line = line_of(&error, text);
            anyhow!("not valid redaction rules{line}: {error}; docs/redaction.md has the form")
        })?;
        let rules = parsed.unwrap_or_default();
        rules.check()?;
        Ok(rules)
    }

    fn add(&mut self, other: Self) {
        self.names.extend(other.names);
        self.last_names.extend(other.last_names);
        self.environment_names.extend(other.environment_names);
        self.query_names.extend(other.query_names);
        self.tools.extend(other.tools);
        self.patterns.extend(other.patterns);
        self.exceptions.names.extend(other.exceptions.names);
        self.exceptions
            .last_words
            .extend(other.exceptions.last_words);
        self.exceptions
            .first_words
            .extend(other.exceptions.first_words);
        self.exceptions.patterns.extend(other.exceptions.patterns);
    }

    fn check(&self) -> Result<()> {
        for (key, names) in self.lists() {
            ensure!(
                names.len() <= MAX_RULES,
                "{key}: {} entries are too many (at most {MAX_RULES}); join some into one pattern",
                names.len()
            );
            for name in names {
                check_name(key, name)?;
            }
        }
        ensure!(
            self.tools.len() <= MAX_RULES && self.patterns.len() <= MAX_RULES,
            "tools, patterns: at most {MAX_RULES} of each"
        );
        for (index, tool) in self.tools.iter().enumerate() {
            tool.check()
                .with_context(|| format!("tools, entry {}", index + 1))?;
        }
        for (index, pattern) in self.patterns.iter().enumerate() {
            pattern
                .check()
                .with_context(|| format!("patterns, entry {} ({})", index + 1, pattern.name))?;
        }
        Ok(())
    }

    /// Names of patterns are labels of counters, and what exceptions refer to.
    fn check_patterns(&self) -> Result<()> {
        let mut known = std::collections::BTreeSet::new();
        for pattern in &self.patterns {
            ensure!(
                known.insert(pattern.name.as_str()),
                "patterns: the name `{}` is taken; choose another one",
                pattern.name
            );
        }
        for name in &self.exceptions.patterns {
            ensure!(
                known.contains(name.as_str()),
                "exceptions.patterns: there is no pattern `{name}`; the patterns are {}",
                known.iter().copied().collect::<Vec<_>>().join(", ")
            );
        }
        Ok(())
    }

    fn lists(&self) -> [(&'static str, &[String]); 7] {
        [
            ("names", &self.names),
            ("last_names", &self.last_names),
            ("environment_names", &self.environment_names),
            ("query_names", &self.query_names),
            ("exceptions.names", &self.exceptions.names),
            ("exceptions.last_words", &self.exceptions.last_words),
            ("exceptions.first_words", &self.exceptions.first_words),
        ]
    }
}

/// The parser names no line for a wrong key at the top: then it is the line that begins with what the error quotes.
fn line_of(error: &serde_yaml_ng::Error, text: &str) -> String {
    let error = error.to_string();
    if error.contains("at line") {
        return String::new();
    }
    let quoted = error.split('`').nth(1).unwrap_or_default();
    let begins = |line: &str| !quoted.is_empty() && line.trim_start().starts_with(quoted);
    text.lines()
        .position(begins)
        .map_or_else(String::new, |index| format!(", line {}", index + 1))
}

fn check_name(key: &str, name: &str) -> Result<()> {
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric).count();
    let fits = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-');
    ensure!(
        fits && name.len() <= 64,
        "{key}: `{name}` is not a name; write words of small letters and digits, joined by dashes, as in `api-key`"
    );
    let shortest = if key.starts_with("exceptions") {
        1
    } else {
        MIN_NAME_LETTERS
    };
    ensure!(
        letters >= shortest,
        "{key}: `{name}` is too short ({MIN_NAME_LETTERS} letters at least): it would be found in harmless names"
    );
    Ok(())
}

impl Tool {
    fn check(&self) -> Result<()> {
        ensure!(
            !self.commands.is_empty(),
            "commands: name at least one command"
        );
        for command in &self.commands {
            ensure!(
                !command.is_empty()
                    && command.len() <= 64
                    && command
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && byte != b'/'),
                "commands: `{command}` is not the name of a command; write it without its folder, as in `mysql`"
            );
        }
        ensure!(
            self.secret_word
                .is_none_or(|place| (1..=16).contains(&place)),
            "secret_word: the place of a word after the command, from 1 to 16"
        );
        let options = [&self.options, &self.attached, &self.user_options];
        for option in options.into_iter().flatten() {
            ensure!(
                option.len() >= 2
                    && option.len() <= 64
                    && option.bytes().all(|byte| byte.is_ascii_graphic()),
                "`{option}` is not an option; write it with its dashes, as in `-p`"
            );
        }
        if let Some(separator) = self.user_separator {
            ensure!(
                separator.is_ascii_punctuation(),
                "user_separator: `{separator}` must be a punctuation mark"
            );
        }
        Ok(())
    }
}

impl Pattern {
    fn check(&self) -> Result<()> {
        let fits = self
            .name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if self.name.is_empty() || self.name.len() > 64 || !fits {
            bail!(
                "name: write small letters, digits and dashes: it names the counter of this pattern"
            );
        }
        for anchor in &self.anchors {
            ensure!(
                anchor.len() >= 2 && anchor.len() <= 64 && !anchor.contains('\0'),
                "anchors: `{anchor}` must have 2 to 64 bytes"
            );
        }
        Ok(())
    }
}
