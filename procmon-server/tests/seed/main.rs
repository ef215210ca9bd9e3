//! Whoever comes from the seed brings its requests and its two configuration files: here they are, as they were written, against
//! a fresh server. Alerts are not here yet.

mod configuration;
mod requests;
#[path = "../support/mod.rs"]
mod support;
