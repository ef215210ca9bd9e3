//! The agent's command line and configuration, as an operator meets them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use procmon_agent::config::{AgentConfig, Cli, Command, Host, Probe};
use procmon_common::config::Secret;

fn host() -> Host {
    Host {
        name: "web-1.example.org".to_owned(),
        is_root: true,
    }
}

fn resolve(
    arguments: &[&str],
    variables: &[(&str, &str)],
    host: &Host,
) -> Result<AgentConfig, String> {
    let arguments = std::iter::once(&"procmon-agent").chain(arguments);
    let cli = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?;
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect();
    AgentConfig::resolve(&cli.flags, variables, host).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn nothing_is_required() {
    let config = resolve(&[], &[], &host()).expect("defaults");
    assert_eq!(config.agent_id, "web-1.example.org");
    assert_eq!(config.server_url, "http://127.0.0.1:8080");
    assert_eq!(config.interval, Duration::from_secs(5));
    assert_eq!(config.token, None);
    assert!(config.labels.is_empty());
    assert_eq!(config.probe, Probe::Auto);
    assert_eq!(
        config.spool_dir,
        PathBuf::from("/var/lib/procmon-agent/spool")
    );
    assert_eq!(config.spool_max_bytes, 256 << 20);
    assert!(!config.fork_events);
    assert_eq!(config.io_slow_threshold, Duration::from_millis(100));
    assert!(config.redact && config.hardening && !config.pin);
    assert_eq!((config.redact_rules, config.listen), (None, None));
    assert_eq!(config.mem_limit_bytes, 256 << 20);
    assert!((config.cpu_limit_percent - 5.0).abs() < f64::EPSILON);
}

#[test]
fn a_host_name_becomes_a_valid_agent_id() {
    for (name, expected) in [
        ("web 1/äx", "web-1--x"),
        ("", "unnamed-host"),
        ("..", "unnamed-host"),
    ] {
        let host = Host {
            name: name.to_owned(),
            ..host()
        };
        assert_eq!(
            resolve(&[], &[], &host).expect("defaults").agent_id,
            expected
        );
    }
}

#[test]
fn the_spool_of_a_user_is_where_state_belongs() {
    let user = Host {
        is_root: false,
        ..host()
    };
    for (variables, expected) in [
        (
            vec![("HOME", "/home/u"), ("XDG_STATE_HOME", "/state")],
            "/state/procmon-agent/spool",
        ),
        (
            vec![("HOME", "/home/u"), ("XDG_STATE_HOME", "relative")],
            "/home/u/.local/state/procmon-agent/spool",
        ),
    ] {
        let config = resolve(&[], &variables, &user).expect("defaults");
        assert_eq!(config.spool_dir, PathBuf::from(expected));
    }
    let message = resolve(&[], &[], &user).expect_err("nowhere to go");
    assert!(message.contains("set --spool-dir"), "{message}");
}

#[test]
fn every_flag_before_and_after_the_command() {
    let flags = [
        "--agent-id",
        "a:1",
        "--server-url",
        "https://procmon.example/base/",
        "--interval",
        "1s",
        "--token",
        "t",
        "--label",
        "team=core",
        "--label",
        "env=prod",
        "--probe",
        "ebpf",
        "--spool-dir",
        "/x",
        "--spool-max-bytes",
        "1GiB",
        "--fork-events",
        "--io-slow-threshold",
        "0",
        "--redact=off",
        "--redact-rules",
        "/r.yaml",
        "--pin",
        "--listen",
        ":9101",
        "--mem-limit",
        "64MiB",
        "--cpu-limit",
        "2%",
        "--hardening=false",
    ];
    let after: Vec<_> = std::iter::once("check").chain(flags).collect();
    let before: Vec<_> = flags.into_iter().chain(["check"]).collect();
    for arguments in [before, after] {
        let config = resolve(&arguments, &[], &host()).expect("valid");
        assert_eq!(config.agent_id, "a:1");
        assert_eq!(config.server_url, "https://procmon.example/base");
        assert_eq!(config.interval, Duration::from_secs(1));
        assert_eq!(config.token.as_ref().map(Secret::expose), Some("t"));
        assert_eq!(config.labels["team"], "core");
        assert_eq!(config.labels["env"], "prod");
        assert_eq!(config.probe, Probe::Ebpf);
        assert_eq!(config.spool_dir, PathBuf::from("/x"));
        assert_eq!(config.spool_max_bytes, 1 << 30);
        assert!(config.fork_events);
        assert_eq!(config.io_slow_threshold, Duration::ZERO);
        assert!(!config.redact && config.pin && !config.hardening);
        assert_eq!(config.redact_rules, Some(PathBuf::from("/r.yaml")));
        assert_eq!(config.listen, "0.0.0.0:9101".parse().ok());
        assert_eq!(config.mem_limit_bytes, 64 << 20);
        assert!((config.cpu_limit_percent - 2.0).abs() < f64::EPSILON);
        assert!(
            !format!("{config:?}").contains("\"t\""),
            "the token is hidden"
        );
    }
    let cli = Cli::try_parse_from(["procmon-agent", "--fork-events", "events"]).expect("valid");
    assert_eq!(cli.command, Some(Command::Events));
}

#[test]
fn flag_then_environment_then_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("agent.yaml");
    let seed = "agent_id: agent1\nserver_url: http://server:8080\ninterval: 5s\n";
    std::fs::write(&path, seed).expect("writes");
    let config = path.to_str().expect("UTF-8");
    let config = resolve(
        &["--config", config, "--interval", "2s"],
        &[("PROCMON_INTERVAL", "3s"), ("PROCMON_AGENT_ID", "from-env")],
        &host(),
    )
    .expect("valid");
    assert_eq!(config.interval, Duration::from_secs(2));
    assert_eq!(config.agent_id, "from-env");
    assert_eq!(config.server_url, "http://server:8080");
}

