//! What was acknowledged survives: kill -9, restarts, a full disk. The real binary, and agents that exist only as batches.

#[path = "../support/mod.rs"]
mod support;

mod compaction;
mod database;
mod full_disk;
mod killed;
mod load;
