//! Expressions that are true or false, or unknown where what they ask for is.
//!
//! Unknown spreads as in SQL: a comparison with it is unknown, and so is its negation; `false && unknown` is false and `true ||
//! unknown` is true. A row is selected when the whole is true.

use std::cmp::Ordering;

use regex::Regex;

use super::Meter;
use super::known::Remembered;
use super::needle::{FoldedNeedle, Needle, Search};
use super::number::{Num, Number};
use super::operand::{List, TextExpression};
use super::value::{Row, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    Some,
    All,
    One,
}

/// An expression that was checked: nothing can go wrong with it any more.
#[derive(Clone, Debug)]
pub struct Condition(pub(super) Test);

#[derive(Clone, Debug)]
pub(super) enum Test {
    Constant(bool),
    Unknown,
    Field(usize),
    /// The field has a value.
    Known(usize),
    KnownNumber(Number),
    KnownText(TextExpression),
    KnownCondition(Box<Condition>),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    If(Box<[Condition; 3]>),
    Same(Box<[Condition; 2]>),
    /// A field and a constant: what most conditions are.
    Compare(usize, Comparison, Num),
    Numbers(Comparison, Box<[Number; 2]>),
    Is(TextExpression, Needle),
    Texts(Comparison, Box<[TextExpression; 2]>),
    AmongNumbers(Number, Vec<Num>),
    AmongTexts(TextExpression, Vec<Needle>),
    NumberInList(Number, List),
    TextInList(TextExpression, List),
    Find(TextExpression, Search, Needle),
    FindText(Search, Box<[TextExpression; 2]>),
    FindFolded(TextExpression, FoldedNeedle),
    Matches(TextExpression, Regex),
    Quantified(Quantifier, List, Box<Condition>),
    Remembered(Box<Remembered>),
}

/// What a condition is evaluated in.
#[derive(Debug)]
pub(super) struct Scope<'s, R> {
    pub(super) row: &'s R,
    pub(super) meter: &'s Meter,
    /// Of the list that is being gone through.
    pub(super) element: Option<Value<'s>>,
}

impl Condition {
    /// Whether the row is selected. Meaningless once the meter is exhausted.
    pub fn holds<R: Row>(&self, row: &R, meter: &Meter) -> bool {
        meter.spend(1);
        let scope = Scope {
            row,
            meter,
            element: None,
        };
        self.evaluate(&scope) == Some(true)
    }

    /// True of every row.
    pub fn always() -> Self {
        Self(Test::Constant(true))
    }

    /// Both must hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Test::Constant(true), other) => Self(other),
            (test, Test::Constant(true)) => Self(test),
            (first, second) => Self::all(vec![Self(first), Self(second)]),
        }
    }

    /// The cheapest first: they may come in any order, for none of them can fail.
    pub(super) fn all(mut conditions: Vec<Self>) -> Self {
        conditions.sort_by_key(Self::cost);
        Self(Test::All(conditions))
    }

    pub(super) fn any(mut conditions: Vec<Self>) -> Self {
        conditions.sort_by_key(Self::cost);
        Self(Test::Any(conditions))
    }

    /// How much work it roughly is.
    fn cost(&self) -> u32 {
        match &self.0 {
            Test::Constant(_)
            | Test::Unknown
            | Test::Field(_)
            | Test::Known(_)
            | Test::Compare(..) => 1,
            Test::Not(condition) | Test::KnownCondition(condition) => condition.cost(),
            Test::KnownNumber(_)
            | Test::Numbers(..)
            | Test::AmongNumbers(..)
            | Test::Remembered(_) => 2,
            Test::All(parts) | Test::Any(parts) => {
                parts.iter().map(Self::cost).fold(0, u32::saturating_add)
            }
            Test::If(parts) => parts.iter().map(Self::cost).fold(0, u32::saturating_add),
            Test::Same(parts) => parts.iter().map(Self::cost).fold(0, u32::saturating_add),
            Test::KnownText(_) | Test::Is(..) | Test::AmongTexts(..) | Test::NumberInList(..) => 10,
            Test::Texts(..) | Test::Find(..) | Test::FindText(..) | Test::FindFolded(..) => 20,
            Test::TextInList(..) => 50,
            Test::Matches(..) => 200,
            Test::Quantified(_, _, condition) => condition.cost().saturating_mul(20),
        }
    }

    pub(super) fn evaluate<R: Row>(&self, scope: &Scope<'_, R>) -> Option<bool> {
        scope.meter.spend(1);
        match &self.0 {
            Test::Constant(value) => Some(*value),
            Test::Unknown => None,
            Test::Field(field) => match scope.row.value(*field) {
                Value::Bool(value) => Some(value),
                _ => None,
            },
            Test::Known(field) => Some(scope.row.value(*field) != Value::Unknown),
            Test::KnownNumber(number) => Some(number.evaluate(scope).is_some()),
            Test::KnownText(text) => Some(text.evaluate(scope).is_some()),
            Test::KnownCondition(condition) => Some(condition.evaluate(scope).is_some()),
            Test::Not(condition) => condition.evaluate(scope).map(|value| !value),
            Test::All(conditions) => decide(conditions, scope, false),
            Test::Any(conditions) => decide(conditions, scope, true),
            Test::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                if condition.evaluate(scope)? {
                    then.evaluate(scope)
                } else {
                    otherwise.evaluate(scope)
                }
            }
            Test::Same(parts) => {
                let [left, right] = &**parts;
                Some(left.evaluate(scope)? == right.evaluate(scope)?)
            }
            Test::Compare(field, comparison, constant) => {
                let value = scope.row.value(*field).number()?;
                Some(comparison.holds(value.compare(*constant)?))
            }
            Test::Numbers(comparison, operands) => {
                let [left, right] = &**operands;
                let ordering = left.evaluate(scope)?.compare(right.evaluate(scope)?)?;
                Some(comparison.holds(ordering))
            }
            Test::AmongNumbers(number, set) => {
                let value = number.evaluate(scope)?;
                scope.meter.spend(set.len() as u64);
                Some(
                    set.iter()
                        .any(|one| value.compare(*one) == Some(Ordering::Equal)),
                )
            }
            Test::NumberInList(number, list) => {
                let wanted = number.evaluate(scope)?;
                list.contains(scope, |value| {
                    value.number().and_then(|value| value.compare(wanted)) == Some(Ordering::Equal)
                })
            }
            Test::Remembered(remembered) => remembered.evaluate(scope),
            Test::Quantified(quantifier, list, condition) => {
                quantifier.evaluate(*list, condition, scope)
            }
            text => text.evaluate_text(scope),
        }
    }
}

