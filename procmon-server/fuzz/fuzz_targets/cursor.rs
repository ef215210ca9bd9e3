//! Any text as a cursor: `cargo +nightly fuzz run cursor` in procmon-server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_server::store::Position;

fuzz_target!(|text: &str| {
    if let Some(position) = Position::from_cursor(text) {
        assert_eq!(position.to_cursor(), text);
    }
});
