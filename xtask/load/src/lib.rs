//! Agents that exist only as what they send, and what to ask a server while they send it. The hosts are made up, the wire is
//! the real one: the same encoder, numbers, key batches and retries as procmon's own agent. Nothing here looks at this machine.

pub mod catalogue;
pub mod connection;
pub mod host;
pub mod ledger;
pub mod process;
pub mod quantiles;
pub mod random;
pub mod values;
