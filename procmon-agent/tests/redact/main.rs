//! Redaction against a corpus of command lines as people write them, and against any bytes.

mod corpus;
mod properties;
mod rule_files;

use procmon_agent::redact::Redactor;

#[test]
fn the_corpus_comes_out_as_it_says() {
    let redactor = Redactor::default();
    let mut wrong = Vec::new();
    for case in corpus::cases() {
        let redacted = redactor.redact(&case.args, 0);
        if redacted.bytes()[..] != case.expected[..] {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', " | ");
            wrong.push(format!(
                "line {}:\n  expected {}\n  got      {}",
                case.line,
                text(&case.expected),
                text(redacted.bytes())
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
