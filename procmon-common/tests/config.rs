//! Layered configuration, as its two programs use it: what wins, and what an operator reads when something is wrong.
#![cfg(feature = "config")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procmon_common::config::{ByteSize, ConfigError, KeySet, Labels, Layers, Secret, Value};

const KEYS: KeySet = KeySet {
    supported: &[
        "agent_id",
        "interval",
        "token",
        "labels",
        "spool_max_bytes",
        "fork_events",
        "spool_dir",
    ],
    unsupported: &["pin", "listen"],
};

fn file(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent.yaml");
    std::fs::write(&path, content).expect("writes");
    (folder, path)
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

fn layers(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    path: Option<&Path>,
) -> Result<Layers, ConfigError> {
    let flags = flags.iter().map(|(key, text)| (*key, Value::from(*text)));
    Layers::read(&KEYS, flags, environment(variables), path)
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_key_by_key() {
    let (_folder, path) = file("agent_id: file\ninterval: 1s\nspool_max_bytes: 1GB\n");
    let layers = layers(
        &[("agent_id", "flag")],
        &[("PROCMON_AGENT_ID", "env"), ("PROCMON_INTERVAL", "2s")],
        Some(&path),
    )
    .expect("reads");
    assert_eq!(layers.get("agent_id").unwrap(), Some("flag".to_owned()));
    assert_eq!(
        layers.get("interval").unwrap(),
        Some(Duration::from_secs(2))
    );
    assert_eq!(
        layers.get("spool_max_bytes").unwrap(),
        Some(ByteSize(1_000_000_000))
    );
    assert_eq!(layers.get::<bool>("fork_events").unwrap(), None);
    assert_eq!(layers.place("agent_id"), "--agent-id");
    assert_eq!(layers.place("interval"), "PROCMON_INTERVAL");
    assert_eq!(
        layers.place("spool_max_bytes"),
        format!("{}: spool_max_bytes", path.display())
    );
    assert_eq!(layers.place("fork_events"), "default");
}

#[test]
fn an_empty_file_and_blank_values_leave_the_defaults() {
    for content in ["", "\n# nothing\n", "---\n", "token:\nlabels: ~\n"] {
        let (_folder, path) = file(content);
        let layers = layers(&[], &[], Some(&path)).expect(content);
        assert_eq!(layers.get::<Secret>("token").unwrap(), None);
    }
    let layers = layers(&[], &[("PROCMON_TOKEN", "")], None).expect("reads");
    assert_eq!(layers.get::<Secret>("token").unwrap(), None);
}

#[test]
fn yaml_values_of_every_type() {
    let (_folder, path) = file(
        "agent_id: web-1\ninterval: 0\ntoken: s3cret\nlabels: {team: core, env: \"1\"}\nspool_max_bytes: 4096\n\
         fork_events: on\nspool_dir: /x/y\n",
    );
    let layers = layers(&[], &[], Some(&path)).expect("reads");
    assert_eq!(layers.get("interval").unwrap(), Some(Duration::ZERO));
    assert_eq!(layers.get("token").unwrap(), Some(Secret::new("s3cret")));
    let labels: Labels = layers.get("labels").unwrap().expect("present");
    assert_eq!(labels.0["team"], "core");
    assert_eq!(layers.get("spool_max_bytes").unwrap(), Some(ByteSize(4096)));
    assert_eq!(layers.get("fork_events").unwrap(), Some(true));
    assert_eq!(
        layers.get("spool_dir").unwrap(),
        Some(PathBuf::from("/x/y"))
    );
}

#[test]
fn the_config_path_can_come_from_the_environment() {
    let (_folder, path) = file("agent_id: from-file\n");
    let variables = environment(&[("PROCMON_CONFIG", path.to_str().expect("UTF-8"))]);
    let layers = Layers::read(&KEYS, [], variables, None).expect("reads");
    assert_eq!(
        layers.get("agent_id").unwrap(),
        Some("from-file".to_owned())
    );
}

#[test]
fn what_an_operator_reads_about_a_file() {
    for (content, expected) in [
        (
            "intervall: 5s",
            "intervall: unknown key; did you mean `interval`?",
        ),
        (
            "agent-id: x",
            "agent-id: unknown key; did you mean `agent_id`?",
        ),
        ("42: x", "42: unknown key; did you mean `"),
        ("pin: true", "pin: not supported by this version"),
        (
            "- a\n- b",
            "expected lines of `key: value`, for example `agent_id: …`",
        ),
        ("agent_id: [", "not valid YAML: "),
        ("agent_id: a\nagent_id: b", "duplicate entry"),
    ] {
        let (_folder, path) = file(content);
        let message = layers(&[], &[], Some(&path))
            .expect_err(content)
            .to_string();
        let prefix = format!("{}: ", path.display());
        assert!(message.starts_with(&prefix), "{message}");
        assert!(message.contains(expected), "{message}");
    }
    let missing = layers(&[], &[], Some(Path::new("/nowhere/agent.yaml")))
        .expect_err("missing")
        .to_string();
    assert!(
        missing
            .starts_with("/nowhere/agent.yaml: cannot read the configuration file: No such file"),
        "{missing}"
    );
}

#[test]
fn a_variable_of_a_later_version_is_refused_and_a_foreign_one_ignored() {
    let message = layers(&[], &[("PROCMON_PIN", "1")], None)
        .expect_err("refused")
        .to_string();
    assert_eq!(
        message,
        "PROCMON_PIN: not supported by this version; remove it"
    );
    layers(&[], &[("PROCMON_SERVICE_HOST", "10.0.0.1")], None).expect("ignored");
}

#[test]
fn a_wrong_type_names_the_key_the_value_and_what_is_accepted() {
    let (_folder, path) = file(
        "agent_id: 42\ninterval: soon\nspool_max_bytes: 1M\nfork_events: maybe\nlabels: 3\ntoken: 123456\n",
    );
    let layers = layers(&[("spool_dir", "")], &[], Some(&path)).expect("reads");
    let at = |key: &str| format!("{}: {key}: ", path.display());
    for (message, expected) in [
        (
            layers.get::<String>("agent_id").unwrap_err(),
            at("agent_id") + "42 does not fit; expected text",
        ),
        (
            layers.get::<Duration>("interval").unwrap_err(),
            at("interval")
                + "\"soon\" does not fit; expected a duration with its unit, for example 250ms",
        ),
        (
            layers.get::<ByteSize>("spool_max_bytes").unwrap_err(),
            at("spool_max_bytes") + "\"1M\" does not fit; expected a size, for example 256MiB",
        ),
        (
            layers.get::<bool>("fork_events").unwrap_err(),
            at("fork_events") + "\"maybe\" does not fit; expected true or false",
        ),
        (
            layers.get::<Labels>("labels").unwrap_err(),
            at("labels") + "3 does not fit; expected names with values",
        ),
        (
            layers.get::<Secret>("token").unwrap_err(),
            at("token") + "the value (not shown) does not fit; expected text",
        ),
        (
            layers.get::<PathBuf>("spool_dir").unwrap_err(),
            "--spool-dir: \"\" does not fit; expected a path".to_owned(),
        ),
    ] {
        assert!(message.to_string().starts_with(&expected), "{message}");
    }
}

#[test]
fn a_value_out_of_range_says_why() {
    let layers = layers(&[("interval", "200ms")], &[], None).expect("reads");
    let message = layers
        .get_checked::<Duration>("interval", |interval| {
            if *interval < Duration::from_secs(1) {
                return Err("is too short; the shortest is 1s".to_owned());
            }
            Ok(())
        })
        .expect_err("refused");
    assert_eq!(
        message.to_string(),
        "--interval: \"200ms\" is too short; the shortest is 1s"
    );
}

#[test]
fn a_variable_that_is_nearly_a_key_is_told_and_others_are_left_alone() {
    let layers = layers(
        &[],
        &[
            ("PROCMON_TOKKEN", "secret"),
            ("PROCMON_SPOOL_MAXBYTE", "1"),
            ("PROCMON_TOKEN", "x"),
            ("PROCMON_CONFIG", ""),
            ("PROCMON_LOG", "debug"),
            ("PROCMON_DB_DSN", "x"),
            ("TOKKEN", "x"),
        ],
        None,
    )
    .expect("reads");
    let [token, bytes] = layers.misspelt() else {
        panic!("{:?}", layers.misspelt())
    };
    assert!(
        token.contains("PROCMON_TOKKEN is not") && token.contains("did you mean PROCMON_TOKEN?")
    );
    assert!(bytes.contains("did you mean PROCMON_SPOOL_MAX_BYTES?"));
    assert!(!token.contains("secret"));
}
