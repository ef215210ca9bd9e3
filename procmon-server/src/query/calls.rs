//! Functions: what they take, and what they are evaluated as.

use procmon_common::config::parse_duration;
use regex::RegexBuilder;

use super::check::{Checker, Typed, Unit, known};
use super::condition::{Condition, Quantifier, Test};
use super::needle::{Needle, Search};
use super::number::{Num, Number};
use super::operand::{List, TextExpression};
use super::tree::{Node, NodeKind};
use super::{QueryError, nearest};

const FUNCTIONS: [&str; 6] = ["has", "size", "int", "double", "timestamp", "duration"];
const TEXT_METHODS: [&str; 6] = [
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lowerAscii",
    "size",
];
const LIST_METHODS: [&str; 4] = ["exists", "all", "exists_one", "size"];

/// Regular expressions of one expression, their length in bytes, and the memory that each may take when compiled.
const MAX_PATTERNS: usize = 8;
const MAX_PATTERN_BYTES: usize = 512;
const PATTERN_MEMORY_BYTES: usize = 256 * 1024;
/// How deep brackets may be nested in one.
const PATTERN_NESTING: u32 = 32;

impl Checker {
    pub(super) fn function(
        &mut self,
        column: usize,
        name: &str,
        arguments: &[Node],
    ) -> Result<Typed, QueryError> {
        if !FUNCTIONS.contains(&name) {
            return Err(QueryError::new(column, unknown_function(name, &FUNCTIONS)));
        }
        let [argument] = arguments else {
            let message = format!("{name} takes one value, as in {name}(…)");
            return Err(QueryError::new(column, message));
        };
        let literal = match &argument.kind {
            NodeKind::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let nanos = match (name, literal) {
            ("timestamp", Some(text)) => Some((timestamp_ns(text), Unit::Time)),
            ("duration", Some(text)) => Some((duration_ns(text), Unit::Duration)),
            _ => None,
        };
        if let Some((nanos, unit)) = nanos {
            let nanos = nanos.ok_or_else(|| {
                let example = if unit == Unit::Time {
                    "a time, as timestamp('2026-01-31T12:00:00Z') is"
                } else {
                    "a duration, as duration('1h30m') and duration('250ms') are"
                };
                QueryError::new(argument.column, format!("this is not {example}"))
            })?;
            return Ok(Typed::Number(Number::Constant(Num::Int(nanos)), unit));
        }
        let value = self.typed(argument)?;
        let described = value.describe();
        Ok(match (name, value) {
            ("has", value) => Typed::Test(Condition(known(value))),
            ("size", Typed::Text(text)) => Typed::Number(Number::TextLength(text), Unit::Plain),
            ("size", Typed::List(list)) => Typed::Number(Number::Length(list), Unit::Plain),
            ("int", Typed::Number(number, Unit::Plain)) => {
                Typed::Number(Number::Int(Box::new(number)), Unit::Plain)
            }
            ("double", Typed::Number(number, Unit::Plain)) => {
                Typed::Number(Number::Double(Box::new(number)), Unit::Plain)
            }
            _ => {
                let wants = match name {
                    "size" => "a text or a list",
                    "int" | "double" => "a number",
                    _ => "a text in quotes",
                };
                let message = format!("{name} takes {wants}, and this is {described}");
                return Err(QueryError::new(argument.column, message));
            }
        })
    }

    pub(super) fn method(
        &mut self,
        column: usize,
        target: &Node,
        name: &str,
        arguments: &[Node],
    ) -> Result<Typed, QueryError> {
        match self.typed(target)? {
            Typed::Text(text) => self.text_method(column, text, name, arguments),
            Typed::List(list) => self.list_method(column, list, name, arguments),
            other => Err(QueryError::new(
                column,
                format!(
                    "{} has no functions; texts and lists have",
                    other.describe()
                ),
            )),
        }
    }

    fn text_method(
        &mut self,
        column: usize,
        text: TextExpression,
        name: &str,
        arguments: &[Node],
    ) -> Result<Typed, QueryError> {
        if !TEXT_METHODS.contains(&name) {
            let message = unknown_function(name, &TEXT_METHODS);
            return Err(QueryError::new(column, message));
        }
        match (name, arguments) {
            ("size", []) => return Ok(Typed::Number(Number::TextLength(text), Unit::Plain)),
            ("lowerAscii", []) => return Ok(Typed::Text(TextExpression::Lower(Box::new(text)))),
            _ => {}
        }
        let [argument] = arguments else {
            let takes = if matches!(name, "size" | "lowerAscii") {
                "nothing"
            } else {
                "one text"
            };
            let message = format!("{name} takes {takes} in its brackets");
            return Err(QueryError::new(column, message));
        };
        if name == "matches" {
            return self.matches(text, argument);
        }
        let search = match name {
            "startsWith" => Search::StartsWith,
            "endsWith" => Search::EndsWith,
            _ => Search::Contains,
        };
        let found = match self.typed(argument)? {
            Typed::Text(TextExpression::Constant(constant)) => {
                Test::Find(text, search, Needle::new(&constant))
            }
            Typed::Text(wanted) => Test::FindText(search, Box::new([text, wanted])),
            other => {
                let message = format!("{name} takes a text, and this is {}", other.describe());
                return Err(QueryError::new(argument.column, message));
            }
        };
        Ok(Typed::Test(Condition(found)))
    }

    fn matches(&mut self, text: TextExpression, argument: &Node) -> Result<Typed, QueryError> {
        let wrong = |message: String| QueryError::new(argument.column, message);
        let NodeKind::Text(pattern) = &argument.kind else {
            let message = "matches takes a regular expression in quotes";
            return Err(wrong(message.to_owned()));
        };
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let message = format!("an expression has at most {MAX_PATTERNS} regular expressions");
            return Err(wrong(message));
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            let message = format!("a regular expression has at most {MAX_PATTERN_BYTES} bytes");
            return Err(wrong(message));
        }
        let pattern = RegexBuilder::new(pattern)
            .size_limit(PATTERN_MEMORY_BYTES)
            .dfa_size_limit(PATTERN_MEMORY_BYTES)
            .nest_limit(PATTERN_NESTING)
            .build();
        let pattern = pattern.map_err(|error| wrong(explain_pattern(&error)))?;
        Ok(Typed::Test(Condition(Test::Matches(text, pattern))))
    }

