//! Any text as an expression, asked of an event: `cargo +nightly fuzz run filter` in procmon-server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_server::live::ProcessView;
use procmon_server::query::{Field, Kind, Meter, Row, Text, Value, compile};

/// A row with a field of each kind, all of them known.
struct Sample;

const FIELDS: &[Field] = &[
    Field { name: "load", kind: Kind::Double },
    Field { name: "bytes", kind: Kind::Int },
    Field { name: "name", kind: Kind::Text },
    Field { name: "cmdline", kind: Kind::Text },
    Field { name: "busy", kind: Kind::Bool },
    Field { name: "ports", kind: Kind::Ints },
    Field { name: "args", kind: Kind::Texts },
    Field { name: "ts", kind: Kind::Time },
    Field { name: "none", kind: Kind::Text },
];

impl Row for Sample {
    fn fields() -> &'static [Field] {
        FIELDS
    }

    fn value(&self, field: usize) -> Value<'_> {
        match field {
            0 => Value::Double(62.5),
            1 => Value::Int(4096),
            2 => Value::Text(Text::new(&b"j\xc3\xa4va\xff"[..])),
            3 => Value::Text(Text::joined(b"java\0-Xmx1g\0\0")),
            4 => Value::Bool(true),
            5 => Value::Ints(&[80, 443]),
            6 => Value::Texts(b"java\0-Xmx1g\0\0"),
            7 => Value::Time(1),
            _ => Value::Unknown,
        }
    }
}

fuzz_target!(|source: &str| {
    let _ = compile::<ProcessView<'_>>(source);
    match compile::<Sample>(source) {
        Ok(condition) => {
            // Twice the same: nothing but the row decides.
            let first = condition.holds(&Sample, &Meter::default());
            assert_eq!(first, condition.holds(&Sample, &Meter::default()));
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!((1..=source.chars().count() + 1).contains(&error.column), "{error}");
        }
    }
});
