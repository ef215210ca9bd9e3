//! Rules, the alerts that they make, and how those live. What is told to others about them is not here, and neither is SQL.

mod alert;
mod backtest;
mod book;
pub mod engine;
pub mod evaluate;
pub mod labels;
pub mod matcher;
mod restore;
pub mod routes;
pub mod rule;
mod shown;
pub mod silence;
pub mod state;
mod telling;

pub use alert::{Acknowledgement, AlertRow, Transition};
pub use book::{Book, Decision, Key};
pub use engine::{Alerts, KeptRule};
pub use labels::LabelSet;
pub use routes::view::TransitionView;
pub use shown::Shown;
