//! From a tree to something that can be evaluated: every name is a field, every operator has operands that it takes. What
//! passes cannot fail on any row.

use super::condition::{Comparison, Condition, Test};
use super::number::{Num, Number};
use super::operand::{List, TextExpression};
use super::tree::{Node, NodeKind};
use super::value::{Field, Kind};
use super::{QueryError, nearest};

pub(super) fn check(node: &Node, fields: &'static [Field]) -> Result<Condition, QueryError> {
    let mut checker = Checker {
        fields,
        variable: None,
        patterns: 0,
    };
    checker.test(node)
}

pub(super) struct Checker {
    fields: &'static [Field],
    /// Of the list that is being gone through, and whether it is a text.
    pub(super) variable: Option<(String, bool)>,
    pub(super) patterns: usize,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    /// Nanoseconds since 1970.
    Time,
    /// Nanoseconds.
    Duration,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "short-lived, one per node of an expression"
)]
pub(super) enum Typed {
    Null,
    Test(Condition),
    Number(Number, Unit),
    Text(TextExpression),
    List(List),
    Object(usize),
}

impl Typed {
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Test(_) => "true or false",
            Self::Number(_, Unit::Plain) => "a number",
            Self::Number(_, Unit::Time) => "a time",
            Self::Number(_, Unit::Duration) => "a duration",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "a thing with fields of its own",
        }
    }
}

impl Checker {
    pub(super) fn test(&mut self, node: &Node) -> Result<Condition, QueryError> {
        match self.typed(node)? {
            Typed::Test(condition) => Ok(condition),
            other => Err(QueryError::new(
                node.column,
                format!(
                    "this is {}, and must be true or false, as cpu_percent > 50 is",
                    other.describe()
                ),
            )),
        }
    }

    pub(super) fn typed(&mut self, node: &Node) -> Result<Typed, QueryError> {
        Ok(match &node.kind {
            NodeKind::Null => Typed::Null,
            NodeKind::Bool(value) => Typed::Test(Condition(Test::Constant(*value))),
            NodeKind::Int(value) => Typed::Number(Number::Constant(Num::Int(*value)), Unit::Plain),
            NodeKind::Double(value) => {
                Typed::Number(Number::Constant(Num::Double(*value)), Unit::Plain)
            }
            NodeKind::Text(text) => Typed::Text(TextExpression::Constant(text.as_str().into())),
            NodeKind::Name(name) => self.name(node.column, name)?,
            NodeKind::Select(object, name) => self.select(object, node.column, name)?,
            NodeKind::List(_) => {
                let message = "a list can only stand after in, as in pid in [1, 2]";
                return Err(QueryError::new(node.column, message));
            }
            NodeKind::Not(inner) => {
                let inner = self.test(inner)?;
                Typed::Test(Condition(Test::Not(Box::new(inner))))
            }
            NodeKind::Negate(inner) => self.negate(inner)?,
            NodeKind::All(parts) => Typed::Test(Condition::all(self.tests(parts)?)),
            NodeKind::Any(parts) => Typed::Test(Condition::any(self.tests(parts)?)),
            NodeKind::Binary("in", operands) => self.among(node.column, operands)?,
            NodeKind::Binary(symbol, operands) => match Comparison::of_symbol(symbol) {
                Some(comparison) => self.compare(node.column, comparison, operands)?,
                None => self.calculate(node.column, symbol, operands)?,
            },
            NodeKind::If(parts) => self.choose(node.column, parts)?,
            NodeKind::Index(operands) => self.index(node.column, operands)?,
            NodeKind::Call {
                target,
                function,
                arguments,
            } => match target {
                Some(target) => self.method(node.column, target, function, arguments)?,
                None => self.function(node.column, function, arguments)?,
            },
        })
    }

    fn tests(&mut self, nodes: &[Node]) -> Result<Vec<Condition>, QueryError> {
        nodes.iter().map(|node| self.test(node)).collect()
    }

    fn name(&self, column: usize, name: &str) -> Result<Typed, QueryError> {
        if let Some((variable, is_text)) = &self.variable
            && variable == name
        {
            return Ok(if *is_text {
                Typed::Text(TextExpression::Element)
            } else {
                Typed::Number(Number::Element, Unit::Plain)
            });
        }
        let found = self.fields.iter().position(|field| field.name == name);
        let Some(index) = found else {
            return Err(QueryError::new(column, self.unknown_field(name)));
        };
        Ok(match self.fields[index].kind {
            Kind::Bool => Typed::Test(Condition(Test::Field(index))),
            Kind::Int | Kind::Double => Typed::Number(Number::Field(index), Unit::Plain),
            Kind::Time => Typed::Number(Number::Field(index), Unit::Time),
            Kind::Text => Typed::Text(TextExpression::Field(index)),
            Kind::Object => Typed::Object(index),
            Kind::Ints | Kind::Texts => Typed::List(List {
                field: index,
                of_texts: self.fields[index].kind == Kind::Texts,
            }),
        })
    }

    pub(super) fn is_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    fn unknown_field(&self, name: &str) -> String {
        if name == "ancestors" {
            return "ancestors are known to q of alert rules alone: \"kind\": \"event\" and \"types\": [\"exec\"] find what starts \
                under a program, other kinds what runs there"
                .to_owned();
        }
        let names = || self.fields.iter().map(|field| field.name);
        let meant = nearest(name, names())
            .map(|nearest| format!("; did you mean {nearest}?"))
            .unwrap_or_default();
        let all = names().collect::<Vec<_>>().join(", ");
        let shown: String = name.chars().take(64).collect();
        format!("there is no field {shown}{meant} (fields: {all})")
    }

