//! Whether a name is that of a secret: `--db-password` is, `--password-file`, `--tokenizer` and `--no-password` are not.

use std::ops::Range;

use super::rules::{Name, Rules};

/// No name of an option or variable is longer; looking further would cost time on text that is none.
const MAX_NAME_BYTES: usize = 128;
/// A term this long may be the end of a longer word: `PGPASSWORD`, but not `compass`.
const ENDS_A_WORD_FROM: usize = 5;

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The whole name around a part of it.
pub(super) fn expand(text: &[u8], part: Range<usize>, within: &Range<usize>) -> Range<usize> {
    let before = &text[within.start.max(part.start.saturating_sub(MAX_NAME_BYTES))..part.start];
    let after = &text[part.end..within.end.min(part.end + MAX_NAME_BYTES)];
    let left = before
        .iter()
        .rev()
        .take_while(|byte| is_name_byte(**byte))
        .count();
    let right = after.iter().take_while(|byte| is_name_byte(**byte)).count();
    part.start - left..part.end + right
}

/// `found` is where the term stands in the name.
pub(super) fn is_secret(rules: &Rules, term: &Name, name: &[u8], found: &Range<usize>) -> bool {
    let begins_word = is_boundary(name, found.start);
    if !is_boundary(name, found.end) || !(begins_word || term.letters >= ENDS_A_WORD_FROM) {
        return false;
    }
    let goes_on = name[found.end..].iter().any(u8::is_ascii_alphabetic);
    if goes_on && (term.only_last || rules.harmless_last_words.contains(&last_word(name))) {
        return false;
    }
    !is_harmless(rules, name)
}

/// `STRIPE_KEY`: capital letters, and more than one word. `-e` and `-D` may stand before it.
pub(super) fn is_secret_variable(rules: &Rules, name: &[u8]) -> bool {
    let bare = name
        .strip_prefix(b"-e")
        .or_else(|| name.strip_prefix(b"-D"))
        .unwrap_or(name);
    let capital = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    bare.first().is_some_and(u8::is_ascii_uppercase)
        && bare.iter().all(capital)
        && !is_harmless(rules, bare)
}

fn is_harmless(rules: &Rules, name: &[u8]) -> bool {
    // The directory that a shell is in has the name of a password.
    if name == b"PWD" || rules.harmless_first_words.contains(&first_word(name)) {
        return true;
    }
    let letters: Vec<u8> = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    rules
        .harmless_names
        .iter()
        .any(|harmless| letters.ends_with(harmless))
}

/// Whether a word begins or ends at this position.
fn is_boundary(name: &[u8], at: usize) -> bool {
    let (Some(before), Some(after)) = (at.checked_sub(1).and_then(|at| name.get(at)), name.get(at))
    else {
        return true;
    };
    if !before.is_ascii_alphabetic() || !after.is_ascii_alphabetic() {
        return true;
    }
    let next_is_small = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    // dbPassword, DBPassword.
    after.is_ascii_uppercase() && (before.is_ascii_lowercase() || next_is_small)
}

fn last_word(name: &[u8]) -> Vec<u8> {
    let end = name
        .iter()
        .rposition(u8::is_ascii_alphabetic)
        .map_or(0, |last| last + 1);
    let begins = |at: &usize| is_boundary(name, *at);
    let start = (0..end).rev().find(begins).unwrap_or(0);
    name[start..end].to_ascii_lowercase()
}

fn first_word(name: &[u8]) -> Vec<u8> {
    let start = name
        .iter()
        .position(u8::is_ascii_alphabetic)
        .unwrap_or(name.len());
    let ends = |at: &usize| is_boundary(name, *at);
    let end = (start + 1..name.len()).find(ends).unwrap_or(name.len());
    name[start..end].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (name, first, last) in [
            ("--db-password2", "db", "password"),
            ("clientSecret", "client", "secret"),
            ("DBPassword", "db", "password"),
            ("AWS_SECRET_ACCESS_KEY", "aws", "key"),
            ("x", "x", "x"),
            ("--", "", ""),
            ("", "", ""),
        ] {
            assert_eq!(first_word(name.as_bytes()), first.as_bytes(), "{name}");
            assert_eq!(last_word(name.as_bytes()), last.as_bytes(), "{name}");
        }
    }
}
