//! The procmon agent: sees every process of one host from its exec to its exit, and ships what it saw to a server.
//!
//! `kernel` reads the ring, `decode` its records, `table` knows the live processes, `sample` their metrics; batches go
//! through `spool` to `ship`. `main` wires them; nothing here creates tasks.

pub mod batch;
pub mod check;
pub mod config;
pub mod decode;
pub mod enrich;
pub mod events;
pub mod kernel;
pub mod limits;
pub mod listen;
mod losses;
pub mod notice;
pub mod privileges;
pub mod redact;
pub mod reload;
pub mod resume;
pub mod sample;
pub mod ship;
pub mod sockets;
pub mod source;
pub mod spool;
pub mod table;
pub mod top;
pub mod vitals;
pub mod watch;
