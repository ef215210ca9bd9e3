//! Annotations: texts with `{{ $labels.name }}` and `{{ $value | humanize }}` in them, as users of Prometheus write them. All
//! mistakes are found when a rule is checked; to fill one in cannot fail.

use super::number;
use crate::alerts::labels::LabelSet;

/// Longest annotation.
const MAX_BYTES: usize = 8192;

/// A text with holes.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Hole(Operand, Vec<Step>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Value,
    Label(String),
    Text(String),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Humanize,
    Humanize1024,
    HumanizePercentage,
    HumanizeDuration,
    Upper,
    Lower,
    Title,
    /// What is before the verb, the verb with its precision, and what is after it.
    Printf(String, char, Option<usize>, String),
}

const FUNCTIONS: &str =
    "humanize, humanize1024, humanizePercentage, humanizeDuration, printf, toUpper, toLower, title";

/// What a hole holds on its way through functions.
enum Filled {
    Number(f64),
    Text(String),
}

impl Template {
    /// `labels`: those that an alert of the rule can have.
    pub fn parse(text: &str, labels: &[String]) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (hole, after) = after
                .split_once("}}")
                .ok_or_else(|| format!("{{{{{after} is not closed; write }}}} after it"))?;
            let (trims_before, hole) = strip(hole.strip_prefix('-'), hole);
            let (trims_after, hole) = strip(hole.strip_suffix('-'), hole);
            let before = if trims_before {
                before.trim_end()
            } else {
                before
            };
            rest = if trims_after {
                after.trim_start()
            } else {
                after
            };
            pieces.push(Piece::Text(before.to_owned()));
            let (operand, steps) = hole_of(hole.trim(), labels)?;
            pieces.push(Piece::Hole(operand, steps));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    pub fn fill(&self, labels: &LabelSet, value: f64) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Hole(operand, steps) => {
                    let first = match operand {
                        Operand::Value => Filled::Number(value),
                        Operand::Label(name) => {
                            Filled::Text(labels.get(name).unwrap_or_default().to_owned())
                        }
                        Operand::Text(text) => Filled::Text(text.clone()),
                    };
                    let last = steps.iter().fold(first, |filled, step| step.apply(filled));
                    text.push_str(&last.shown());
                }
            }
        }
        text
    }
}

fn strip<'a>(stripped: Option<&'a str>, whole: &'a str) -> (bool, &'a str) {
    stripped.map_or((false, whole), |stripped| (true, stripped))
}

fn hole_of(hole: &str, labels: &[String]) -> Result<(Operand, Vec<Step>), String> {
    let mut parts = hole.split('|').map(str::trim);
    let first = words(parts.next().unwrap_or_default())?;
    let (function, operand) = match first.as_slice() {
        [] => return Err("{{ }} is empty; write {{ $value }} or {{ $labels.name }}".to_owned()),
        [operand] => (None, operand),
        [function, operand] => (Some(step_of(&[function])?), operand),
        [function, format, operand] => (Some(step_of(&[function, format])?), operand),
        _ => return Err(format!("{hole} has more than this version understands")),
    };
    let operand = operand_of(operand, labels)?;
    let mut steps: Vec<Step> = function.into_iter().collect();
    for part in parts {
        let words = words(part)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        steps.push(step_of(&words)?);
    }
    Ok((operand, steps))
}

