//! Where the value of a name is: after `=` or `:`, or the next word. Passwords may hold anything, so a value that is an argument
//! of its own goes to that argument's end; one in the middle of other text ends where that text's syntax ends it.

use std::ops::Range;

use super::harmless::{MAX_HARMLESS_BYTES, is_harmless};
use super::name::is_name_byte;
use super::word::{Arguments, argument_end, is_quote, is_space, skip_spaces, unquoted, word_end};
use super::yaml;

/// How far a separator is checked to be followed by `name=`.
const LOOK_AHEAD_BYTES: usize = 64;
/// How far before a name the word `set` is looked for.
const MAX_WORD_BYTES: usize = 128;

/// The value that belongs to the name, if it has one and that is no word such as `true`.
pub(super) fn of_name(
    args: &[u8],
    arguments: &Arguments,
    name: &Range<usize>,
) -> Option<Range<usize>> {
    let text = Text {
        args,
        arguments,
        name,
    };
    let value = text.assigned().or_else(|| text.next_word())?;
    (!is_harmless(&args[value.clone()]) && !text.is_variable(&value)).then_some(value)
}

/// The value of a parameter in a URL or a form.
pub(super) fn of_query(args: &[u8], start: usize, limit: usize) -> Option<Range<usize>> {
    let ends =
        |byte: &u8| matches!(byte, b'&' | b'#' | b'<' | b'>') || is_space(*byte) || is_quote(*byte);
    let end = args[start..limit]
        .iter()
        .position(ends)
        .map_or(limit, |length| start + length);
    (!is_harmless(&args[start..end])).then_some(start..end)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b',' | b';' | b'&') || is_space(byte)
}

struct Text<'a> {
    args: &'a [u8],
    arguments: &'a Arguments,
    name: &'a Range<usize>,
}