    fn select(&self, object: &Node, column: usize, name: &str) -> Result<Typed, QueryError> {
        match &object.kind {
            NodeKind::Name(object_name) if self.is_field(object_name) => {
                let full = format!("{object_name}.{name}");
                if self.is_field(&full) {
                    return self.name(column, &full);
                }
                let prefix = format!("{object_name}.");
                let own: Vec<_> = self
                    .fields
                    .iter()
                    .filter_map(|field| field.name.strip_prefix(&*prefix))
                    .collect();
                let message = if own.is_empty() {
                    format!(
                        "{object_name} has no fields of its own; functions are called with brackets, as in name.size()"
                    )
                } else {
                    format!(
                        "{object_name} has the fields {}, and no {name}",
                        own.join(", ")
                    )
                };
                Err(QueryError::new(column, message))
            }
            // A name that is no field is what is wrong, not what follows it.
            NodeKind::Name(object_name) => self.name(object.column, object_name),
            _ => Err(QueryError::new(column, "only names of fields have fields")),
        }
    }

    fn negate(&mut self, inner: &Node) -> Result<Typed, QueryError> {
        match self.typed(inner)? {
            Typed::Number(Number::Constant(Num::Double(value)), unit) => {
                Ok(Typed::Number(Number::Constant(Num::Double(-value)), unit))
            }
            Typed::Number(number, unit @ (Unit::Plain | Unit::Duration)) => {
                Ok(Typed::Number(Number::Negate(Box::new(number)), unit))
            }
            other => Err(QueryError::new(
                inner.column,
                format!("a minus takes a number, and this is {}", other.describe()),
            )),
        }
    }

    fn choose(&mut self, column: usize, parts: &[Node; 3]) -> Result<Typed, QueryError> {
        let condition = self.test(&parts[0])?;
        let (then, otherwise) = (self.typed(&parts[1])?, self.typed(&parts[2])?);
        let described = (then.describe(), otherwise.describe());
        Ok(match (then, otherwise) {
            (Typed::Null, Typed::Test(no)) => choose_test(condition, unknown(), no),
            (Typed::Test(yes), Typed::Null) => choose_test(condition, yes, unknown()),
            (Typed::Test(yes), Typed::Test(no)) => choose_test(condition, yes, no),
            (Typed::Null, Typed::Number(no, unit)) => {
                Typed::Number(Number::If(Box::new((condition, Number::Unknown, no))), unit)
            }
            (Typed::Number(yes, unit), Typed::Null) => Typed::Number(
                Number::If(Box::new((condition, yes, Number::Unknown))),
                unit,
            ),
            (Typed::Number(yes, unit), Typed::Number(no, other)) if unit == other => {
                Typed::Number(Number::If(Box::new((condition, yes, no))), unit)
            }
            (Typed::Null, Typed::Text(no)) => Typed::Text(TextExpression::If(Box::new((
                condition,
                TextExpression::Unknown,
                no,
            )))),
            (Typed::Text(yes), Typed::Null) => Typed::Text(TextExpression::If(Box::new((
                condition,
                yes,
                TextExpression::Unknown,
            )))),
            (Typed::Text(yes), Typed::Text(no)) => {
                Typed::Text(TextExpression::If(Box::new((condition, yes, no))))
            }
            _ => {
                let (then, otherwise) = described;
                let message = format!(
                    "both sides of the colon must be of one kind; they are {then} and {otherwise}"
                );
                return Err(QueryError::new(column, message));
            }
        })
    }

    fn index(&mut self, column: usize, operands: &[Node; 2]) -> Result<Typed, QueryError> {
        let Typed::List(list) = self.typed(&operands[0])? else {
            return Err(QueryError::new(
                column,
                "only lists have elements: args, ports",
            ));
        };
        let index = &operands[1];
        let Typed::Number(number, Unit::Plain) = self.typed(index)? else {
            return Err(QueryError::new(
                index.column,
                "an index is a number, from 0",
            ));
        };
        let index = Box::new(number);
        Ok(if list.of_texts {
            Typed::Text(TextExpression::At(list, index))
        } else {
            Typed::Number(Number::At(list, index), Unit::Plain)
        })
    }
}

fn unknown() -> Condition {
    Condition(Test::Unknown)
}

fn choose_test(condition: Condition, yes: Condition, no: Condition) -> Typed {
    Typed::Test(Condition(Test::If(Box::new([condition, yes, no]))))
}

/// Whether something has a value.
pub(super) fn known(typed: Typed) -> Test {
    match typed {
        Typed::Null => Test::Constant(false),
        Typed::Test(Condition(Test::Field(field)))
        | Typed::Number(Number::Field(field), _)
        | Typed::Text(TextExpression::Field(field))
        | Typed::List(List { field, .. })
        | Typed::Object(field) => Test::Known(field),
        Typed::Test(condition) => Test::KnownCondition(Box::new(condition)),
        Typed::Number(number, _) => Test::KnownNumber(number),
        Typed::Text(text) => Test::KnownText(text),
    }
}
