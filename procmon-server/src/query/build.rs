//! Conditions from parameters, so that a filter and an expression are evaluated in the same way.

use std::marker::PhantomData;

use super::condition::{Comparison, Condition, Test};
use super::needle::{FoldedNeedle, Needle, Search};
use super::number::{Num, Number};
use super::operand::{List, TextExpression};
use super::value::Row;

/// Collects conditions that must all hold. Names of fields are those of the row; one that is not is a mistake of the code.
#[derive(Debug)]
pub struct Builder<R> {
    conditions: Vec<Condition>,
    row: PhantomData<fn(&R)>,
}

impl<R: Row> Default for Builder<R> {
    fn default() -> Self {
        Self {
            conditions: Vec::new(),
            row: PhantomData,
        }
    }
}

impl<R: Row> Builder<R> {
    fn field(name: &str) -> usize {
        let position = R::fields().iter().position(|field| field.name == name);
        position.expect("parameters name fields that exist")
    }

    fn push(mut self, test: Option<Test>) -> Self {
        self.conditions.extend(test.map(Condition));
        self
    }

    /// More than a bound, when there is one.
    #[must_use]
    pub fn above(self, field: &str, bound: Option<f64>) -> Self {
        let field = Self::field(field);
        self.push(bound.map(|bound| Test::Compare(field, Comparison::Greater, Num::Double(bound))))
    }

    #[must_use]
    pub fn above_int(self, field: &str, bound: Option<u64>) -> Self {
        let field = Self::field(field);
        let bound = bound.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
        self.push(bound.map(|bound| Test::Compare(field, Comparison::Greater, Num::Int(bound))))
    }

    /// This number, when one is asked for.
    #[must_use]
    pub fn equals(self, field: &str, wanted: Option<u32>) -> Self {
        let test = wanted.map(|wanted| equals(Self::field(field), wanted));
        self.push(test)
    }

    /// The list has this number.
    #[must_use]
    pub fn has_number(self, field: &str, wanted: Option<u32>) -> Self {
        let list = List {
            field: Self::field(field),
            of_texts: false,
        };
        self.push(
            wanted.map(|wanted| {
                Test::NumberInList(Number::Constant(Num::Int(i64::from(wanted))), list)
            }),
        )
    }

    /// This text.
    #[must_use]
    pub fn is(self, field: &str, wanted: Option<&str>) -> Self {
        let text = TextExpression::Field(Self::field(field));
        self.push(wanted.map(|wanted| Test::Is(text, Needle::new(wanted))))
    }

    /// Part of the text, in any case.
    #[must_use]
    pub fn contains_folded(self, field: &str, wanted: Option<&str>) -> Self {
        let text = TextExpression::Field(Self::field(field));
        self.push(wanted.map(|wanted| Test::FindFolded(text, FoldedNeedle::new(wanted))))
    }

    #[must_use]
    pub fn contains(self, field: &str, wanted: Option<&str>) -> Self {
        self.find(field, Search::Contains, wanted)
    }

    #[must_use]
    pub fn starts_with(self, field: &str, wanted: Option<&str>) -> Self {
        self.find(field, Search::StartsWith, wanted)
    }

    fn find(self, field: &str, search: Search, wanted: Option<&str>) -> Self {
        let text = TextExpression::Field(Self::field(field));
        self.push(wanted.map(|wanted| Test::Find(text, search, Needle::new(wanted))))
    }

    /// A user by name or, when it is a number, by uid.
    #[must_use]
    pub fn user(self, wanted: Option<&str>) -> Self {
        let name = TextExpression::Field(Self::field("username"));
        let uid = Self::field("uid");
        self.push(wanted.map(|wanted| {
            let by_name = Test::Is(name, Needle::new(wanted));
            match wanted.parse() {
                Ok(number) => Test::Any(vec![Condition(equals(uid, number)), Condition(by_name)]),
                Err(_) => by_name,
            }
        }))
    }

    /// One more, of any kind.
    #[must_use]
    pub fn also(mut self, condition: Option<Condition>) -> Self {
        self.conditions.extend(condition);
        self
    }

    pub fn build(mut self) -> Condition {
        if self.conditions.len() == 1
            && let Some(only) = self.conditions.pop()
        {
            return only;
        }
        if self.conditions.is_empty() {
            return Condition::always();
        }
        Condition::all(self.conditions)
    }
}

fn equals(field: usize, wanted: u32) -> Test {
    Test::Compare(field, Comparison::Equal, Num::Int(i64::from(wanted)))
}
