//! The procmon agent.
fn main() {}
