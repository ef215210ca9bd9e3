//! What is to be told is told: receivers that are away, slow or tired, servers that are killed. The receivers are real, the clock
//! is set by the tests.

#[path = "../support/mod.rs"]
mod support;

mod alertmanager;
mod bench;
mod defaults;
mod faults;
mod gone_client;
mod guard;
mod histories;
mod killed;
mod reference;
mod rules_killed;
mod store_away;
mod subscription;
