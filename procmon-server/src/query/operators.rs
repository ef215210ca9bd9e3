//! Operators between two values: which kinds go together, and what comes of them.

use super::QueryError;
use super::check::{Checker, Typed, Unit, known};
use super::condition::{Comparison, Condition, Test};
use super::needle::Needle;
use super::number::{Arithmetic, Number, calculate};
use super::operand::TextExpression;
use super::tree::Node;

impl Checker {
    pub(super) fn compare(
        &mut self,
        column: usize,
        comparison: Comparison,
        operands: &[Node; 2],
    ) -> Result<Typed, QueryError> {
        let (left, right) = (self.typed(&operands[0])?, self.typed(&operands[1])?);
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let described = (left.describe(), right.describe());
        let test = match (left, right) {
            (Typed::Null, Typed::Null) if equality => {
                Test::Constant(comparison == Comparison::Equal)
            }
            (Typed::Null, value) | (value, Typed::Null) if equality => {
                let known = known(value);
                if comparison == Comparison::Equal {
                    Test::Not(Box::new(Condition(known)))
                } else {
                    known
                }
            }
            (Typed::Number(left, unit), Typed::Number(right, other)) if unit == other => {
                compare_numbers(comparison, left, right)
            }
            (Typed::Text(left), Typed::Text(right)) => compare_texts(comparison, left, right),
            (Typed::Test(left), Typed::Test(right)) if equality => {
                negated_unless(comparison, Test::Same(Box::new([left, right])))
            }
            (Typed::List(_), _) | (_, Typed::List(_)) => {
                let message =
                    "lists are not compared; write value in list, list.exists(x, …) or size(list)";
                return Err(QueryError::new(column, message));
            }
            (Typed::Object(_), _) | (_, Typed::Object(_)) => {
                let message =
                    "this can only be compared with null; its fields can be compared with more";
                return Err(QueryError::new(column, message));
            }
            _ => return Err(QueryError::new(column, mismatch(described))),
        };
        Ok(Typed::Test(Condition(test)))
    }

    pub(super) fn calculate(
        &mut self,
        column: usize,
        symbol: &str,
        operands: &[Node; 2],
    ) -> Result<Typed, QueryError> {
        let operator = match symbol {
            "+" => Arithmetic::Add,
            "-" => Arithmetic::Subtract,
            "*" => Arithmetic::Multiply,
            "/" => Arithmetic::Divide,
            _ => Arithmetic::Remainder,
        };
        let (left, right) = (self.typed(&operands[0])?, self.typed(&operands[1])?);
        let described = (left.describe(), right.describe());
        let wrong = || {
            let (left, right) = described;
            let message = format!("{symbol} is not for {left} and {right}");
            QueryError::new(column, message)
        };
        let (Typed::Number(left, left_unit), Typed::Number(right, right_unit)) = (left, right)
        else {
            return Err(wrong());
        };
        let unit = match (operator, left_unit, right_unit) {
            (_, Unit::Plain, Unit::Plain) => Unit::Plain,
            (Arithmetic::Subtract, Unit::Time, Unit::Time)
            | (Arithmetic::Add | Arithmetic::Subtract, Unit::Duration, Unit::Duration) => {
                Unit::Duration
            }
            (Arithmetic::Add | Arithmetic::Subtract, Unit::Time, Unit::Duration)
            | (Arithmetic::Add, Unit::Duration, Unit::Time) => Unit::Time,
            _ => return Err(wrong()),
        };
        let number = match (&left, &right) {
            (Number::Constant(a), Number::Constant(b)) => {
                calculate(operator, *a, *b).map_or(Number::Unknown, Number::Constant)
            }
            _ => Number::Calculate(operator, Box::new([left, right])),
        };
        Ok(Typed::Number(number, unit))
    }
}

fn compare_numbers(comparison: Comparison, left: Number, right: Number) -> Test {
    match (left, right) {
        (Number::Field(field), Number::Constant(constant)) => {
            Test::Compare(field, comparison, constant)
        }
        (Number::Constant(constant), Number::Field(field)) => {
            Test::Compare(field, comparison.mirrored(), constant)
        }
        (left, right) => Test::Numbers(comparison, Box::new([left, right])),
    }
}

fn compare_texts(comparison: Comparison, left: TextExpression, right: TextExpression) -> Test {
    let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    match (left, right) {
        (TextExpression::Constant(constant), text) | (text, TextExpression::Constant(constant))
            if equality =>
        {
            negated_unless(comparison, Test::Is(text, Needle::new(&constant)))
        }
        (left, right) => Test::Texts(comparison, Box::new([left, right])),
    }
}

fn negated_unless(comparison: Comparison, test: Test) -> Test {
    if comparison == Comparison::NotEqual {
        Test::Not(Box::new(Condition(test)))
    } else {
        test
    }
}

fn mismatch((left, right): (&str, &str)) -> String {
    let hint = match (left, right) {
        ("a time", "a text") | ("a text", "a time") => "; write timestamp('2026-01-31T12:00:00Z')",
        ("a duration", "a number") | ("a number", "a duration") => "; write duration('5s')",
        ("a number", "a text") => "; write numbers without quotes",
        ("a text", "a number") => "; write texts in quotes",
        _ => "",
    };
    format!("{left} cannot be compared with {right} in this way{hint}")
}
