//! Whoever comes from the seed brings its requests and its two configuration files: here they are, as they were written, against
//! a fresh server.

mod alerts;
mod configuration;
mod requests;
#[path = "../support/mod.rs"]
mod support;
