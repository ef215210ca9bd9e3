//! What holds for any argv.

use procmon_agent::redact::{MARKER, Redactor};
use proptest::prelude::*;

use crate::corpus;

/// Where a secret stands, for `{}`.
const TEMPLATES: [&str; 22] = [
    "app\0--password={}\0--verbose\0",
    "app\0--password\0{}\0--verbose\0",
    "app\0--password={}",
    "app\0-Dx.password={}\0Main\0",
    "mysql\0-uroot\0-p{}\0db\0",
    "sshpass\0-p\0{}\0ssh\0host\0",
    "curl\0-u\0bob:{}\0https://host/\0",
    "curl\0-H\0Authorization: Bearer {}\0",
    "curl\0-H\0X-Api-Key: {}\0",
    "env\0AWS_SECRET_ACCESS_KEY={}\0cmd\0",
    "env\0PGPASSWORD={}\0psql\0",
    "psql\0postgres://bob:{}@host:5432/db\0",
    "app\0https://host/p?user=u&token={}&x=y\0",
    "app\0Server=h;Password={};Encrypt=true\0",
    "sh\0-c\0mysql -uroot -p{} db\0",
    "sh\0-c\0PGPASSWORD={} psql -h db\0",
    "sh\0-c\0app --token {} --port 80\0",
    "sh\0-c\0curl -u bob:{} https://host/\0",
    "curl\0-d\0{\"user\":\"bob\",\"password\":\"{}\"}\0",
    "docker\0login\0-u\0bob\0-p\0{}\0host\0",
    "aws\0configure\0set\0aws_secret_access_key\0{}\0",
    "worker: --token={} idle",
];

/// Text that means something to the rules, so that random argv meets all of them.
const FRAGMENTS: [&str; 44] = [
    "password",
    "--password",
    "-p",
    "token",
    "secret",
    "=",
    ":",
    " ",
    "\0",
    "'",
    "\"",
    "\\",
    "\\\"",
    "$",
    "$(",
    ")",
    "{",
    "}",
    ";",
    "&",
    "|",
    "?",
    "#",
    "@",
    "://",
    "/",
    "mysql",
    "curl",
    "-u",
    "-H",
    "sh\0-c\0",
    "docker login -p",
    "set",
    "key",
    "_KEY",
    "ghp_",
    "eyJ",
    "-----BEGIN PRIVATE KEY-----",
    "Bearer ",
    "Authorization: ",
    "a",
    "B7",
    "‹redacted›",
    "user:pw@host",
];

fn argv() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        8 => proptest::sample::select(&FRAGMENTS[..]).prop_map(|text| text.as_bytes().to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(fragment, 0..40).prop_map(|parts| parts.concat())
}

fn nuls(text: &[u8]) -> usize {
    text.split(|byte| *byte == 0).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_keep_their_arguments(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let redacted = Redactor::default().redact(&bytes, 0);
        prop_assert_eq!(nuls(redacted.bytes()), nuls(&bytes));
    }

    #[test]
    fn what_meets_the_rules_keeps_its_arguments(args in argv()) {
        let redacted = Redactor::default().redact(&args, 0);
        prop_assert_eq!(nuls(redacted.bytes()), nuls(&args));
        prop_assert_eq!(redacted.bytes().ends_with(b"\0"), args.ends_with(b"\0"));
    }

    #[test]
    fn a_secret_is_never_in_what_comes_out(
        template in proptest::sample::select(&TEMPLATES[..]),
        secret in "[A-Za-z0-9][A-Za-z0-9_.+%!^~-]{7,40}",
    ) {
        let args = template.replacen("{}", &secret, 1);
        // The template with the JSON has another pair of braces.
        let args = if args.contains("{}") { template.replace("\"{}\"", &format!("\"{secret}\"")) } else { args };
        let redactor = Redactor::default();
        let redacted = redactor.redact(args.as_bytes(), 0);
        let shown = String::from_utf8_lossy(redacted.bytes()).into_owned();
        prop_assert!(!shown.contains(&secret), "{}", shown);
        prop_assert!(redactor.redactions() >= 1);
        let again = redactor.redact(redacted.bytes(), 0);
        prop_assert_eq!(again.bytes(), redacted.bytes());
    }
}

#[test]
fn redacting_twice_changes_nothing_more() {
    let redactor = Redactor::default();
    for case in corpus::cases() {
        let once = redactor.redact(&case.args, 0);
        let twice = redactor.redact(once.bytes(), 0);
        assert_eq!(once, twice, "line {}", case.line);
    }
}

/// The kernel cuts argv at 4096 bytes, in the middle of anything.
#[test]
fn a_cut_argv_shows_no_more_than_a_whole_one() {
    let redactor = Redactor::default();
    for case in corpus::cases() {
        for length in 0..case.args.len() {
            let cut = redactor.redact(&case.args[..length], 0);
            let whole = String::from_utf8_lossy(cut.bytes()).into_owned();
            for secret in case.secrets.iter().filter(|secret| secret.len() > 4) {
                assert!(
                    !whole.contains(secret.as_str())
                        || case.args[..length].len() < case.args.len() - 1,
                    "line {}",
                    case.line
                );
            }
        }
    }
}

#[test]
fn a_password_that_was_cut_is_none_the_less_one() {
    let redactor = Redactor::default();
    for template in TEMPLATES {
        let Some((before, _)) = template.split_once("{}") else {
            continue;
        };
        let cut = format!("{before}hunter2Long");
        let redacted = redactor.redact(cut.as_bytes(), 0);
        let shown = String::from_utf8_lossy(redacted.bytes()).into_owned();
        // A user without a password yet, or a bearer token that is too short to be one.
        assert!(!shown.contains("hunter2Long"), "{shown}");
    }
}

/// Inputs made to be slow. Rules that looked at the rest of the text for each of many places would not end within a test's time.
#[test]
fn hostile_argv_ends() {
    let redactor = Redactor::default();
    let more = [
        "password=",
        "api-key=/etc/",
        "curl -u ",
        "eyJ-",
        "a://b:c/",
        "set password ",
        "'token'=",
        "mysql -psecret ",
        "?sig=",
        "token=env:",
        "token=‹redacted›",
        "password=$(",
        "\ntoken: ",
        "\"token\":",
        "token=$a",
    ];
    for fragment in FRAGMENTS.iter().chain(&more) {
        let args = fragment.repeat((1 << 16) / fragment.len());
        let redacted = redactor.redact(args.as_bytes(), 0);
        assert_eq!(nuls(redacted.bytes()), nuls(args.as_bytes()), "{fragment}");
        assert!(redacted.len() <= args.len() * (MARKER.len() + 1));
    }
}
