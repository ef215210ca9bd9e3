//! The procmon server as a library, so that tests can run it in their own process.

pub mod alerts;
pub mod app;
pub mod batch;
pub mod clock;
pub mod compaction;
pub mod config;
pub mod delivery;
pub mod error;
pub mod events;
pub mod history;
mod host_check;
pub mod hosts;
pub mod http;
pub mod ingest;
mod keyset;
pub mod live;
pub mod metrics;
pub mod page;
pub mod processes;
pub mod query;
pub mod retention;
pub mod routing;
pub mod run;
mod stall;
pub mod store;
mod turns;
mod ui;
