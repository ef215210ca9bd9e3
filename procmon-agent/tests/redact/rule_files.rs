//! Rule files: what they add, and what their errors say.

use std::io::Write;

use procmon_agent::redact::Redactor;

fn rule_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("writes");
    file
}

fn redacted(redactor: &Redactor, args: &str) -> String {
    let redacted = redactor.redact(args.as_bytes(), 0);
    String::from_utf8_lossy(redacted.bytes()).into_owned()
}

fn error(text: &str) -> String {
    let file = rule_file(text);
    let error = Redactor::new(true, Some(file.path())).expect_err("a rule file with an error");
    let shown = format!("{error:#}");
    assert!(
        shown.contains(&file.path().display().to_string()),
        "names the file: {shown}"
    );
    shown
}

#[test]
fn a_file_adds_names_tools_patterns_and_exceptions() {
    let file = rule_file(
        r"
names: [license-code]
last_names: [pin]
query_names: [sid]
tools:
  - commands: [frobnicate]
    options: [-x]
    user_options: [-l]
    user_separator: '/'
patterns:
  - name: acme-token
    anchors: [acme_]
    regex: 'acme_[0-9a-f]{8}'
  - name: badge
    regex: 'badge ([0-9]{4})-(?P<secret>[0-9]{4})'
exceptions:
  names: [design-token]
  last_words: [colour]
  patterns: [twilio-key]
",
    );
    let redactor = Redactor::new(true, Some(file.path())).expect("a valid file");
    for (args, expected) in [
        ("a\0--license-code=abc\0", "a\0--license-code=‹redacted›\0"),
        ("a\0--pin\x004321\0", "a\0--pin\0‹redacted›\0"),
        (
            "a\0http://h/?sid=12&x=y\0",
            "a\0http://h/?sid=‹redacted›&x=y\0",
        ),
        ("frobnicate\0-x\0abc\0", "frobnicate\0-x\0‹redacted›\0"),
        (
            "frobnicate\0-l\0bob/abc\0",
            "frobnicate\0-l\0bob/‹redacted›\0",
        ),
        ("a\0acme_0123abcd\0", "a\0‹redacted›\0"),
        (
            "a\0badge 1234-5678, badge 1-2\0",
            "a\0badge 1234-‹redacted›, badge 1-2\0",
        ),
        ("a\0--design-token=blue\0", "a\0--design-token=blue\0"),
        ("a\0--token-colour=blue\0", "a\0--token-colour=blue\0"),
        ("a\0--password=x1\0", "a\0--password=‹redacted›\0"),
    ] {
        assert_eq!(redacted(&redactor, args), expected);
    }
    let by_rule = redactor.redactions_by_rule();
    assert_eq!(by_rule.get("acme-token"), Some(&1));
    assert_eq!(by_rule.get("name"), Some(&3));
    assert_eq!(by_rule.get("tool_option"), Some(&2));
    assert_eq!(redactor.redactions(), by_rule.values().sum::<u64>());
}

#[test]
fn an_empty_file_adds_nothing() {
    let file = rule_file("# nothing yet\n");
    let redactor = Redactor::new(true, Some(file.path())).expect("a valid file");
    assert_eq!(
        redacted(&redactor, "a\0--token=abc\0"),
        "a\0--token=‹redacted›\0"
    );
}

#[test]
fn off_is_off_and_rules_change_while_it_runs() {
    let redactor = Redactor::new(false, None).expect("no file to read");
    let clone = redactor.clone();
    assert_eq!(redacted(&clone, "a\0--token=abc\0"), "a\0--token=abc\0");
    redactor.reload(true, None).expect("no file to read");
    assert_eq!(
        redacted(&clone, "a\0--token=abc\0"),
        "a\0--token=‹redacted›\0"
    );
    let broken = rule_file("names: [X]\n");
    redactor
        .reload(true, Some(broken.path()))
        .expect_err("an invalid file");
    assert_eq!(
        redacted(&clone, "a\0--token=abc\0"),
        "a\0--token=‹redacted›\0",
        "an error leaves the rules in force"
    );
    assert_eq!(clone.redactions(), 2);
}

#[test]
fn a_title_that_is_read_again_is_counted_once() {
    let redactor = Redactor::default();
    let args = b"a --token=abc";
    let known = redactor.redact(args, 13);
    assert!(redactor.redact_other(&known, args, 13).is_none());
    assert_eq!(redactor.redactions(), 1);
    let other = redactor.redact_other(&known, b"a --token=abc idle", 18);
    assert!(other.is_some_and(|other| other.bytes().ends_with(b" idle")));
    assert_eq!(redactor.redactions(), 2);
}

#[test]
fn errors_say_where_and_what_to_write() {
    let missing =
        Redactor::new(true, Some("/nonexistent/rules.yaml".as_ref())).expect_err("no such file");
    assert!(
        format!("{missing:#}").contains("/nonexistent/rules.yaml"),
        "{missing:#}"
    );
    for (text, parts) in [
        ("nmaes: [x]\n", &["line 1", "nmaes", "names"][..]),
        ("names:\n  - abc\n  - {a: b}\n", &["line 3"]),
        ("names: [API_KEY]\n", &["names", "API_KEY", "api-key"]),
        ("names: [ab]\n", &["names", "`ab` is too short"]),
        ("tools:\n  - options: [-p]\n", &["line 2", "commands"]),
        (
            "tools:\n  - commands: [/usr/bin/x]\n",
            &["tools, entry 1", "without its folder"],
        ),
        (
            "patterns:\n  - {name: acme, regex: '(a'}\n",
            &["acme", "regex", "unclosed group"],
        ),
        (
            "patterns:\n  - {name: acme, regex: '(?=a)b'}\n",
            &["acme", "look-around"],
        ),
        (
            "patterns:\n  - {name: acme, regex: 'a*'}\n",
            &["acme", "empty"],
        ),
        (
            "patterns:\n  - {name: acme, regex: '(a{1000}){1000}'}\n",
            &["acme", "repeat less"],
        ),
        (
            "patterns:\n  - {name: jwt, regex: 'a'}\n",
            &["`jwt` is taken"],
        ),
        ("exceptions:\n  patterns: [jwd]\n", &["jwd", "jwt"]),
    ] {
        let shown = error(text);
        for part in parts {
            assert!(shown.contains(part), "{text}: no {part} in: {shown}");
        }
    }
}

#[test]
fn a_file_without_an_end_is_refused() {
    let error = Redactor::new(true, Some(std::path::Path::new("/dev/zero"))).expect_err("endless");
    assert!(format!("{error:#}").contains("too long"), "{error:#}");
}
