//! The past, as requests ask for it: a process over time, its whole life, and what a host was at an instant. What is kept
//! is read through [`crate::store::history`]; no SQL and no format lives here, and nothing here changes anything.
//!
//! Times in requests and answers are the server's. Where a host's clock is known to be off (by more than 5 s), what it says
//! is put right by what it is off now.

mod ancestors;
mod buckets;
mod diff;
mod gaps;
mod group_sums;
mod groups;
mod host;
mod host_routes;
mod life;
mod life_events;
mod life_routes;
mod life_view;
mod metric;
mod past;
mod past_samples;
mod range;
pub mod routes;
mod series;
mod view;

pub(crate) use metric::silence_ms;
pub(crate) use past::hosts_at;
pub(crate) use past_samples::{PastQuery, past_columns, past_samples};
