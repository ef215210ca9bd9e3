//! The language by examples, and against another implementation of CEL.

use proptest::prelude::*;

use super::*;

/// A row whose values are written down.
struct Sample {
    load: Option<f64>,
    size: Option<i64>,
    name: Option<&'static str>,
    busy: Option<bool>,
    ports: Option<&'static [u16]>,
    args: Option<&'static [u8]>,
    parent: Option<&'static str>,
}

const FIELDS: &[Field] = &[
    Field {
        name: "load",
        kind: Kind::Double,
    },
    Field {
        name: "bytes",
        kind: Kind::Int,
    },
    Field {
        name: "name",
        kind: Kind::Text,
    },
    Field {
        name: "busy",
        kind: Kind::Bool,
    },
    Field {
        name: "ports",
        kind: Kind::Ints,
    },
    Field {
        name: "args",
        kind: Kind::Texts,
    },
    Field {
        name: "parent",
        kind: Kind::Object,
    },
    Field {
        name: "parent.name",
        kind: Kind::Text,
    },
    Field {
        name: "ts",
        kind: Kind::Time,
    },
];

impl Row for Sample {
    fn fields() -> &'static [Field] {
        FIELDS
    }

    fn value(&self, field: usize) -> Value<'_> {
        match field {
            0 => Value::double(self.load),
            1 => Value::int(self.size),
            2 => Value::text(self.name.map(str::as_bytes)),
            3 => Value::bool(self.busy),
            4 => self.ports.map_or(Value::Unknown, Value::Ints),
            5 => self.args.map_or(Value::Unknown, Value::Texts),
            6 => self.parent.map_or(Value::Unknown, |_| Value::Object),
            7 => Value::text(self.parent.map(str::as_bytes)),
            // 2026-01-31T12:00:00Z
            _ => Value::Time(1_769_860_800_000_000_000),
        }
    }
}

const KNOWN: Sample = Sample {
    load: Some(62.5),
    size: Some(4096),
    name: Some("Java"),
    busy: Some(true),
    ports: Some(&[80, 443]),
    args: Some(b"/usr/bin/java\0-Xmx1g\0\0a b\0"),
    parent: Some("systemd"),
};

const UNKNOWN: Sample = Sample {
    load: None,
    size: None,
    name: None,
    busy: None,
    ports: None,
    args: None,
    parent: None,
};

