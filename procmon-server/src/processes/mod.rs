//! Processes that are there now: lists and trees of the live state. No history lives here.

mod filter;
pub mod routes;
mod sort;
mod tree;
mod view;

pub(crate) use filter::{LifeFilter, life_matches};
pub use view::ProcessBody;
