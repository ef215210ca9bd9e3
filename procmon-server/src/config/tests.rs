use super::*;

fn read(flags: &[(&'static str, &str)]) -> anyhow::Result<Config> {
    let flags = flags
        .iter()
        .map(|(key, text)| (*key, Value::Text((*text).to_owned())));
    Config::from_layers(&Layers::read(&KEYS, flags, [], None)?)
}

#[test]
fn defaults() {
    let config = read(&[]).expect("no key is needed");
    assert_eq!(config.bind_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Some("procmon-data".into()));
    assert_eq!(config.event_retention, 7 * DAY);
}

#[test]
fn other_addresses_need_the_operator_to_insist() {
    let error = read(&[("bind_addr", ":8080")]).expect_err("everybody could reach it");
    assert!(error.to_string().contains("insecure_no_auth"), "{error}");
    let insisting = [("bind_addr", ":8080"), ("insecure_no_auth", "true")];
    let config = read(&insisting).expect("the operator insists");
    assert_eq!(config.bind_addr.to_string(), "0.0.0.0:8080");
    read(&[("bind_addr", "[::1]:0")]).expect("loopback");
}

#[test]
fn a_database_is_used_unless_nothing_is_kept() {
    let dsn = ("db_dsn", "postgres://user:hunter2@db/procmon");
    let config = read(&[dsn]).expect("a database");
    assert!(config.db_dsn.is_some() && config.data_dir.is_none());
    assert!(!format!("{config:?}").contains("hunter2"));
    let config = read(&[dsn, ("persistence", "false"), ("retention", "2h")]).expect("not used");
    assert!(config.data_dir.is_none() && config.db_dsn.is_none());
    assert_eq!(config.event_retention, config.retention);
}

#[test]
fn limits_say_what_they_accept() {
    let memory = ("persistence", "false");
    let config = read(&[memory, ("max_snapshots", "7200")]).expect("as in the seed");
    assert_eq!(config.max_snapshots, Some(7200));
    let config = read(&[("max_snapshots", "7200")]).expect("not used");
    assert_eq!(config.max_snapshots, None);
    let config = read(&[("max_event_bytes", "2GB")]).expect("a size");
    let bytes = config.limits().event_bytes;
    assert!(bytes.is_some_and(|bytes| bytes >= 2_000_000_000));
    for (key, value, wanted) in [
        ("max_snapshots", "0", "1 to"),
        ("max_sample_bytes", "1KB", "at least"),
        ("max_event_bytes", "many", "--max-event-bytes"),
        ("argv_bytes", "10", "at least 64"),
    ] {
        let error = read(&[memory, (key, value)]).expect_err(value).to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn limits_are_named_in_errors() {
    let config = read(&[("ingest_limits", "processes=5")]).expect("valid");
    assert_eq!(config.ingest_limits.processes, 5);
    let error = read(&[("ingest_limits", "proceses=5")]).expect_err("unknown");
    let expected = "--ingest-limits.proceses: unknown key; did you mean `processes`?";
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn networks_of_webhooks_are_read_and_the_key_is_beside_the_data() {
    let config = read(&[("webhook_allow", "10.0.0.0/8,::1")]).expect("networks");
    assert_ne!(config.webhook_allow, AllowedNetworks::default());
    assert_eq!(config.key_file, Some("procmon-data/secret.key".into()));
    let error = read(&[("webhook_allow", "everywhere")]).expect_err("no network");
    assert!(error.to_string().contains("--webhook-allow"), "{error}");
    let dsn = [("db_dsn", "postgres://db/x"), ("data_dir", "/keys")];
    let config = read(&dsn).expect("a database");
    assert_eq!(config.key_file, Some("/keys/secret.key".into()));
    let config = read(&[("persistence", "false")]).expect("nothing is kept");
    assert_eq!(config.key_file, None);
}