fn holds(source: &str, row: &Sample) -> bool {
    let condition = compile::<Sample>(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    condition.holds(row, &Meter::default())
}

#[test]
fn expressions_hold() {
    for source in [
        "load > 50 && name == 'Java'",
        "load >= 62.5 && load <= 62.5 && load == 62.5 && load != 62",
        "50 < load",
        "bytes == 4 * 1024 && bytes / 1000 == 4 && bytes % 1000 == 96 && -bytes < 0",
        "double(bytes) / 1000 > 4.09 && int(load) == 62",
        "busy && !(!busy) && busy == true && busy != false",
        "name in ['C', \"Java\"] && !(name in [])",
        "name.startsWith('J') && name.endsWith('va') && name.contains('av') && name.contains('')",
        "name.lowerAscii() == 'java' && name.size() == 4 && size(name) == 4",
        "name.matches('^J.v') && !name.matches('^a')",
        "name < 'K' && name > 'I'",
        "443 in ports && !(22 in ports) && ports.size() == 2 && ports[0] == 80",
        "ports.exists(p, p > 400) && !ports.all(p, p > 400) && ports.exists_one(p, p == 80)",
        "'-Xmx1g' in args && args[0].endsWith('/java') && size(args) == 4 && args[2] == ''",
        "args.exists(a, a.startsWith('-Xmx')) && args.all(a, a != 'x')",
        "parent != null && parent.name == 'systemd' && has(parent.name)",
        "ts == timestamp('2026-01-31T13:00:00+01:00') && ts - timestamp('2026-01-31T11:00:00Z') == duration('1h')",
        "ts + duration('90s') > timestamp('2026-01-31T12:01:00Z')",
        "busy ? load > 1 : false",
        "(load > 100 ? 'a' : 'b') == 'b'",
        "true || false && false",
        "load > 50 // and a comment",
        "r'\\d' == '\\\\d' && '\\x41\\u00e4\\n' == \"Aä\n\" && '''it's''' == \"it's\"",
        "0x10 == 16 && 1e3 == 1000.0 && .5 == 0.5 && 5u == 5",
        "-9223372036854775808 < 0",
    ] {
        let source = source.replace("\"Aä\n\"", "'Aä\\n'");
        assert!(holds(&source, &KNOWN), "{source}");
    }
}

#[test]
fn what_is_unknown_neither_holds_nor_fails() {
    for source in [
        "load > 50",
        "!(load > 50)",
        "load != 50",
        "load == load",
        "name == 'x'",
        "name != 'x'",
        "!name.contains('x')",
        "name in ['x']",
        "!(name in ['x'])",
        "busy",
        "!busy",
        "443 in ports",
        "!ports.exists(p, p == 1)",
        "ports.all(p, p == 1)",
        "size(args) == 0",
        "args[0] == ''",
        "busy ? true : true",
        "load > 50 || load <= 50",
        "load > 50 && true",
        "load / 0.0 > 1",
        "parent.name == 'x'",
    ] {
        assert!(!holds(source, &UNKNOWN), "{source}");
    }
    for source in [
        "load == null",
        "!(load != null)",
        "null == name",
        "!has(busy) && ports == null && args == null && parent == null",
        "load > 50 || true",
        "!(load > 50 && false)",
        "(load > 50) == null",
    ] {
        assert!(holds(source, &UNKNOWN), "{source}");
    }
    // What cannot be calculated is not known either.
    for source in [
        "1 / 0 == 1",
        "!(1 % 0 == 1)",
        "args[9] == ''",
        "ports[-1] == 1",
        "9223372036854775807 + 1 > 0",
    ] {
        assert!(!holds(source, &KNOWN), "{source}");
    }
}

#[test]
fn errors_point_at_their_place() {
    for (source, column, words) in [
        ("", 1, "expected a value, found the end"),
        ("load >> 50", 7, "found >"),
        ("load > 50 && ", 14, "found the end"),
        ("name = 'x'", 6, "=="),
        ("load > 50 and busy", 11, "&&"),
        ("not busy", 1, "write !"),
        ("loda > 50", 1, "did you mean load?"),
        ("'ä' == nmae", 8, "did you mean name?"),
        ("load", 1, "true or false"),
        ("load > 'x'", 6, "without quotes"),
        ("name > 5", 6, "in quotes"),
        ("name == 'x", 9, "no closing '"),
        ("name.contain('x')", 6, "did you mean contains?"),
        ("name.matches('(')", 14, "unclosed group"),
        ("name.matches(name)", 14, "in quotes"),
        ("name.contains(5)", 15, "takes a text"),
        ("load.contains('5')", 6, "has no functions"),
        ("nam.contains('x')", 1, "did you mean name?"),
        ("prent.name == 'x'", 1, "did you mean parent?"),
        ("parent.nme == 'x'", 8, "name"),
        ("parent == 'x'", 8, "null"),
        ("ports == [80]", 10, "after in"),
        ("ports > 5", 7, "not compared"),
        ("ports.exists(name, true)", 14, "is a field"),
        ("ports.exists(p, args.exists(a, true))", 22, "cost too much"),
        ("ts > '2026-01-31T12:00:00Z'", 4, "timestamp('"),
        ("ts > timestamp('now')", 16, "not a time"),
        ("ts - ts > 5", 9, "duration('5s')"),
        ("load > 50%", 10, "%"),
        ("bytes > 5MB", 10, "units"),
        ("{'a': 1}", 1, "maps"),
        ("b'x' == name", 1, "bytes"),
        ("load > 5 5", 10, "found 5"),
        ("name + 'x' == 'y'", 6, "+"),
        ("f(name)", 1, "functions"),
        ("for", 1, "reserved"),
        ("99999999999999999999 > load", 1, "fits"),
        ("1e999 > load", 1, "fits"),
        ("(busy", 6, "expected )"),
        ("busy &", 6, "&&"),
        ("load > 5 ? 1 : 'x'", 10, "one kind"),
        ("busy == 'x' || ü", 16, "ü"),
    ] {
        let error = compile::<Sample>(source).map(|_| ()).expect_err(source);
        assert!(
            error.message.contains(words) || (words == "ü" && error.column == 6),
            "{source}: {error}"
        );
        if words != "ü" {
            assert_eq!(error.column, column, "{source}: {error}");
        }
    }
}

#[test]
fn hostile_expressions_are_refused_early() {
    let many = |part: &str, count| part.repeat(count);
    for source in [
        many("(", 4000),
        many("[", 4000),
        many("!", 4000) + "busy",
        many("- ", 2000) + "load > 1",
        many("load+", 800) + "load > 1",
        many("busy ? ", 500) + "busy",
        many("busy && ", 500) + "busy",
        format!("name{}", many(".lowerAscii()", 300)),
        many("has(", 1000),
        format!("name.matches('{}')", many("(a{99}){99}", 9)),
        format!("name.matches('{}')", many("(", 200) + &many(")", 200)),
        format!("name.matches('{}')", many("a", 600)),
        many("name.matches('a') || ", 9) + "busy",
        many("a", 5000),
    ] {
        let outcome = compile::<Sample>(&source);
        let short: String = source.chars().take(30).collect();
        let allowed = source.starts_with(['!', '-']) || source.starts_with("busy &&");
        assert_eq!(outcome.is_ok(), allowed, "{short}");
    }
}

#[test]
fn costs_are_counted() {
    let condition = compile::<Sample>("args.exists(a, a.contains('q') || a.matches('y+'))");
    let condition = condition.expect("valid");
    let meter = Meter::with_budget(20);
    assert!(!condition.holds(&KNOWN, &meter));
    assert!(meter.exhausted());
    let meter = Meter::with_budget(1_000);
    assert!(!condition.holds(&KNOWN, &meter));
    assert!(!meter.exhausted());
}

/// What the `cel` crate makes of an expression; `None` where it sees an error.
fn of_crate(source: &str) -> Option<bool> {
    let program = cel::Program::compile(source).ok()?;
    let mut context = cel::Context::default();
    context.add_variable_from_value("load", KNOWN.load.unwrap_or_default());
    context.add_variable_from_value("bytes", KNOWN.size.unwrap_or_default());
    context.add_variable_from_value("name", KNOWN.name.unwrap_or_default());
    context.add_variable_from_value("busy", KNOWN.busy.unwrap_or_default());
    context.add_variable_from_value("ports", vec![80_i64, 443]);
    context.add_variable_from_value("args", vec!["/usr/bin/java", "-Xmx1g", "", "a b"]);
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Some(value),
        _ => None,
    }
}

