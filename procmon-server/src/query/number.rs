//! Expressions that are a number. Times and durations are numbers too, in nanoseconds; what may be mixed with what was
//! checked before.

use std::cmp::Ordering;

use super::condition::{Condition, Scope};
use super::operand::{List, TextExpression};
use super::value::{Row, Value};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Num {
    Int(i64),
    Double(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Debug)]
pub(super) enum Number {
    Constant(Num),
    Unknown,
    Field(usize),
    /// Of the list that is being gone through.
    Element,
    At(List, Box<Number>),
    Length(List),
    /// In characters.
    TextLength(TextExpression),
    Negate(Box<Number>),
    Calculate(Arithmetic, Box<[Number; 2]>),
    /// To a whole number, towards zero.
    Int(Box<Number>),
    Double(Box<Number>),
    If(Box<(Condition, Number, Number)>),
}

impl Num {
    pub(super) fn as_double(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    /// `None` for what cannot be compared.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.as_double().partial_cmp(&b.as_double()),
        }
    }
}

impl Value<'_> {
    pub(super) fn number(&self) -> Option<Num> {
        match self {
            Self::Int(value) | Self::Time(value) => Some(Num::Int(*value)),
            Self::Double(value) => Some(Num::Double(*value)),
            _ => None,
        }
    }
}

impl Number {
    pub(super) fn evaluate<R: Row>(&self, scope: &Scope<'_, R>) -> Option<Num> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Unknown => None,
            Self::Field(field) => scope.row.value(*field).number(),
            Self::Element => scope.element.as_ref()?.number(),
            Self::At(list, index) => {
                let index = index.evaluate(scope)?;
                list.at(scope, index)?.number()
            }
            Self::Length(list) => list.length(scope).map(Num::Int),
            Self::TextLength(text) => {
                let text = text.evaluate(scope)?;
                scope.meter.spend_search(text.len());
                Some(Num::Int(text.shown().chars().count() as i64))
            }
            Self::Negate(number) => match number.evaluate(scope)? {
                Num::Int(value) => value.checked_neg().map(Num::Int),
                Num::Double(value) => Some(Num::Double(-value)),
            },
            Self::Calculate(operator, operands) => {
                let [left, right] = &**operands;
                calculate(*operator, left.evaluate(scope)?, right.evaluate(scope)?)
            }
            Self::Int(number) => match number.evaluate(scope)? {
                Num::Double(value) if value.abs() < 9.2e18 => Some(Num::Int(value as i64)),
                Num::Double(_) => None,
                whole @ Num::Int(_) => Some(whole),
            },
            Self::Double(number) => Some(Num::Double(number.evaluate(scope)?.as_double())),
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                if condition.evaluate(scope)? {
                    then.evaluate(scope)
                } else {
                    otherwise.evaluate(scope)
                }
            }
        }
    }
}

/// What cannot be calculated is unknown: a division by zero, a result that does not fit.
pub(super) fn calculate(operator: Arithmetic, left: Num, right: Num) -> Option<Num> {
    if let (Num::Int(a), Num::Int(b)) = (left, right) {
        let result = match operator {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::Divide => a.checked_div(b),
            Arithmetic::Remainder => a.checked_rem(b),
        };
        return result.map(Num::Int);
    }
    let (a, b) = (left.as_double(), right.as_double());
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => return None,
    };
    (!result.is_nan()).then_some(Num::Double(result))
}
