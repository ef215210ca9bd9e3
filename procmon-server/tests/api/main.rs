//! The HTTP API, a file per resource.

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod batches;
mod document;
mod events;
mod followers;
mod interval;
mod lists;
mod live;
mod metrics;
mod processes;
mod stream;
mod tree;
mod uploads;