impl Test {
    /// Those that look at texts.
    fn evaluate_text<R: Row>(&self, scope: &Scope<'_, R>) -> Option<bool> {
        match self {
            Self::Is(text, needle) => Some(text.evaluate(scope)?.is(needle)),
            Self::Texts(comparison, operands) => {
                let [left, right] = &**operands;
                let (left, right) = (left.evaluate(scope)?, right.evaluate(scope)?);
                scope.meter.spend_search(left.len() + right.len());
                Some(comparison.holds(left.compare(&right)))
            }
            Self::AmongTexts(text, set) => {
                let text = text.evaluate(scope)?;
                scope.meter.spend(set.len() as u64);
                Some(set.iter().any(|needle| text.is(needle)))
            }
            Self::TextInList(text, list) => {
                let wanted = text.evaluate(scope)?;
                let wanted = wanted.shown();
                list.contains(
                    scope,
                    |value| matches!(value, Value::Text(text) if text.shown() == wanted),
                )
            }
            Self::Find(text, search, needle) => {
                let text = text.evaluate(scope)?;
                scope.meter.spend_search(text.len());
                Some(needle.is_in(&text, *search))
            }
            Self::FindText(search, operands) => {
                let [text, wanted] = &**operands;
                let (text, wanted) = (text.evaluate(scope)?, wanted.evaluate(scope)?);
                scope.meter.spend_search(text.len() + wanted.len());
                Some(Needle::new(&wanted.shown()).is_in(&text, *search))
            }
            Self::FindFolded(text, needle) => {
                let text = text.evaluate(scope)?;
                scope.meter.spend_search(text.len());
                Some(needle.is_in(&text))
            }
            Self::Matches(text, pattern) => {
                let text = text.evaluate(scope)?;
                // A step of an automaton per byte, and at times several.
                scope.meter.spend(8 + text.len() as u64);
                Some(pattern.is_match(&text.shown()))
            }
            _ => None,
        }
    }
}

/// `decisive` settles it; else it is unknown as soon as one of them is.
fn decide<R: Row>(conditions: &[Condition], scope: &Scope<'_, R>, decisive: bool) -> Option<bool> {
    let mut result = Some(!decisive);
    for condition in conditions {
        match condition.evaluate(scope) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

impl List {
    fn contains<'s, R: Row>(
        self,
        scope: &Scope<'s, R>,
        is_wanted: impl Fn(&Value<'s>) -> bool,
    ) -> Option<bool> {
        let mut found = false;
        self.each(scope, |value| {
            found = is_wanted(&value);
            !found
        })?;
        Some(found)
    }
}

impl Quantifier {
    fn evaluate<R: Row>(
        self,
        list: List,
        condition: &Condition,
        scope: &Scope<'_, R>,
    ) -> Option<bool> {
        let mut result = Some(self == Self::All);
        let mut found = 0;
        list.each(scope, |element| {
            let inner = Scope {
                row: scope.row,
                meter: scope.meter,
                element: Some(element),
            };
            match condition.evaluate(&inner) {
                None => result = None,
                Some(value) => {
                    found += u32::from(value);
                    // Decided, whatever comes.
                    let decided = match self {
                        Self::Some => value,
                        Self::All => !value,
                        Self::One => false,
                    };
                    if decided {
                        result = Some(value);
                        return false;
                    }
                }
            }
            !scope.meter.exhausted()
        })?;
        if self == Self::One {
            return result.map(|_| found == 1);
        }
        result
    }
}

impl Comparison {
    pub(super) fn of_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// With the operands exchanged.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}
