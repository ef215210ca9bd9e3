//! Finds the secrets of an argv: the automaton says where to look, and each kind of anchor how.

use std::ops::Range;

use super::rules::{Anchor, Pattern, Rules};
use super::word::{Arguments, is_quote, is_space};
use super::{harmless, name, tool, url, value};

/// A part of argv to replace, and the rule that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Secret<'a> {
    pub(super) place: Range<usize>,
    pub(super) rule: &'a str,
}

/// All secrets, in order, none overlapping another, none empty, none with a NUL.
pub(super) fn secrets<'a>(rules: &'a Rules, args: &[u8]) -> Vec<Secret<'a>> {
    let mut scan = Scan {
        rules,
        args,
        arguments: Arguments::of(args),
        last_name: 0..0,
        found_until: 0,
        names_a_command: false,
        found: Vec::new(),
        names: Vec::new(),
        options: Vec::new(),
    };
    scan.look();
    if scan.names_a_command {
        scan.walk_commands();
    }
    scan.search();
    merged(scan.found)
}

struct Scan<'a, 'b> {
    rules: &'a Rules,
    args: &'b [u8],
    arguments: Arguments,
    /// A name with two terms in it is looked at again only when the first was none.
    last_name: Range<usize>,
    /// What is before this is found already: no need to look at what is within it, and no time for it.
    found_until: usize,
    names_a_command: bool,
    found: Vec<Secret<'a>>,
    /// Of those in `found` that have a name: the name's place.
    names: Vec<Range<usize>>,
    /// Secrets in options of commands, in order.
    options: Vec<Secret<'a>>,
}