    fn list_method(
        &mut self,
        column: usize,
        list: List,
        name: &str,
        arguments: &[Node],
    ) -> Result<Typed, QueryError> {
        let quantifier = match name {
            "exists" => Quantifier::Some,
            "all" => Quantifier::All,
            "exists_one" | "existsOne" => Quantifier::One,
            "size" if arguments.is_empty() => {
                return Ok(Typed::Number(Number::Length(list), Unit::Plain));
            }
            _ => {
                let message = unknown_function(name, &LIST_METHODS);
                return Err(QueryError::new(column, message));
            }
        };
        let [variable, condition] = arguments else {
            let message =
                format!("{name} takes a name and a condition, as in args.{name}(a, a == '-v')");
            return Err(QueryError::new(column, message));
        };
        let NodeKind::Name(variable_name) = &variable.kind else {
            return Err(QueryError::new(
                variable.column,
                "expected a name for the elements",
            ));
        };
        if self.is_field(variable_name) {
            let message =
                format!("{variable_name} is a field; choose another name for the elements");
            return Err(QueryError::new(variable.column, message));
        }
        if self.variable.is_some() {
            let message = "going through a list for every element of a list would cost too much";
            return Err(QueryError::new(column, message));
        }
        self.variable = Some((variable_name.clone(), list.of_texts));
        let condition = self.test(condition);
        self.variable = None;
        let test = Test::Quantified(quantifier, list, Box::new(condition?));
        Ok(Typed::Test(Condition(test)))
    }

    /// `value in list`
    pub(super) fn among(
        &mut self,
        column: usize,
        operands: &[Node; 2],
    ) -> Result<Typed, QueryError> {
        let [value, set] = operands;
        let value = self.typed(value)?;
        let described = value.describe();
        let wrong = |column, what: &str| {
            let message = format!("{described} cannot be in {what}");
            Err(QueryError::new(column, message))
        };
        let NodeKind::List(elements) = &set.kind else {
            let list = match self.typed(set)? {
                Typed::List(list) => list,
                other => return wrong(column, other.describe()),
            };
            let test = match (value, list.of_texts) {
                (Typed::Text(text), true) => Test::TextInList(text, list),
                (Typed::Number(number, Unit::Plain), false) => Test::NumberInList(number, list),
                (_, true) => return wrong(column, "a list of texts"),
                (_, false) => return wrong(column, "a list of numbers"),
            };
            return Ok(Typed::Test(Condition(test)));
        };
        let test = match value {
            Typed::Text(text) => {
                let mut needles = Vec::with_capacity(elements.len());
                for element in elements {
                    let NodeKind::Text(constant) = &element.kind else {
                        return wrong(element.column, "this list: expected a text in quotes here");
                    };
                    needles.push(Needle::new(constant));
                }
                Test::AmongTexts(text, needles)
            }
            Typed::Number(number, Unit::Plain) => {
                let mut numbers = Vec::with_capacity(elements.len());
                for element in elements {
                    let Typed::Number(Number::Constant(constant), Unit::Plain) =
                        self.typed(element)?
                    else {
                        return wrong(element.column, "this list: expected a number here");
                    };
                    numbers.push(constant);
                }
                Test::AmongNumbers(number, numbers)
            }
            _ => return wrong(column, "a list"),
        };
        Ok(Typed::Test(Condition(test)))
    }
}

fn unknown_function(name: &str, known: &[&str]) -> String {
    let everywhere = FUNCTIONS.iter().chain(&TEXT_METHODS).chain(&LIST_METHODS);
    if TEXT_METHODS.contains(&name) && known == LIST_METHODS.as_slice() {
        return format!(
            "{name} is for texts, and this is a list: write 'x' in list, or list.exists(each, each.{name}('x'))"
        );
    }
    let candidates = if nearest(name, known.iter().copied()).is_some() {
        nearest(name, known.iter().copied())
    } else {
        nearest(name, everywhere.copied())
    };
    let meant = candidates
        .map(|nearest| format!("; did you mean {nearest}?"))
        .unwrap_or_default();
    let shown: String = name.chars().take(64).collect();
    format!(
        "there is no function {shown} here{meant} (functions: {})",
        known.join(", ")
    )
}

fn explain_pattern(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "this regular expression is too big; make its repetitions smaller".to_owned();
    }
    format!("this is no regular expression: {}", pattern_reason(error))
}

/// The last line of what the regex crate says is the reason; the others draw the place.
pub(crate) fn pattern_reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default();
    reason.trim_start_matches("error: ").to_owned()
}

fn timestamp_ns(text: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// As CEL writes them: `1h30m`, `250ms`, `-5s`.
fn duration_ns(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let nanos = i64::try_from(parse_duration(text)?.as_nanos()).ok()?;
    nanos.checked_mul(if negative { -1 } else { 1 })
}
