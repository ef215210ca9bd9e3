//! Rules made ready: one automaton finds every place where a secret may begin, and says what to look at there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::{Context, Result, ensure};
use foldhash::fast::RandomState;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::rule_file::{self, RuleFile};

/// Compiled size of one pattern; `[a-z]{1000}{1000}` is an error, not a gigabyte.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;
/// What a pattern may cache while it runs.
const PATTERN_CACHE_LIMIT: usize = 256 << 10;

/// What a text found by the automaton stands for: an index into one of the lists of [`Rules`].
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Name(usize),
    EnvironmentName,
    QueryName,
    Command,
    Url,
    Dsn,
    Pattern(usize),
}

#[derive(Debug)]
pub(super) struct Name {
    /// Letters without what joins the words.
    pub(super) letters: usize,
    pub(super) only_last: bool,
    /// A value that is a path is the place of the secret, not the secret. Not so for passwords.
    pub(super) keeps_paths: bool,
}

#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) name: String,
    pub(super) regex: Regex,
    pub(super) has_group: bool,
}

#[derive(Debug)]
pub(super) struct Tool {
    pub(super) after: Vec<String>,
    pub(super) options: Vec<String>,
    pub(super) attached: Vec<String>,
    pub(super) user_options: Vec<String>,
    pub(super) user_separator: u8,
    pub(super) user_words: bool,
    pub(super) secret_word: Option<u32>,
}

type Words = HashSet<Vec<u8>, RandomState>;

#[derive(Debug)]
pub(super) struct Rules {
    pub(super) automaton: AhoCorasick,
    anchors: Vec<Anchor>,
    pub(super) names: Vec<Name>,
    pub(super) tools: Vec<Tool>,
    commands: HashMap<Vec<u8>, Vec<usize>, RandomState>,
    pub(super) patterns: Vec<Pattern>,
    /// Patterns without anchors: tried on every argv, after one pass that says whether any of them matches.
    pub(super) searched: RegexSet,
    pub(super) searched_patterns: Vec<usize>,
    pub(super) harmless_names: Vec<Vec<u8>>,
    pub(super) harmless_last_words: Words,
    pub(super) harmless_first_words: Words,
}

impl Rules {
    /// The built-in rules, and those of a file.
    pub(super) fn load(path: Option<&Path>) -> Result<Self> {
        let file = match path {
            Some(path) => RuleFile::read(path)?,
            None => RuleFile::builtin()?,
        };
        match path {
            Some(path) => Self::compile(file).with_context(|| path.display().to_string()),
            None => Self::compile(file),
        }
    }

    pub(super) fn compile(mut file: RuleFile) -> Result<Self> {
        let off = std::mem::take(&mut file.exceptions.patterns);
        file.patterns.retain(|pattern| !off.contains(&pattern.name));
        let mut anchors = Anchors::default();
        let names = anchors.names(&file);
        let commands = anchors.commands(&file.tools);
        let patterns = compile_patterns(&file.patterns)?;
        let searched_patterns = anchors.patterns(&file.patterns);
        anchors.add("://".into(), Anchor::Url);
        for network in ["@tcp(", "@unix("] {
            anchors.add(network.into(), Anchor::Dsn);
        }
        let searched = searched_patterns
            .iter()
            .map(|index| file.patterns[*index].regex.as_str());
        let searched = RegexSetBuilder::new(searched)
            .unicode(false)
            .dfa_size_limit(PATTERN_CACHE_LIMIT)
            .size_limit(PATTERN_SIZE_LIMIT * 4)
            .build()
            .context(
                "patterns: all patterns without anchors together are too large; give them anchors",
            )?;
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&anchors.texts)
            .context("the rules are too large for one automaton; remove some")?;
        let words = |list: Vec<String>| list.into_iter().map(String::into_bytes).collect();
        Ok(Self {
            automaton,
            anchors: anchors.meanings,
            names,
            tools: file.tools.into_iter().map(Tool::from).collect(),
            commands,
            patterns,
            searched,
            searched_patterns,
            harmless_names: file
                .exceptions
                .names
                .iter()
                .map(|name| joined(name))
                .collect(),
            harmless_last_words: words(file.exceptions.last_words),
            harmless_first_words: words(file.exceptions.first_words),
        })
    }

    pub(super) fn anchor(&self, found: &aho_corasick::Match) -> Anchor {
        self.anchors[found.pattern().as_usize()]
    }

    /// The rules for a command, by its name without the folder.
    pub(super) fn tools_of(&self, command: &[u8]) -> &[usize] {
        self.commands.get(command).map_or(&[], Vec::as_slice)
    }
}

