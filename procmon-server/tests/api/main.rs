//! The HTTP API, a file per resource.

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod batches;
mod document;
mod events;
mod interval;
mod limits;
mod live;
mod metrics;
mod processes;
mod prometheus;
mod skew;
mod stream;
mod tree;
mod uploads;
