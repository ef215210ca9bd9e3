//! The language of `q`: CEL expressions over the fields of a process or of an event, checked and compiled once, then asked of
//! every row. Here are the language and how it is evaluated; the fields are beside what they belong to. What may be written
//! in it is bounded (length, depth, patterns), and what it may cost is metered, so that nobody's expression can hurt others.
//! Nothing here knows HTTP, live state or the store.

mod build;
mod calls;
mod check;
mod condition;
mod known;
mod lex;
mod meter;
mod needle;
mod number;
mod operand;
mod operators;
mod parse;
mod signature;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use build::Builder;
pub(crate) use calls::pattern_reason;
pub use condition::Condition;
pub use meter::Meter;
pub use signature::signature;
pub use value::{Field, Kind, Row, Text, Value};

use procmon_common::config::edit_distance;

/// Longest expression, in bytes.
pub const MAX_BYTES: usize = 4096;

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct QueryError {
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
}

impl QueryError {
    fn new(column: usize, message: impl Into<String>) -> Self {
        Self {
            column,
            message: message.into(),
        }
    }
}

/// Reads an expression over the fields of a row. It must be one that is true or false.
pub fn compile<R: Row>(source: &str) -> Result<Condition, QueryError> {
    check::check(&parse::parse(source)?, R::fields())
}

/// The candidate that a name was probably meant to be.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // A longer name than any there is would only cost time.
    let name: String = name.chars().take(64).collect();
    candidates
        .map(|candidate| (edit_distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 2).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
