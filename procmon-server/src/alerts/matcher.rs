//! Conditions on the labels of an alert, written as Alertmanager's matchers: `severity="critical"`, `team!=""`,
//! `host=~"db-.*"`, `host!~"test.*"`.

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::labels::is_label_name;
use crate::query::pattern_reason;

const MAX_BYTES: usize = 1024;
/// Of a compiled expression.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// One condition. A label that is not there is as good as an empty one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    name: String,
    value: String,
    negated: bool,
    /// Of the whole value.
    regex: Option<Regex>,
}

impl Matcher {
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            negated: false,
            regex: None,
        }
    }

    /// The error says what is wrong with it.
    pub fn new(name: &str, value: &str, negated: bool, is_regex: bool) -> Result<Self, String> {
        Self::check_name(name)?;
        if value.len() > MAX_BYTES {
            return Err(format!(
                "the value for {name} is longer than {MAX_BYTES} bytes"
            ));
        }
        let regex = if is_regex { Some(whole(value)?) } else { None };
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            negated,
            regex,
        })
    }

    /// Refuses what cannot be the name of a label.
    pub fn check_name(name: &str) -> Result<(), String> {
        if name.len() > MAX_BYTES || !is_label_name(name) {
            return Err(format!(
                "`{name}` is not the name of a label: letters, digits and underscores"
            ));
        }
        Ok(())
    }

    /// Whether labels fulfil it; `label` gives the value of a name.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = label(&self.name).unwrap_or_default();
        let equal = self
            .regex
            .as_ref()
            .map_or_else(|| value == self.value, |regex| regex.is_match(value));
        equal != self.negated
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match (self.negated, self.regex.is_some()) {
            (false, false) => "=",
            (true, false) => "!=",
            (false, true) => "=~",
            (true, true) => "!~",
        };
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"");
        let value = value.replace('\n', "\\n");
        write!(formatter, "{}{operator}\"{value}\"", self.name)
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

impl TryFrom<String> for Matcher {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Matcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write severity=\"critical\", or != or =~ or !~ in place of =";
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let end = text
            .find(['=', '!'])
            .ok_or_else(|| format!("`{text}` has no operator: {FORM}"))?;
        let (name, rest) = text.split_at(end);
        let (negated, is_regex, rest) = [
            ("=~", false, true),
            ("!~", true, true),
            ("!=", true, false),
            ("=", false, false),
        ]
        .into_iter()
        .find_map(|(operator, negated, is_regex)| {
            Some((negated, is_regex, rest.strip_prefix(operator)?))
        })
        .ok_or_else(|| format!("`{text}` has no operator: {FORM}"))?;
        let value = unquote(rest.trim())
            .ok_or_else(|| format!("the value of `{text}` is not well quoted: {FORM}"))?;
        Self::new(name.trim(), &value, negated, is_regex)
    }
}

fn whole(expression: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{expression})$"))
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|error| {
            let reason = pattern_reason(&error);
            format!("`{expression}` is not a regular expression: {reason}")
        })
}

/// A value may stand without quotes when it has none.
fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut value = String::new();
    let mut rest = inner.chars();
    loop {
        match rest.next()? {
            '"' => break,
            '\\' => value.push(match rest.next()? {
                'n' => '\n',
                other @ ('"' | '\\') => other,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    rest.as_str().is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(matcher: &str, value: Option<&str>) -> bool {
        let matcher: Matcher = matcher.parse().expect(matcher);
        let again: Matcher = matcher
            .to_string()
            .parse()
            .expect("it reads what it writes");
        assert_eq!(again, matcher);
        matcher.matches(|name| value.filter(|_| name == "host"))
    }

    #[test]
    fn matchers_are_those_of_alertmanager() {
        assert!(holds("host=db-1", Some("db-1")));
        assert!(holds("host = \"db-1\"", Some("db-1")));
        assert!(!holds("host=db-1", None));
        assert!(holds("host!=\"db-1\"", None));
        assert!(holds("host=~\"db-.*\"", Some("db-1")));
        assert!(!holds("host=~b", Some("db-1")), "anchored");
        assert!(!holds("host=~a|db", Some("db-1")), "anchored as a whole");
        assert!(holds("host!~a|db", Some("db-1")));
        assert!(holds("host=\"\"", None), "absent is empty");
        assert!(holds(r#"host="a\"b\\c\nd""#, Some("a\"b\\c\nd")));
        assert!(Matcher::equal("a", "b").matches(|_| Some("b")));
    }

    #[test]
    fn what_is_no_matcher_says_so() {
        for text in [
            "",
            "host",
            "=x",
            "ho st=x",
            "1a=x",
            "host!x",
            "host=\"x",
            "host=\"x\"y",
            "host=~\"(\"",
            r#"host="\q""#,
            &"x".repeat(2000),
        ] {
            assert!(text.parse::<Matcher>().is_err(), "{text}");
        }
    }
}
