//! The HTTP API, a file per resource.

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod batches;
mod by_id;
mod document;
mod events;
mod groups;
mod history;
mod interval;
mod limits;
mod followers;
mod interval;
mod lists;
mod live;
mod metrics;
mod past;
mod processes;
mod series;
mod prometheus;
mod skew;
mod stream;
mod tree;
mod uploads;
