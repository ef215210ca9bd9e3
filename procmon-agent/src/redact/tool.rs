//! Short options of known commands: what `-p` means depends on who is asked.

use std::ops::Range;

use super::harmless::is_harmless;
use super::name::is_name_byte;
use super::rules::{Rules, Tool};
use super::word::{Arguments, ends_command, is_space, skip_spaces, unquoted, word_end};

/// Walks all words once, and reports the secrets in them.
pub(super) fn walk(rules: &Rules, args: &[u8], report: &mut impl FnMut(Range<usize>)) {
    let mut arguments = Arguments::of(args);
    let mut outer = Command::default();
    loop {
        let argument = arguments.current.clone();
        outer.word(rules, args, argument.clone(), report);
        if arguments.spaced {
            walk_script(rules, args, &argument, report);
        }
        if !arguments.next(args) {
            return;
        }
    }
}

fn walk_script(
    rules: &Rules,
    args: &[u8],
    argument: &Range<usize>,
    report: &mut impl FnMut(Range<usize>),
) {
    let mut command = Command::default();
    let mut at = argument.start;
    while at < argument.end {
        if is_space(args[at]) || ends_command(args[at]) || matches!(args[at], b'<' | b'>') {
            if ends_command(args[at]) {
                command = Command::default();
            }
            at += 1;
            continue;
        }
        let end = word_end(args, at, argument.end).max(at + 1);
        command.word(rules, args, unquoted(args, at..end), report);
        at = skip_spaces(args, end, argument.end);
        if args[end..at].contains(&b'\n') {
            command = Command::default();
        }
    }
}

/// What is known of the command whose words are being read.
#[derive(Default)]
struct Command {
    tools: Vec<usize>,
    /// Rules of `tools` whose `after` was met, with the words since that were no options.
    active: Vec<(usize, u32)>,
    next: Option<Expected>,
}

/// What the next word is.
#[derive(Clone, Copy)]
enum Expected {
    Secret,
    User(u8),
}

impl Command {
    fn word(
        &mut self,
        rules: &Rules,
        args: &[u8],
        word: Range<usize>,
        report: &mut impl FnMut(Range<usize>),
    ) {
        let text = &args[word.clone()];
        if let Some(expected) = self.next.take()
            && !text.starts_with(b"-")
        {
            let secret = match expected {
                Expected::Secret => Some(word),
                Expected::User(separator) => after_separator(args, &word, separator),
            };
            if let Some(secret) = secret.filter(|secret| !is_harmless(&args[secret.clone()])) {
                report(secret);
            }
            return;
        }
        let tools = rules.tools_of(text.rsplit(|byte| *byte == b'/').next().unwrap_or(text));
        // A file may have the name of the command.
        if !tools.is_empty() && self.tools != tools {
            self.tools = tools.to_vec();
            let always = |index: &usize| rules.tools[*index].after.is_empty();
            let active = tools.iter().copied().filter(always);
            self.active = active.map(|index| (index, 0)).collect();
            return;
        }
        if self.is_secret_word(rules, text) && !is_harmless(text) {
            report(word);
            return;
        }
        for index in &self.tools {
            if rules.tools[*index]
                .after
                .iter()
                .any(|after| after.as_bytes() == text)
            {
                self.active.push((*index, 0));
            }
        }
        for (index, _) in &self.active {
            let (secret, next) = option(&rules.tools[*index], args, &word);
            if let Some(secret) = secret.filter(|secret| !is_harmless(&args[secret.clone()])) {
                report(secret);
                return;
            }
            // Where two rules speak of the next word, all of it is a secret for one of them.
            self.next = match (self.next, next) {
                (Some(Expected::Secret), _) | (_, None) => self.next,
                (_, next) => next,
            };
        }
    }

    /// Whether this is the word that is a secret by its place. Counts it, unless it is an option or an assignment.
    fn is_secret_word(&mut self, rules: &Rules, text: &[u8]) -> bool {
        if text.starts_with(b"-") || is_assignment(text) {
            return false;
        }
        let mut is_secret = false;
        for (index, words) in &mut self.active {
            *words += 1;
            is_secret |= rules.tools[*index].secret_word == Some(*words);
        }
        is_secret
    }
}

/// `name=value`: what that is, its name tells.
fn is_assignment(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| is_name_byte(**byte)).count();
    name > 0
        && text.get(name) == Some(&b'=')
        && text.get(name + 1).is_some_and(|byte| *byte != b'=')
}

/// The secret in a word, and what the word says of the next one.
fn option(
    tool: &Tool,
    args: &[u8],
    word: &Range<usize>,
) -> (Option<Range<usize>>, Option<Expected>) {
    let text = &args[word.clone()];
    for attached in &tool.attached {
        if text.len() > attached.len() && text.starts_with(attached.as_bytes()) {
            return (
                Some(unquoted(args, word.start + attached.len()..word.end)),
                None,
            );
        }
    }
    for option in &tool.options {
        match value_of(option, args, word) {
            Some(Value::Next) => return (None, Some(Expected::Secret)),
            Some(Value::Here(value)) => return (Some(value), None),
            None => {}
        }
        // `-xw SECRET`: three letters at most, a longer word is an option of its own.
        if text.len() <= 4 && ends_cluster(option, text) {
            return (None, Some(Expected::Secret));
        }
    }
    for option in &tool.user_options {
        match value_of(option, args, word) {
            Some(Value::Next) => return (None, Some(Expected::User(tool.user_separator))),
            Some(Value::Here(value)) => {
                return (after_separator(args, &value, tool.user_separator), None);
            }
            None => {}
        }
        if ends_cluster(option, text) {
            return (None, Some(Expected::User(tool.user_separator)));
        }
    }
    if tool.user_words && !text.starts_with(b"-") && !text.starts_with(b"/") {
        return (user_word(args, word, tool.user_separator), None);
    }
    (None, None)
}

enum Value {
    Here(Range<usize>),
    Next,
}

fn value_of(option: &str, args: &[u8], word: &Range<usize>) -> Option<Value> {
    let rest = args[word.clone()].strip_prefix(option.as_bytes())?;
    if rest.is_empty() {
        return Some(Value::Next);
    }
    let start = word.end - rest.len();
    if rest[0] == b'=' {
        return Some(Value::Here(unquoted(args, start + 1..word.end)));
    }
    // `-pSECRET`: only after a dash and one letter.
    (option.len() == 2).then(|| Value::Here(unquoted(args, start..word.end)))
}

/// `-sSu` ends in `-u`, and the next word is its value.
fn ends_cluster(option: &str, text: &[u8]) -> bool {
    option.len() == 2
        && text.len() > 2
        && text[0] == b'-'
        && text[1..].iter().all(u8::is_ascii_alphabetic)
        && text.last() == option.as_bytes().last()
}

/// The secret of user, separator, secret.
fn after_separator(args: &[u8], word: &Range<usize>, separator: u8) -> Option<Range<usize>> {
    let at = args[word.clone()]
        .iter()
        .position(|byte| *byte == separator)?;
    Some(word.start + at + 1..word.end)
}

/// `scott/tiger@database`.
fn user_word(args: &[u8], word: &Range<usize>, separator: u8) -> Option<Range<usize>> {
    let secret = after_separator(args, word, separator)?;
    let end = args[secret.clone()]
        .iter()
        .position(|byte| *byte == b'@')
        .map_or(secret.end, |at| secret.start + at);
    Some(secret.start..end)
}
