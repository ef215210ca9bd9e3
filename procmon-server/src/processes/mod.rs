//! Processes that are there now: lists and trees of the live state. No history lives here.

mod export;
mod fields;
mod figures;
mod filter;
mod groups;
mod json;
mod list;
pub mod routes;
mod rows;
mod sort;
mod table;
mod tree;
mod view;

pub(crate) use fields::arguments;
pub use rows::{Page, Rows};
pub use sort::{Place, Sort};
pub use view::ProcessBody;
