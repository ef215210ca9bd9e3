//! What the eBPF programs, the agent and the server share: the records that cross the kernel boundary, identities, and
//! the wire format. Nothing here depends on aya, sysinfo, sqlx or axum, and only `config` (it reads one file) and what both
//! daemons begin with (`folder_lock`, `log`) do I/O.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod kernel;

#[cfg(feature = "wire")]
pub mod columns;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "std")]
pub mod exposition;
#[cfg(feature = "daemon")]
pub mod folder_lock;
#[cfg(feature = "wire")]
pub mod frame;
#[cfg(feature = "std")]
pub mod ids;
#[cfg(feature = "daemon")]
pub mod log;
#[cfg(feature = "wire")]
pub mod wire;
