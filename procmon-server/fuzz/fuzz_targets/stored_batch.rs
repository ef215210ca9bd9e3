//! Any bytes as a stored batch: `cargo +nightly fuzz run stored_batch` in procmon-server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_server::store::format::{decode, decode_events, encode};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = decode(bytes) {
        let events = decode_events(bytes).expect("its events were read once");
        assert_eq!(events, batch.events);
        // What was read can be written, and is the same again.
        assert_eq!(decode(&encode(&batch)).expect("just written"), batch);
    }
});