impl From<rule_file::Tool> for Tool {
    fn from(tool: rule_file::Tool) -> Self {
        Self {
            after: tool.after,
            options: tool.options,
            attached: tool.attached,
            user_options: tool.user_options,
            user_separator: tool
                .user_separator
                .map_or(b':', |separator| separator as u8),
            user_words: tool.user_words,
            secret_word: tool.secret_word,
        }
    }
}

fn compile_patterns(patterns: &[rule_file::Pattern]) -> Result<Vec<Pattern>> {
    let compile = |pattern: &rule_file::Pattern| {
        let text = if pattern.anchors.is_empty() {
            pattern.regex.clone()
        } else {
            format!(r"\A(?:{})", pattern.regex)
        };
        let regex = RegexBuilder::new(&text)
            .unicode(false)
            .size_limit(PATTERN_SIZE_LIMIT)
            .dfa_size_limit(PATTERN_CACHE_LIMIT)
            .build()
            .with_context(|| {
                format!(
                    "patterns: `{}`: the regex cannot be used; write Rust regex syntax for bytes (no look-around, no back-references, \
                     no Unicode classes), or repeat less",
                    pattern.name
                )
            })?;
        ensure!(
            !regex.is_match(b""),
            "patterns: `{}`: the regex matches empty text, so it would be found everywhere; ask for at least one character",
            pattern.name
        );
        let has_group = regex
            .capture_names()
            .flatten()
            .any(|group| group == "secret");
        Ok(Pattern {
            name: pattern.name.clone(),
            regex,
            has_group,
        })
    };
    patterns.iter().map(compile).collect()
}

/// The texts of the automaton, and what each stands for.
#[derive(Default)]
struct Anchors {
    texts: Vec<String>,
    meanings: Vec<Anchor>,
}

impl Anchors {
    fn add(&mut self, text: String, meaning: Anchor) {
        self.texts.push(text);
        self.meanings.push(meaning);
    }

    fn names(&mut self, file: &RuleFile) -> Vec<Name> {
        let anywhere = file.names.iter().map(|name| (name, false));
        let last = file.last_names.iter().map(|name| (name, true));
        let mut names = Vec::new();
        for (name, only_last) in anywhere.chain(last) {
            for text in spellings(name) {
                self.add(text, Anchor::Name(names.len()));
            }
            let letters = joined(name).len();
            let keeps_paths = !name.contains("pass") && !name.contains("pwd");
            names.push(Name {
                letters,
                only_last,
                keeps_paths,
            });
        }
        for name in &file.environment_names {
            self.add(
                format!("_{}", name.replace('-', "_")),
                Anchor::EnvironmentName,
            );
        }
        for name in &file.query_names {
            for before in ["?", "&"] {
                self.add(format!("{before}{name}="), Anchor::QueryName);
            }
        }
        names
    }

    fn commands(&mut self, tools: &[rule_file::Tool]) -> HashMap<Vec<u8>, Vec<usize>, RandomState> {
        let mut commands: HashMap<Vec<u8>, Vec<usize>, RandomState> = HashMap::default();
        for (index, tool) in tools.iter().enumerate() {
            for command in &tool.commands {
                let rules = commands.entry(command.clone().into_bytes()).or_default();
                if rules.is_empty() {
                    self.add(command.clone(), Anchor::Command);
                }
                rules.push(index);
            }
        }
        commands
    }

    /// Those without anchors are left.
    fn patterns(&mut self, patterns: &[rule_file::Pattern]) -> Vec<usize> {
        let mut searched = Vec::new();
        for (index, pattern) in patterns.iter().enumerate() {
            for anchor in &pattern.anchors {
                self.add(anchor.clone(), Anchor::Pattern(index));
            }
            if pattern.anchors.is_empty() {
                searched.push(index);
            }
        }
        searched
    }
}

/// The ways to join the words of a name.
fn spellings(name: &str) -> Vec<String> {
    if !name.contains('-') {
        return vec![name.to_owned()];
    }
    ["", "-", "_", "."]
        .iter()
        .map(|join| name.replace('-', join))
        .collect()
}

fn joined(name: &str) -> Vec<u8> {
    name.bytes().filter(|byte| *byte != b'-').collect()
}
