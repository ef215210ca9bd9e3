//! Where the value of a name is: after `=` or `:`, or the next word. Passwords may hold anything, so a value that is an argument
//! of its own goes to that argument's end; one in the middle of other text ends where that text's syntax ends it.

use std::ops::Range;

use super::MARKER;
use super::name::is_name_byte;
use super::word::{Arguments, argument_end, has_space, is_quote, is_space, skip_spaces, unquoted, word_end};

/// How far a separator is checked to be followed by `name=`.
const LOOK_AHEAD_BYTES: usize = 64;

/// The value that belongs to the name, if it has one and that is no word such as `true`.
pub(super) fn of_name(args: &[u8], arguments: &Arguments, name: &Range<usize>) -> Option<Range<usize>> {
    let text = Text { args, arguments, name };
    let value = text.assigned().or_else(|| text.next_word())?;
    (!is_harmless(&args[value.clone()]) && !text.is_variable(&value)).then_some(value)
}

/// The value of a parameter in a URL or a form.
pub(super) fn of_query(args: &[u8], start: usize, limit: usize) -> Option<Range<usize>> {
    let ends = |byte: &u8| matches!(byte, b'&' | b'#' | b'<' | b'>') || is_space(*byte) || is_quote(*byte);
    let end = args[start..limit].iter().position(ends).map_or(limit, |length| start + length);
    (!is_harmless(&args[start..end])).then_some(start..end)
}

/// Nothing that is worth hiding: empty, a switch, one digit, standard input, or hidden already.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    const SWITCHES: [&[u8]; 8] = [b"true", b"false", b"yes", b"no", b"on", b"off", b"none", b"null"];
    value.is_empty()
        || value == b"-"
        || (value.len() == 1 && value[0].is_ascii_digit())
        || value.starts_with(MARKER)
        || SWITCHES.iter().any(|switch| value.eq_ignore_ascii_case(switch))
        || value.starts_with(b"file:/")
        || value.starts_with(b"@/")
        || value.starts_with(b"env:")
}

