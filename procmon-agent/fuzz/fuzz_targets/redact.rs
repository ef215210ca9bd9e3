//! Any bytes as argv: `cargo +nightly fuzz run redact` in procmon-agent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_agent::redact::{MARKER, Redactor};

fuzz_target!(|bytes: &[u8]| {
    let redacted = Redactor::default().redact(bytes, bytes.len() as u64);
    let nuls = |text: &[u8]| text.iter().filter(|byte| **byte == 0).count();
    assert_eq!(nuls(redacted.bytes()), nuls(bytes));
    assert!(redacted.len() <= bytes.len() * (MARKER.len() + 1));
});