fn expression() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("load".to_owned()),
        Just("double(bytes)".to_owned()),
        (0..200_u32).prop_map(|value| format!("{}.0", value / 2)),
    ];
    let whole = prop_oneof![
        Just("bytes".to_owned()),
        Just("size(args)".to_owned()),
        Just("name.size()".to_owned()),
        (-5..5000_i32).prop_map(|value| value.to_string()),
    ];
    let sum = (number, prop_oneof!["\\+", "-", "\\*", "/"], 1..9_u32)
        .prop_map(|(number, operator, by)| format!("{number} {operator} {by}.0"));
    let whole_sum = (whole, prop_oneof!["\\+", "-", "\\*", "/", "%"], 0..9_u32)
        .prop_map(|(whole, operator, by)| format!("{whole} {operator} {by}"));
    let comparison = prop_oneof!["==", "!=", "<", "<=", ">", ">="];
    let text = prop_oneof!["name", "'[a-zJ]{0,4}'", "args\\[[0-3]\\]"];
    let search = prop_oneof!["contains", "startsWith", "endsWith", "matches"];
    let leaf = prop_oneof![
        (sum.clone(), comparison.clone(), sum).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (whole_sum.clone(), comparison.clone(), whole_sum)
            .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text.clone(), comparison, text.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        (text, search.clone(), "[a-zJ]{0,3}").prop_map(|(a, op, b)| format!("{a}.{op}('{b}')")),
        (0..500_u32).prop_map(|port| format!("{port} in ports")),
        "args\\.(exists|all)\\(a, a\\.(contains|endsWith)\\('[a-z-]{0,2}'\\)\\)",
        "name in \\['Java', '[a-z]'\\]",
        Just("busy".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} && {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} || {b}")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Where both see no error, both see the same.
    #[test]
    fn known_values_are_judged_as_the_cel_crate_does(source in expression()) {
        let ours = compile::<Sample>(&source);
        let ours = ours.unwrap_or_else(|error| panic!("{source}: {error}"));
        // Its parser wants more stack than a test has.
        let theirs = std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn({ let source = source.clone(); move || of_crate(&source) })
            .expect("a thread")
            .join()
            .expect("no panic");
        if let Some(theirs) = theirs {
            prop_assert_eq!(ours.holds(&KNOWN, &Meter::default()), theirs, "{}", source);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(source in "\\PC{0,80}") {
        let _ = compile::<Sample>(&source);
    }

    #[test]
    fn any_tokens_are_read_or_refused(
        tokens in proptest::collection::vec(
            prop_oneof!["load", "name", "busy", "ports", "args", "parent", "ts", "has", "size", "[-+*/%<>!?:.,()\\[\\]]", "&&",
                "\\|\\|", "==", "in", "'a'", "1", "2\\.5", "null", "true", "exists", "matches", "x", "timestamp"],
            0..24,
        ),
    ) {
        if let Ok(condition) = compile::<Sample>(&tokens.join(" ")) {
            let _ = condition.holds(&KNOWN, &Meter::default());
            let _ = condition.holds(&UNKNOWN, &Meter::default());
        }
    }
}
