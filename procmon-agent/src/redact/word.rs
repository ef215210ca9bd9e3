//! Arguments and the words in them. An argument with spaces may be a shell command, so its words are told apart as a
//! shell would; one without is a single word.

use std::ops::Range;

/// Where the argument that holds `at` begins and ends. NULs end arguments; a title without NULs is one argument.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    pub(super) previous: Range<usize>,
    pub(super) current: Range<usize>,
    /// The current one has spaces.
    pub(super) spaced: bool,
}

impl Arguments {
    pub(super) fn of(args: &[u8]) -> Self {
        let current = 0..argument_end(args, 0);
        Self {
            previous: 0..0,
            spaced: has_space(&args[current.clone()]),
            current,
        }
    }

    /// Goes on to the argument that holds `at`, which is not before the current one.
    pub(super) fn advance(&mut self, args: &[u8], at: usize) {
        while at > self.current.end && self.next(args) {}
    }

    /// False after the last argument.
    pub(super) fn next(&mut self, args: &[u8]) -> bool {
        let start = self.current.end + 1;
        if start >= args.len() {
            return false;
        }
        self.previous = std::mem::replace(&mut self.current, start..argument_end(args, start));
        self.spaced = has_space(&args[self.current.clone()]);
        true
    }
}

pub(super) fn argument_end(args: &[u8], start: usize) -> usize {
    args[start..]
        .iter()
        .position(|byte| *byte == 0)
        .map_or(args.len(), |length| start + length)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`')
}

/// Ends a command of a shell.
pub(super) fn ends_command(byte: u8) -> bool {
    matches!(byte, b';' | b'|' | b'&' | b'\n' | b'(' | b')' | b'{' | b'}')
}

fn has_space(text: &[u8]) -> bool {
    text.iter().any(|byte| is_space(*byte))
}

/// The end of the shell word that begins at `start`: at a space or an operator outside quotes, or at `limit`.
pub(super) fn word_end(text: &[u8], start: usize, limit: usize) -> usize {
    let mut quote = None;
    let mut at = start;
    while at < limit {
        let byte = text[at];
        match quote {
            Some(b'\'') if byte == b'\'' => quote = None,
            Some(open) if open != b'\'' && byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            None if byte == b'\\' => at += 1,
            None if is_quote(byte) => quote = Some(byte),
            None if is_space(byte)
                || matches!(byte, b';' | b'|' | b'&' | b'(' | b')' | b'<' | b'>') =>
            {
                return at;
            }
            Some(_) | None => {}
        }
        at += 1;
    }
    limit
}

pub(super) fn skip_spaces(text: &[u8], start: usize, limit: usize) -> usize {
    let spaces = text[start.min(limit)..limit]
        .iter()
        .take_while(|byte| is_space(**byte));
    start.min(limit) + spaces.count()
}

/// A word without the quotes around all of it.
pub(super) fn unquoted(text: &[u8], word: Range<usize>) -> Range<usize> {
    let (Some(first), Some(last)) = (text[word.clone()].first(), text[word.clone()].last()) else {
        return word;
    };
    if word.len() >= 2 && first == last && is_quote(*first) {
        return word.start + 1..word.end - 1;
    }
    // An escaped quote, or one that was cut off.
    if is_quote(*first) {
        word.start + 1..word.end
    } else {
        word
    }
}