impl Text<'_> {
    fn argument(&self) -> &Range<usize> {
        &self.arguments.current
    }

    fn byte(&self, at: usize) -> Option<u8> {
        (at < self.argument().end).then(|| self.args[at])
    }

    fn before_name(&self) -> Option<u8> {
        (self.name.start > self.argument().start).then(|| self.args[self.name.start - 1])
    }

    fn before_on_line(&self) -> &[u8] {
        let before = &self.args[self.argument().start..self.name.start];
        &before[before.len().saturating_sub(MAX_WORD_BYTES)..]
    }

    fn is_option(&self) -> bool {
        self.args[self.name.start] == b'-'
    }

    /// After `=`, or after `:` where that assigns.
    fn assigned(&self) -> Option<Range<usize>> {
        let limit = self.argument().end;
        let closers = |byte: &&u8| is_quote(**byte) || matches!(**byte, b']' | b'\\');
        let closing = self.args[self.name.end..limit]
            .iter()
            .take(3)
            .take_while(closers)
            .count();
        let after_closers = self.name.end + closing;
        let at = skip_spaces(self.args, after_closers, limit.min(after_closers + 2));
        match self.byte(at)? {
            b'=' => {
                // `=`, `==`, `=>`.
                let more = self
                    .byte(at + 1)
                    .is_some_and(|byte| matches!(byte, b'=' | b'>'));
                let start = at + 1 + usize::from(more);
                if at > self.name.end || self.byte(start).is_some_and(is_space) {
                    let start = skip_spaces(self.args, start, limit.min(start + 2));
                    return Some(self.embedded(start));
                }
                Some(self.after_equals(start))
            }
            b':' if self.byte(at + 1) == Some(b'=') => {
                Some(self.embedded(skip_spaces(self.args, at + 2, limit.min(at + 4))))
            }
            b'>' if matches!(self.before_name(), Some(b'<' | b':')) => self.element(at + 1),
            b':' => self.after_colon(at + 1, closing > 0),
            _ => None,
        }
    }

    fn after_equals(&self, start: usize) -> Range<usize> {
        let limit = self.argument().end;
        let first = self.name.start == self.argument().start;
        let of_option =
            self.args[self.argument().start] == b'-' && self.before_name() == Some(b'=');
        if matches!(self.before_name(), Some(b'?' | b'&')) {
            return of_query(self.args, start, limit).unwrap_or(start..start);
        }
        if self.before_name() == Some(b';') && !self.is_script() && self.quoted(start).is_none() {
            // A connection string: only the next `;` ends it.
            let ends = |byte: &u8| *byte == b';' || is_quote(*byte);
            return start
                ..self.args[start..limit]
                    .iter()
                    .position(ends)
                    .map_or(limit, |length| start + length);
        }
        if self.is_script() || !(first || of_option) {
            return self.embedded(start);
        }
        if first && self.is_option() {
            return start..limit;
        }
        if let Some(quoted) = self.quoted(start)
            && (quoted.end + 1 >= limit || is_separator(self.args[quoted.end + 1]))
        {
            return quoted;
        }
        // NAME=all the rest, unless more assignments follow: `password=x host=y`.
        let end = (start..limit)
            .find(|at| self.separates(*at))
            .unwrap_or(limit);
        self.without_scheme(start..end)
    }

    /// An argument that a shell will read: what follows `-c`.
    fn is_script(&self) -> bool {
        let previous = &self.args[self.arguments.previous.clone()];
        previous.len() <= 6 && previous.starts_with(b"-") && previous.ends_with(b"c")
    }

    /// A separator with another `name=` behind it.
    fn separates(&self, at: usize) -> bool {
        if !is_separator(self.args[at]) {
            return false;
        }
        let limit = self.argument().end.min(at + 1 + LOOK_AHEAD_BYTES);
        let next = skip_spaces(self.args, at + 1, limit);
        let name = self.args[next..limit]
            .iter()
            .take_while(|byte| is_name_byte(**byte))
            .count();
        // Connection strings have names of two words: `User Id=`.
        let end = skip_spaces(self.args, next + name, limit.min(next + name + 1));
        let second = self.args[end..limit]
            .iter()
            .take_while(|byte| is_name_byte(**byte))
            .count();
        (name > 0 && self.byte(end + second) == Some(b'='))
            || (self.args[at] == b';' && next == self.argument().end)
    }

    /// A value in the middle of other text.
    fn embedded(&self, start: usize) -> Range<usize> {
        let limit = self.argument().end;
        if let Some(quoted) = self.quoted(start) {
            let goes_on = self.is_script() && self.shell_word_goes_on(quoted.end + 1);
            return if goes_on {
                start..word_end(self.args, start, limit)
            } else {
                quoted
            };
        }
        if self.args[start..limit].starts_with(b"$(") {
            return start..start;
        }
        let ends = |at: &usize| {
            let byte = self.args[*at];
            is_space(byte) || is_quote(byte) || byte == b';' || self.separates(*at)
        };
        let end = (start..limit).find(ends).unwrap_or(limit);
        // The quote that ends it may be escaped.
        let escaped = end > start && end < limit && self.args[end - 1] == b'\\';
        if escaped && is_space(self.args[end]) && self.is_script() {
            return start..word_end(self.args, start, limit).max(end);
        }
        start..end - usize::from(escaped)
    }

    /// What stands behind the quote that closes a value: `'a'\''b'` is one word of a shell.
    fn shell_word_goes_on(&self, after: usize) -> bool {
        self.byte(after).is_some_and(|byte| {
            is_quote(byte) || byte.is_ascii_alphanumeric() || matches!(byte, b'\\' | b'$')
        })
    }

    /// `<password>…</password>`.
    fn element(&self, start: usize) -> Option<Range<usize>> {
        let text = &self.args[start..self.argument().end];
        let text = &text[..text
            .iter()
            .position(|byte| *byte == b'<')
            .unwrap_or(text.len())];
        let is_blank = text.iter().all(|byte| is_space(*byte));
        (!is_blank).then(|| start..start + text.len())
    }

    /// `"…"`, `'…'` and `\"…\"`: what is inside.
    fn quoted(&self, start: usize) -> Option<Range<usize>> {
        let limit = self.argument().end;
        let escaped = self.byte(start) == Some(b'\\');
        let open = self
            .byte(start + usize::from(escaped))
            .filter(|byte| is_quote(*byte))?;
        let inside = start + usize::from(escaped) + 1;
        let mut at = inside;
        while at < limit {
            if self.args[at] == open {
                return Some(inside..at);
            }
            if self.args[at] == b'\\' {
                if escaped && self.byte(at + 1) == Some(open) {
                    return Some(inside..at);
                }
                at += 1;
            }
            at += 1;
        }
        Some(inside..limit)
    }

    /// Headers (`X-Api-Key: …`), YAML, JSON, `/password:…`.
    fn after_colon(&self, start: usize, name_was_quoted: bool) -> Option<Range<usize>> {
        let limit = self.argument().end;
        let before = self.before_name();
        let spaced = skip_spaces(self.args, start, limit);
        if name_was_quoted
            || self
                .byte(start)
                .is_some_and(|byte| is_quote(byte) || byte == b'\\')
        {
            return Some(self.json_value(spaced));
        }
        let slashed = before == Some(b'/') && self.name.start == self.argument().start + 1;
        let of_header = self.follows_header_option() || self.is_header();
        let begins = of_header || slashed || yaml::begins_entry(self.before_on_line());
        if !begins || !(spaced > start || self.is_option() || of_header || slashed) {
            return None;
        }
        let quote = before.filter(|byte| is_quote(*byte));
        let ends = |byte: &u8| *byte == b'\n' || Some(*byte) == quote;
        let end = self.args[spaced..limit]
            .iter()
            .position(ends)
            .map_or(limit, |length| spaced + length);
        if let Some(quoted) = self.quoted(spaced) {
            return Some(quoted);
        }
        if yaml::opens_block(&self.args[spaced..end]) {
            let (start, name) = (self.argument().start, self.name.start);
            return yaml::block(self.args, start..limit, name, end);
        }
        Some(self.without_scheme(spaced..end))
    }

    /// `Authorization:…` and `X-Api-Key:…` as an argument of its own.
    fn is_header(&self) -> bool {
        let name = &self.args[self.name.clone()];
        let begins = |start: &[u8]| {
            name.get(..start.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(start))
        };
        self.before_name().is_none()
            && (begins(b"x-") || begins(b"authorization") || begins(b"proxy-authorization"))
    }

    fn json_value(&self, start: usize) -> Range<usize> {
        if let Some(quoted) = self.quoted(start) {
            return quoted;
        }
        let limit = self.argument().end;
        let ends =
            |byte: &u8| is_space(*byte) || is_quote(*byte) || matches!(byte, b',' | b'}' | b']');
        start
            ..self.args[start..limit]
                .iter()
                .position(ends)
                .map_or(limit, |length| start + length)
    }

    /// `-H X-Api-Key:…`, `--header=X-Api-Key:…`, with a quote or without.
    fn follows_header_option(&self) -> bool {
        let before = &self.args[..self.name.start];
        let junk = |byte: &u8| *byte == 0 || *byte == b'=' || is_quote(*byte) || is_space(*byte);
        let end = before
            .iter()
            .rposition(|byte| !junk(byte))
            .map_or(0, |last| last + 1);
        let option = &before[..end];
        self.name.start - end <= 3 && (option.ends_with(b"-H") || option.ends_with(b"header"))
    }

    /// `Authorization: Bearer …` keeps the scheme.
    fn without_scheme(&self, value: Range<usize>) -> Range<usize> {
        const SCHEMES: [&[u8]; 9] = [
            b"bearer",
            b"basic",
            b"digest",
            b"token",
            b"negotiate",
            b"apikey",
            b"ntlm",
            b"splunk",
            b"bot",
        ];
        let text = &self.args[value.clone()];
        let word = text
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        if text.get(word) == Some(&b' ')
            && SCHEMES
                .iter()
                .any(|scheme| text[..word].eq_ignore_ascii_case(scheme))
        {
            return skip_spaces(self.args, value.start + word, value.end)..value.end;
        }
        value
    }

    /// `--password X`, `set password X`: the name ends a word, and the value is the next one.
    fn next_word(&self) -> Option<Range<usize>> {
        let argument = self.argument();
        if !(self.is_option() && self.before_name().is_none_or(is_space) || self.follows_set()) {
            return None;
        }
        let value = match self.byte(self.name.end) {
            None => {
                let start = argument.end + 1;
                (start < self.args.len()).then(|| start..argument_end(self.args, start))?
            }
            Some(byte) if is_space(byte) => {
                let start = skip_spaces(self.args, self.name.end, argument.end);
                unquoted(self.args, start..word_end(self.args, start, argument.end))
            }
            Some(_) => return None,
        };
        (!self.args[value.clone()].starts_with(b"-")).then_some(value)
    }

    /// `aws configure set aws_secret_access_key …`, `npm config set //registry/:_authToken …`.
    fn follows_set(&self) -> bool {
        let apart = |byte: &u8| is_space(*byte) || *byte == 0;
        let before = &self.args[self.name.start.saturating_sub(MAX_WORD_BYTES)..self.name.start];
        let word = before.iter().rposition(apart).map_or(0, |last| last + 1);
        let end = before[..word]
            .iter()
            .rposition(|byte| !apart(byte))
            .map_or(0, |last| last + 1);
        let start = before[..end]
            .iter()
            .rposition(apart)
            .map_or(0, |last| last + 1);
        before[start..end].eq_ignore_ascii_case(b"set")
    }

    /// `$PASSWORD` where a shell will read it: the name of the secret, not the secret.
    fn is_variable(&self, value: &Range<usize>) -> bool {
        let read_by_a_shell = self.is_script() || self.arguments.spaced;
        if !read_by_a_shell || value.len() > MAX_HARMLESS_BYTES {
            return false;
        }
        let value = &self.args[unquoted(self.args, value.clone())];
        let Some(name) = value.strip_prefix(b"$") else {
            return false;
        };
        let name = name
            .strip_prefix(b"{")
            .and_then(|name| name.strip_suffix(b"}"))
            .unwrap_or(name);
        name.starts_with(b"(")
            || (!name.is_empty()
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
    }
}