impl<'a> Scan<'a, '_> {
    fn look(&mut self) {
        for found in self.rules.automaton.find_overlapping_iter(self.args) {
            self.arguments.advance(self.args, found.start());
            self.anchor(self.rules.anchor(&found), found.range());
        }
    }

    fn anchor(&mut self, anchor: Anchor, at: Range<usize>) {
        if at.start < self.found_until && !matches!(anchor, Anchor::Command) {
            return;
        }
        match anchor {
            Anchor::Name(index) => self.name(index, at),
            Anchor::EnvironmentName => self.environment_name(at),
            Anchor::QueryName => {
                let place = value::of_query(self.args, at.end, self.arguments.current.end);
                self.push(place, "url_parameter");
            }
            Anchor::Command => self.names_a_command |= self.is_word(&at),
            Anchor::Url => {
                let place = url::password(self.args, at.end, self.arguments.current.end);
                self.push(place, "url_password");
            }
            Anchor::Dsn => {
                let start = self.arguments.current.start.max(self.found_until);
                let place = url::dsn_password(self.args, at.start, start);
                self.push(place, "url_password");
            }
            Anchor::Pattern(index) => self.pattern(&self.rules.patterns[index], &at),
        }
    }

    fn push(&mut self, place: Option<Range<usize>>, rule: &'a str) {
        if let Some(place) = place {
            self.found_until = self.found_until.max(place.end);
            self.found.push(Secret { place, rule });
        }
    }

    fn name(&mut self, index: usize, at: Range<usize>) {
        let term = &self.rules.names[index];
        let whole = name::expand(self.args, at.clone(), &self.arguments.current);
        if whole == self.last_name {
            return;
        }
        if self.is_in_option(&whole) {
            return;
        }
        let within = at.start - whole.start..at.end - whole.start;
        if !name::is_secret(self.rules, term, &self.args[whole.clone()], &within) {
            return;
        }
        let place = value::of_name(self.args, &self.arguments, &whole)
            .filter(|place| !(term.keeps_paths && harmless::is_path(&self.args[place.clone()])));
        if place.is_some() {
            self.names.push(whole.clone());
        }
        self.last_name = whole;
        self.push(place, "name");
    }

    fn walk_commands(&mut self) {
        let mut options = Vec::new();
        let rule = "tool_option";
        tool::walk(self.rules, self.args, &mut |place| {
            options.push(Secret { place, rule });
        });
        self.options = merged(options);
        // `mysql -psecret db`: what looks like a name is the secret itself. What was taken for its value is looked at again.
        if self.names.iter().any(|name| self.is_in_option(name)) {
            self.arguments = Arguments::of(self.args);
            (self.last_name, self.found_until) = (0..0, 0);
            self.found.clear();
            self.look();
        }
        self.found.append(&mut self.options);
    }

    fn is_in_option(&self, name: &Range<usize>) -> bool {
        let before = self
            .options
            .partition_point(|option| option.place.start < name.end);
        self.options[..before]
            .last()
            .is_some_and(|option| name.start < option.place.end)
    }

    fn environment_name(&mut self, at: Range<usize>) {
        let whole = name::expand(self.args, at.clone(), &self.arguments.current);
        let assigns = self.args.get(whole.end) == Some(&b'=');
        if whole.end != at.end
            || !assigns
            || !name::is_secret_variable(self.rules, &self.args[whole.clone()])
        {
            return;
        }
        let place = value::of_name(self.args, &self.arguments, &whole)
            .filter(|place| !harmless::is_path(&self.args[place.clone()]));
        self.push(place, "environment_name");
    }

    /// Whether the text stands alone, or behind a folder.
    fn is_word(&self, at: &Range<usize>) -> bool {
        let apart = |byte: &u8| {
            *byte == 0
                || is_space(*byte)
                || is_quote(*byte)
                || matches!(byte, b';' | b'|' | b'&' | b'(' | b')' | b'{')
        };
        let before = at.start.checked_sub(1).map(|before| &self.args[before]);
        before.is_none_or(|byte| *byte == b'/' || apart(byte))
            && self.args.get(at.end).is_none_or(apart)
    }

    fn pattern(&mut self, pattern: &'a Pattern, at: &Range<usize>) {
        let before = at.start.checked_sub(1).map(|before| self.args[before]);
        let inside_a_word = self.args[at.start].is_ascii_alphanumeric()
            && before
                .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if inside_a_word {
            return;
        }
        let text = &self.args[at.start..self.arguments.current.end];
        if let Some((all, secret)) = first_match(pattern, text) {
            self.found_until = self.found_until.max(at.start + all.end);
            let place = at.start + secret.start..at.start + secret.end;
            self.push(
                Some(place).filter(|place| !harmless::is_harmless(&self.args[place.clone()])),
                &pattern.name,
            );
        }
    }

    /// Patterns without anchors.
    fn search(&mut self) {
        if self.rules.searched.is_empty() {
            return;
        }
        let mut arguments = Arguments::of(self.args);
        loop {
            let argument = arguments.current.clone();
            self.search_argument(&argument);
            if !arguments.next(self.args) {
                return;
            }
        }
    }

    fn search_argument(&mut self, argument: &Range<usize>) {
        for index in self.rules.searched.matches(&self.args[argument.clone()]) {
            let pattern = &self.rules.patterns[self.rules.searched_patterns[index]];
            let mut start = argument.start;
            while let Some((all, secret)) = first_match(pattern, &self.args[start..argument.end]) {
                let place = start + secret.start..start + secret.end;
                self.push(
                    Some(place).filter(|place| !harmless::is_harmless(&self.args[place.clone()])),
                    &pattern.name,
                );
                start += all.end.max(1);
            }
        }
    }
}

/// Where a pattern matches, and the secret in it.
fn first_match(pattern: &Pattern, text: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    if !pattern.has_group {
        let all = pattern.regex.find(text)?.range();
        return Some((all.clone(), all));
    }
    let captures = pattern.regex.captures(text)?;
    let all = captures.get(0)?.range();
    let secret = captures
        .name("secret")
        .map_or(all.end..all.end, |group| group.range());
    Some((all, secret))
}

/// In order, without overlaps.
fn merged(mut found: Vec<Secret<'_>>) -> Vec<Secret<'_>> {
    if found.is_empty() {
        return found;
    }
    found.retain(|secret| !secret.place.is_empty());
    found.sort_by_key(|secret| (secret.place.start, usize::MAX - secret.place.end));
    let mut merged: Vec<Secret<'_>> = Vec::with_capacity(found.len());
    for secret in found {
        match merged.last_mut() {
            Some(last) if secret.place.start < last.place.end => {
                last.place.end = last.place.end.max(secret.place.end);
            }
            _ => merged.push(secret),
        }
    }
    merged
}