/// Words, of which those in quotes may have spaces.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let quote = rest
            .chars()
            .next()
            .filter(|first| matches!(first, '"' | '`'));
        let end = match quote {
            Some(quote) => {
                let end = rest[1..].find(quote);
                end.ok_or_else(|| format!("{rest} has no closing quote"))? + 2
            }
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

fn operand_of(word: &str, labels: &[String]) -> Result<Operand, String> {
    let quoted = |quote: char| word.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(text) = quoted('"').or_else(|| quoted('`')) {
        return Ok(Operand::Text(text.to_owned()));
    }
    if matches!(word, "$value" | ".Value") {
        return Ok(Operand::Value);
    }
    let label = word
        .strip_prefix("$labels.")
        .or_else(|| word.strip_prefix(".Labels."));
    match label {
        Some(name) if labels.iter().any(|known| known == name) => {
            Ok(Operand::Label(name.to_owned()))
        }
        Some(name) => Err(format!(
            "alerts of this rule have no label {name}; they have {}",
            labels.join(", ")
        )),
        None => Err(format!(
            "{word} is not understood; write $value or $labels.NAME, and a function after |: {FUNCTIONS}"
        )),
    }
}

fn step_of(words: &[&str]) -> Result<Step, String> {
    Ok(match words {
        ["humanize"] => Step::Humanize,
        ["humanize1024"] => Step::Humanize1024,
        ["humanizePercentage"] => Step::HumanizePercentage,
        ["humanizeDuration"] => Step::HumanizeDuration,
        ["toUpper"] => Step::Upper,
        ["toLower"] => Step::Lower,
        ["title"] => Step::Title,
        ["printf", format] => printf(format)?,
        other => {
            return Err(format!(
                "{} is not a function here; these are: {FUNCTIONS}",
                other.join(" ")
            ));
        }
    })
}

fn printf(format: &str) -> Result<Step, String> {
    let wrong =
        || format!("printf takes a format in quotes with one verb, as \"%.2f\", not {format}");
    let format = format.trim_matches(['"', '`']).replace("%%", "\u{0}");
    let (before, after) = format.split_once('%').ok_or_else(wrong)?;
    let verb_at = after
        .find(|letter: char| letter.is_ascii_alphabetic())
        .ok_or_else(wrong)?;
    let (flags, rest) = after.split_at(verb_at);
    let verb = rest.chars().next().ok_or_else(wrong)?;
    let precision = match flags.strip_prefix('.') {
        Some(digits) => Some(digits.parse::<usize>().map_err(|_| wrong())?),
        None if flags.is_empty() => None,
        None => return Err(wrong()),
    };
    let known = matches!(verb, 'f' | 'g' | 'v' | 's' | 'd' | 'e');
    if !known || rest[1..].contains('%') || precision.is_some_and(|digits| digits > 30) {
        return Err(wrong());
    }
    let plain = |text: &str| text.replace('\u{0}', "%");
    Ok(Step::Printf(
        plain(before),
        verb,
        precision,
        plain(&rest[1..]),
    ))
}

impl Filled {
    fn shown(self) -> String {
        match self {
            Self::Number(value) => number::plain(value),
            Self::Text(text) => text,
        }
    }

    /// A label may be a number too.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

impl Step {
    fn apply(&self, filled: Filled) -> Filled {
        let of_number = |write: fn(f64) -> String| filled.number().map(write);
        let text = match self {
            Self::Humanize => of_number(number::humanize),
            Self::Humanize1024 => of_number(number::humanize_1024),
            Self::HumanizePercentage => of_number(|value| number::short(value * 100.0) + "%"),
            Self::HumanizeDuration => of_number(number::humanize_duration),
            Self::Printf(before, verb, precision, after) => {
                let written = verb_of(*verb, *precision, filled.number());
                let written = written.unwrap_or_else(|| match &filled {
                    Filled::Text(text) => text.clone(),
                    Filled::Number(value) => number::plain(*value),
                });
                Some(format!("{before}{written}{after}"))
            }
            Self::Upper | Self::Lower | Self::Title => None,
        };
        if let Some(text) = text {
            return Filled::Text(text);
        }
        let shown = filled.shown();
        Filled::Text(match self {
            Self::Upper => shown.to_uppercase(),
            Self::Lower => shown.to_lowercase(),
            Self::Title => {
                let mut letters = shown.chars();
                let first = letters.next().map(char::to_uppercase);
                first.into_iter().flatten().chain(letters).collect()
            }
            _ => shown,
        })
    }
}

fn verb_of(verb: char, precision: Option<usize>, value: Option<f64>) -> Option<String> {
    let value = value?;
    Some(match (verb, precision) {
        ('f', digits) => format!("{value:.*}", digits.unwrap_or(6)),
        ('e', digits) => format!("{value:.*e}", digits.unwrap_or(6)),
        ('d', _) => format!("{value:.0}"),
        ('g', Some(digits)) => number::significant(value, digits),
        _ => return None,
    })
}