/// A path that says where a key is. Secrets in base64 may begin with a slash, so it must look like a place.
pub(super) fn is_path(value: &[u8]) -> bool {
    const PLACES: [&[u8]; 22] = [
        b"etc", b"var", b"home", b"root", b"run", b"usr", b"opt", b"tmp", b"mnt", b"srv", b"data", b"secrets", b"vault", b"app",
        b"proc", b"dev", b"keys", b"certs", b"config", b"conf", b"nix", b"snap",
    ];
    const ENDINGS: [&[u8]; 10] =
        [b".pem", b".key", b".crt", b".json", b".yaml", b".yml", b".txt", b".jks", b".p12", b".pub"];
    let head = &value[..value.len().min(256)];
    if [&b"./"[..], b"../", b"~/"].iter().any(|start| head.starts_with(start)) {
        return true;
    }
    let plain = |byte: &u8| is_name_byte(*byte) || *byte == b'/';
    if !head.iter().all(plain) {
        return false;
    }
    let first = head.strip_prefix(b"/").and_then(|rest| rest.split(|byte| *byte == b'/').next());
    first.is_some_and(|first| PLACES.contains(&first)) || ENDINGS.iter().any(|ending| head.ends_with(ending))
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

    fn is_option(&self) -> bool {
        self.args[self.name.start] == b'-'
    }

    /// After `=`, or after `:` where that assigns.
    fn assigned(&self) -> Option<Range<usize>> {
        let limit = self.argument().end;
        let closers = |byte: &&u8| is_quote(**byte) || matches!(**byte, b']' | b'\\');
        let closing = self.args[self.name.end..limit].iter().take(3).take_while(closers).count();
        let after_closers = self.name.end + closing;
        let at = skip_spaces(self.args, after_closers, limit.min(after_closers + 2));
        match self.byte(at)? {
            b'=' => {
                // `=`, `==`, `=>`.
                let more = self.byte(at + 1).is_some_and(|byte| matches!(byte, b'=' | b'>'));
                let start = at + 1 + usize::from(more);
                if at > self.name.end || self.byte(start).is_some_and(is_space) {
                    let start = skip_spaces(self.args, start, limit.min(start + 2));
                    return Some(self.embedded(start));
                }
                Some(self.after_equals(start))
            }
            b':' if self.byte(at + 1) == Some(b'=') => Some(self.embedded(at + 2)),
            b':' => self.after_colon(at + 1, closing > 0),
            _ => None,
        }
    }

    fn after_equals(&self, start: usize) -> Range<usize> {
        let limit = self.argument().end;
        let first = self.name.start == self.argument().start;
        let of_option = self.args[self.argument().start] == b'-' && self.before_name() == Some(b'=');
        if matches!(self.before_name(), Some(b'?' | b'&')) {
            return of_query(self.args, start, limit).unwrap_or(start..start);
        }
        if self.is_script() || !(first || of_option) {
            return self.embedded(start);
        }
        if first && self.is_option() {
            return start..limit;
        }
        // NAME=all the rest, unless more assignments follow: `password=x host=y`.
        let end = (start..limit).find(|at| self.separates(*at)).unwrap_or(limit);
        self.without_scheme(start..end)
    }

    /// An argument that a shell will read: what follows `-c`.
    fn is_script(&self) -> bool {
        let previous = &self.args[self.arguments.previous.clone()];
        previous.len() <= 6 && previous.starts_with(b"-") && previous.ends_with(b"c")
    }

    /// A separator with another `name=` behind it.
    fn separates(&self, at: usize) -> bool {
        if !(matches!(self.args[at], b',' | b';' | b'&') || is_space(self.args[at])) {
            return false;
        }
        let limit = self.argument().end.min(at + 1 + LOOK_AHEAD_BYTES);
        let next = skip_spaces(self.args, at + 1, limit);
        let name = self.args[next..limit].iter().take_while(|byte| is_name_byte(**byte)).count();
        // Connection strings have names of two words: `User Id=`.
        let end = skip_spaces(self.args, next + name, limit.min(next + name + 1));
        let second = self.args[end..limit].iter().take_while(|byte| is_name_byte(**byte)).count();
        (name > 0 && self.byte(end + second) == Some(b'='))
            || (self.args[at] == b';' && next == self.argument().end)
    }

    /// A value in the middle of other text.
    fn embedded(&self, start: usize) -> Range<usize> {
        let limit = self.argument().end;
        if let Some(quoted) = self.quoted(start) {
            return quoted;
        }
        let ends = |at: &usize| {
            let byte = self.args[*at];
            is_space(byte) || is_quote(byte) || byte == b';' || self.separates(*at)
        };
        let end = (start..limit).find(ends).unwrap_or(limit);
        // The quote that ends it may be escaped.
        let end = if end > start && end < limit && self.args[end - 1] == b'\\' { end - 1 } else { end };
        if self.args[start..end].starts_with(b"$(") {
            return start..start;
        }
        start..end
    }

    /// `"…"`, `'…'` and `\"…\"`: what is inside.
    fn quoted(&self, start: usize) -> Option<Range<usize>> {
        let limit = self.argument().end;
        let escaped = self.byte(start) == Some(b'\\');
        let open = self.byte(start + usize::from(escaped)).filter(|byte| is_quote(*byte))?;
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
        if name_was_quoted || self.byte(start).is_some_and(|byte| is_quote(byte) || byte == b'\\') {
            return Some(self.json_value(spaced));
        }
        let begins = match before {
            None => true,
            Some(byte) => is_quote(byte) || matches!(byte, b'\n' | b'{' | b',') || self.follows_header_option(),
        };
        if !begins || !(spaced > start || self.is_option() || self.follows_header_option()) {
            return None;
        }
        let quote = before.filter(|byte| is_quote(*byte));
        let ends = |byte: &u8| *byte == b'\n' || Some(*byte) == quote;
        let end = self.args[spaced..limit].iter().position(ends).map_or(limit, |length| spaced + length);
        if let Some(quoted) = self.quoted(spaced) {
            return Some(quoted);
        }
        Some(self.without_scheme(spaced..end))
    }

    fn json_value(&self, start: usize) -> Range<usize> {
        if let Some(quoted) = self.quoted(start) {
            return quoted;
        }
        let limit = self.argument().end;
        let ends = |byte: &u8| is_space(*byte) || is_quote(*byte) || matches!(byte, b',' | b'}' | b']');
        start..self.args[start..limit].iter().position(ends).map_or(limit, |length| start + length)
    }

    /// `-H X-Api-Key:…`, `--header=X-Api-Key:…`, with a quote or without.
    fn follows_header_option(&self) -> bool {
        let before = &self.args[..self.name.start];
        let junk = |byte: &u8| *byte == 0 || *byte == b'=' || is_quote(*byte) || is_space(*byte);
        let end = before.iter().rposition(|byte| !junk(byte)).map_or(0, |last| last + 1);
        let option = &before[..end];
        self.name.start - end <= 3 && (option.ends_with(b"-H") || option.ends_with(b"header"))
    }

    /// `Authorization: Bearer …` keeps the scheme.
    fn without_scheme(&self, value: Range<usize>) -> Range<usize> {
        const SCHEMES: [&[u8]; 9] =
            [b"bearer", b"basic", b"digest", b"token", b"negotiate", b"apikey", b"ntlm", b"splunk", b"bot"];
        let text = &self.args[value.clone()];
        let word = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        if text.get(word) == Some(&b' ') && SCHEMES.iter().any(|scheme| text[..word].eq_ignore_ascii_case(scheme)) {
            return skip_spaces(self.args, value.start + word, value.end)..value.end;
        }
        value
    }

    /// `--password X`, `set password X`: the name is a whole word, and the value the next one.
    fn next_word(&self) -> Option<Range<usize>> {
        let argument = self.argument();
        let whole = self.name.start == argument.start && self.name.end == argument.end;
        let takes_value = self.is_option() || self.follows_set();
        if whole && takes_value {
            let start = argument.end + 1;
            if start >= self.args.len() {
                return None;
            }
            let value = start..argument_end(self.args, start);
            return (!self.args[value.clone()].starts_with(b"-")).then_some(value);
        }
        let begins_word = self.before_name().is_none_or(is_space);
        let ends_word = self.byte(self.name.end).is_some_and(is_space);
        if !(begins_word && ends_word && takes_value) {
            return None;
        }
        let start = skip_spaces(self.args, self.name.end, argument.end);
        let value = unquoted(self.args, start..word_end(self.args, start, argument.end));
        (!self.args[value.clone()].starts_with(b"-")).then_some(value)
    }

    /// `aws configure set aws_secret_access_key …`.
    fn follows_set(&self) -> bool {
        let before = &self.args[..self.name.start];
        let last = before.iter().rposition(|byte| !is_space(*byte) && *byte != 0);
        let word = last.map_or(&before[..0], |last| &before[..=last]);
        word.len() < before.len()
            && (word.ends_with(b"set") || word.ends_with(b"SET"))
            && word.len().checked_sub(4).is_none_or(|at| is_space(word[at]) || word[at] == 0)
    }

    /// `$PASSWORD` where a shell will read it: the name of the secret, not the secret.
    fn is_variable(&self, value: &Range<usize>) -> bool {
        if !self.is_script() && !has_space(&self.args[self.argument().start..self.name.start]) {
            return false;
        }
        let value = &self.args[unquoted(self.args, value.clone())];
        let Some(name) = value.strip_prefix(b"$") else {
            return false;
        };
        let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        name.starts_with(b"(") || (!name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
    }
}
