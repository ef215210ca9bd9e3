//! Expressions that are a text or a list.

use std::borrow::Cow;

use super::condition::{Condition, Scope};
use super::number::{Num, Number};
use super::value::{Row, Text, Value, texts};

#[derive(Clone, Debug)]
pub(super) enum TextExpression {
    Constant(Box<str>),
    Unknown,
    Field(usize),
    /// Of the list that is being gone through.
    Element,
    At(List, Box<Number>),
    /// ASCII letters made small.
    Lower(Box<TextExpression>),
    If(Box<(Condition, TextExpression, TextExpression)>),
}

/// A field that is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) field: usize,
    pub(super) of_texts: bool,
}

impl TextExpression {
    pub(super) fn evaluate<'s, R: Row>(&'s self, scope: &Scope<'s, R>) -> Option<Text<'s>> {
        let value = match self {
            Self::Constant(text) => return Some(Text::new(text.as_bytes())),
            Self::Unknown => return None,
            Self::Field(field) => scope.row.value(*field),
            Self::Element => scope.element.clone()?,
            Self::At(list, index) => {
                let index = index.evaluate(scope)?;
                list.at(scope, index)?
            }
            Self::Lower(text) => {
                let text = text.evaluate(scope)?;
                scope.meter.spend_search(text.len());
                let lower = text.shown().to_ascii_lowercase();
                return Some(Text::new(Cow::Owned(lower.into_bytes())));
            }
            Self::If(parts) => {
                let (condition, then, otherwise) = &**parts;
                let chosen = if condition.evaluate(scope)? {
                    then
                } else {
                    otherwise
                };
                return chosen.evaluate(scope);
            }
        };
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl List {
    /// The elements, until one of them is enough; `None` when the list is unknown.
    pub(super) fn each<'s, R: Row>(
        self,
        scope: &Scope<'s, R>,
        mut visit: impl FnMut(Value<'s>) -> bool,
    ) -> Option<()> {
        match scope.row.value(self.field) {
            Value::Ints(numbers) => {
                scope.meter.spend(numbers.len() as u64);
                numbers
                    .iter()
                    .all(|number| visit(Value::Int(i64::from(*number))));
            }
            Value::Texts(bytes) => {
                scope.meter.spend_search(bytes.len());
                texts(bytes).all(|text| visit(Value::Text(Text::new(text))));
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn length<R: Row>(self, scope: &Scope<'_, R>) -> Option<i64> {
        let mut length = 0;
        self.each(scope, |_| {
            length += 1;
            true
        })?;
        Some(length)
    }

    /// The element at an index from 0; unknown beyond the end.
    pub(super) fn at<'s, R: Row>(self, scope: &Scope<'s, R>, index: Num) -> Option<Value<'s>> {
        let Num::Int(mut left) = index else {
            return None;
        };
        if left < 0 {
            return None;
        }
        let mut found = None;
        self.each(scope, |value| {
            left -= 1;
            if left < 0 {
                found = Some(value);
            }
            left >= 0
        })?;
        found
    }
}
