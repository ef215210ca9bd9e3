//! The procmon server.
fn main() {}
