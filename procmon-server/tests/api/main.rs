//! The HTTP API, a file per resource.

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod batches;
mod document;
mod events;
mod history;
mod interval;
mod live;
mod metrics;
mod processes;
mod series;
mod stream;
mod tree;
mod uploads;
