//! Any bytes from the ring: `cargo +nightly fuzz run decode` in procmon-agent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_agent::decode::{Record, decode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Record::Exec { exe, args, .. }) = decode(bytes) {
        assert!(exe.len() + args.len() <= bytes.len());
    }
});
