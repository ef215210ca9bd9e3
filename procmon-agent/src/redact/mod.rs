//! Redaction: what looks like a secret in argv is replaced before it is kept anywhere. Pure but for reading the rule file.
//! An argv can only become part of an image as [`RedactedArgs`], and only [`Redactor`] makes those.
//!
//! `rules` makes one automaton of all rules; `scan` looks at what it finds: names (`name`, `value`, `harmless`), commands (`tool`), URLs
//! (`url`) and patterns. `yaml` knows block scalars. Time is linear in the length of argv. `word` knows arguments and shell words.

mod harmless;
mod name;
mod rule_file;
mod rules;
mod scan;
mod tool;
mod url;
mod value;
mod word;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};
use procmon_common::wire;
use prost::bytes::Bytes;

use rules::Rules;

/// What stands in place of a secret: `‹redacted›`.
pub const MARKER: &[u8] = "‹redacted›".as_bytes();

/// An argv that may be kept and sent: the number of arguments and their NULs are those of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactedArgs {
    bytes: Bytes,
    is_cut: bool,
}

impl RedactedArgs {
    /// What an agent has sent was redacted by it.
    pub fn from_sent(image: &wire::Image) -> Self {
        Self {
            bytes: image.args.clone(),
            is_cut: image.is_cut(),
        }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether the end is missing.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Keeps the beginning.
    pub fn cut(&mut self, max_bytes: usize) {
        if self.bytes.len() > max_bytes {
            // A copy: a slice would keep all of it in memory.
            self.bytes = Bytes::copy_from_slice(&self.bytes[..max_bytes]);
            self.is_cut = true;
        }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Redacts by the rules in force. Clones share rules and counters.
#[derive(Clone, Debug)]
pub struct Redactor {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// `None`: redaction is off.
    rules: RwLock<Option<Arc<Rules>>>,
    redactions: AtomicU64,
    by_rule: Mutex<BTreeMap<String, u64>>,
}

static BUILTIN: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::load(None).expect("the built-in rules are tested")));

/// Redacts by the built-in rules.
impl Default for Redactor {
    fn default() -> Self {
        let shared = Shared::default();
        *shared.rules.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&BUILTIN));
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Redactor {
    /// `rule_file` adds to the built-in rules.
    pub fn new(enabled: bool, rule_file: Option<&Path>) -> Result<Self> {
        let redactor = Self {
            shared: Arc::default(),
        };
        redactor.reload(enabled, rule_file)?;
        Ok(redactor)
    }

    /// Takes other rules for what is redacted from now on; on an error the rules stay as they are.
    pub fn reload(&self, enabled: bool, rule_file: Option<&Path>) -> Result<()> {
        // The file is read even if it is not used: an error in it is told when it is made.
        let rules = match rule_file {
            Some(path) => Arc::new(Rules::load(Some(path)).context("redact_rules")?),
            None => Arc::clone(&BUILTIN),
        };
        *self
            .shared
            .rules
            .write()
            .unwrap_or_else(PoisonError::into_inner) = enabled.then_some(rules);
        Ok(())
    }

    /// `args` as the kernel has them: each argument ended by NUL, or a title without, perhaps cut anywhere. `args_bytes` is
    /// their true length.
    pub fn redact(&self, args: &[u8], args_bytes: u64) -> RedactedArgs {
        RedactedArgs {
            bytes: self.redacted(args, None).unwrap_or_default(),
            is_cut: args_bytes > args.len() as u64,
        }
    }

    /// As [`Redactor::redact`], for an argv that may be the known one: `None` when it is, and nothing is counted again.
    pub fn redact_other(
        &self,
        known: &RedactedArgs,
        args: &[u8],
        args_bytes: u64,
    ) -> Option<RedactedArgs> {
        Some(RedactedArgs {
            bytes: self.redacted(args, Some(&known.bytes))?,
            is_cut: args_bytes > args.len() as u64,
        })
    }

    /// `None` when it is the known one.
    fn redacted(&self, args: &[u8], known: Option<&Bytes>) -> Option<Bytes> {
        let other = |args: &[u8]| known.is_none_or(|known| *known != args);
        let rules = self
            .shared
            .rules
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let secrets = rules
            .as_ref()
            .map_or_else(Vec::new, |rules| scan::secrets(rules, args));
        if secrets.is_empty() {
            return other(args).then(|| Bytes::copy_from_slice(args));
        }
        let redacted = spliced(args, &secrets);
        if !other(&redacted) {
            return None;
        }
        self.count(&secrets);
        Some(redacted.into())
    }

    /// Values replaced so far.
    pub fn redactions(&self) -> u64 {
        self.shared.redactions.load(Ordering::Relaxed)
    }

    /// The same by rule: `name`, `environment_name`, `tool_option`, `url_password`, `url_parameter`, and the names of
    /// patterns.
    pub fn redactions_by_rule(&self) -> BTreeMap<String, u64> {
        self.shared
            .by_rule
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, secrets: &[scan::Secret<'_>]) {
        self.shared
            .redactions
            .fetch_add(secrets.len() as u64, Ordering::Relaxed);
        let mut by_rule = self
            .shared
            .by_rule
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if let Some(count) = by_rule.get_mut(secret.rule) {
                *count += 1;
            } else {
                by_rule.insert(secret.rule.to_owned(), 1);
            }
        }
    }
}

fn spliced(args: &[u8], secrets: &[scan::Secret<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(args.len() + secrets.len() * MARKER.len());
    let mut kept_from = 0;
    for secret in secrets {
        out.extend_from_slice(&args[kept_from..secret.place.start]);
        out.extend_from_slice(MARKER);
        kept_from = secret.place.end;
    }
    out.extend_from_slice(&args[kept_from..]);
    out
}