#[test]
fn what_an_operator_reads() {
    for (arguments, expected) in [
        (
            ["--agent-id", "a/b"],
            "--agent-id: \"a/b\" is not a valid name; use 1 to 128 letters",
        ),
        (
            ["--interval", "100ms"],
            "--interval: \"100ms\" is too short; the shortest interval is 1s",
        ),
        (
            ["--interval", "2h"],
            "--interval: \"2h\" is too long; the longest interval is 1h",
        ),
        (
            ["--interval", "5"],
            "--interval: \"5\" does not fit; expected a duration",
        ),
        (
            ["--server-url", "localhost:8080"],
            "--server-url: the address is not an http:// or https:// address; write it like http://127.0.0.1:8080",
        ),
        (
            ["--server-url", "http://u:secret@host"],
            "--server-url: the address must not contain a user or a password",
        ),
        (
            ["--token", "secret\n"],
            "--token: the value (not shown) has a space, a line break",
        ),
        (
            ["--probe", "netlink"],
            "--probe: \"netlink\" does not fit; expected auto, ebpf, tracepoint, procnet or sample",
        ),
        (
            ["--spool-max-bytes", "10kB"],
            "--spool-max-bytes: \"10kB\" is too small; the smallest spool is 1MiB",
        ),
        (
            ["--mem-limit", "10MiB"],
            "--mem-limit: \"10MiB\" is too small; the smallest limit is 32MiB, and 0 is no limit",
        ),
        (
            ["--mem-limit", "1TiB"],
            "--mem-limit: \"1TiB\" is too large; the largest limit is 64GiB",
        ),
        (
            ["--mem-limit", "lots"],
            "--mem-limit: \"lots\" does not fit; expected a size, for example 256MiB",
        ),
        (
            ["--cpu-limit", "250%"],
            "--cpu-limit: \"250%\" is out of range; sampling runs on one core",
        ),
        (
            ["--cpu-limit", "5s"],
            "--cpu-limit: \"5s\" does not fit; expected percent of one core, for example 5%",
        ),
        (
            ["--cpu-limit", "+1"],
            "--cpu-limit: \"+1\" does not fit; expected percent of one core",
        ),
        (
            ["--listen", "9101"],
            "--listen: \"9101\" does not fit; expected address:port, for example 127.0.0.1:9101",
        ),
        (
            ["--label", "x"],
            "--labels: \"x\" does not fit; expected names with values",
        ),
    ] {
        let message = resolve(&arguments, &[], &host()).expect_err("refused");
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn limits_can_be_off() {
    for off in ["0", "off"] {
        let config = resolve(
            &["--mem-limit", off, "--cpu-limit", off, "--listen", "off"],
            &[],
            &host(),
        )
        .expect("valid");
        assert_eq!(config.mem_limit_bytes, 0);
        assert!(config.cpu_limit_percent.abs() < f64::EPSILON);
        assert_eq!(config.listen, None);
    }
}

#[test]
fn limits_in_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("agent.yaml");
    let text = "mem_limit: 64MiB\ncpu_limit: 2.5\nlisten: localhost:9101\nredact: no\nredact_rules: /etc/r.yaml\npin: on\nhardening: false\n";
    std::fs::write(&path, text).expect("writes");
    let config =
        resolve(&["--config", path.to_str().expect("UTF-8")], &[], &host()).expect("valid");
    assert_eq!(config.mem_limit_bytes, 64 << 20);
    assert!((config.cpu_limit_percent - 2.5).abs() < f64::EPSILON);
    assert_eq!(config.listen, "127.0.0.1:9101".parse().ok());
    assert!(!config.redact && config.pin && !config.hardening);
    assert_eq!(config.redact_rules, Some(PathBuf::from("/etc/r.yaml")));
    std::fs::write(&path, "mem_limits: 1GiB\n").expect("writes");
    let message = resolve(&["--config", path.to_str().expect("UTF-8")], &[], &host())
        .expect_err("an unknown key");
    assert!(
        message.contains("mem_limits: unknown key; did you mean `mem_limit`?"),
        "{message}"
    );
}

#[test]
fn a_file_without_an_end_is_refused() {
    let error = resolve(&["--config", "/dev/zero"], &[], &host()).expect_err("endless");
    assert!(error.contains("too long"), "{error}");
}
