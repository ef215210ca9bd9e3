//! The HTTP API, a file per resource.

#[path = "../support/mod.rs"]
mod support;

mod agents;
mod alerts;
mod batches;
mod by_id;
mod channels;
mod document;
mod events;
mod followers;
mod groups;
mod history;
mod interval;
mod limits;
mod lists;
mod live;
mod metrics;
mod overload;
mod past;
mod processes;
mod prometheus;
mod series;
mod skew;
mod stream;
mod tree;
mod uploads;
