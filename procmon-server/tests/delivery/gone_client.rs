//! Whoever asks for a change and goes away before the answer: what is stored then is also what the server knows.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::binary::ServerProcess;
use crate::support::http_client;
use crate::support::postgres::{Cluster, name_of};
use crate::support::receiver::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_for_a_client_that_has_gone_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path in UTF-8");
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let server = ServerProcess::start_with(
        &[
            ("PROCMON_DATA_DIR", data),
            ("PROCMON_DB_DSN", &dsn),
            ("PROCMON_WEBHOOK_ALLOW", "127.0.0.1"),
        ],
        0,
    );
    let url = |path: &str| format!("http://{}/api/v1{path}", server.address);
    // It listens before it has made its tables, and answers afterwards.
    let answer = http_client().get(url("/alert-rules")).send().await;
    assert!(answer.expect("an answer").status().is_success());
    let channel = json!({"name": "x", "kind": "webhook", "url": "http://127.0.0.1:9/x"});
    for (table, path, list, body) in [
        (
            "alert_rule",
            "/alert-rules",
            "rules",
            json!({"name": "Z", "kind": "zombie"}),
        ),
        (
            "silence",
            "/silences",
            "silences",
            json!({"matchers": [{"name": "name", "value": "x"}], "duration": "1h"}),
        ),
        ("channel", "/channels", "channels", channel),
    ] {
        // Somebody holds up whoever writes to the table, until the client has lost its patience.
        let mut holder = cluster
            .psql(name_of(&dsn))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let mut input = holder.stdin.take().expect("piped");
        let statements = format!("begin; lock table {table} in share mode;\n");
        input.write_all(statements.as_bytes()).expect("it listens");
        let held = format!(
            "select count(*) from pg_locks where relation = '{table}'::regclass and mode = 'ShareLock' and granted"
        );
        until("the lock", async || {
            cluster.sql(name_of(&dsn), &held) == "1"
        })
        .await;
        let request = http_client().request(Method::POST, url(path)).json(&body);
        let answer = request.timeout(Duration::from_millis(500)).send().await;
        assert!(answer.expect_err("no answer yet").is_timeout());
        drop(input);
        assert!(holder.wait().expect("it ends").success());
        until("the change", async || {
            let answer = http_client().get(url(path)).send().await;
            let shown: Value = answer.expect("an answer").json().await.expect("JSON");
            shown[list].as_array().is_some_and(|list| list.len() == 1)
        })
        .await;
    }
}
