//! Any text as a cursor: `cargo +nightly fuzz run cursor` in procmon-server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_server::processes::Sort;
use procmon_server::store::Position;

fuzz_target!(|text: &str| {
    if let Some(position) = Position::from_cursor(text) {
        assert_eq!(position.to_cursor(), text);
    }
    for order in ["-cpu_percent", "name,-pid"] {
        let sort = Sort::parse(Some(order)).expect("fields");
        if let Ok(place) = sort.read_cursor(text) {
            let again = sort.read_cursor(&sort.to_cursor(&place)).expect("its own cursor");
            assert_eq!(sort.to_cursor(&again), sort.to_cursor(&place));
        }
    }
    let _ = Sort::parse(Some(text));
});
