//! Signatures as the reference libraries of Standard Webhooks check them, in Python and in JavaScript. They come from `PyPI` and
//! npm, once, into the folder of build products.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use procmon_server::clock::Clock;
use serde_json::json;

use crate::bench::{Bench, OLD_SECRET, SECRET, webhook};
use crate::support::receiver::Receiver;

const PYTHON_VERSION: &str = "1.1.0";
const NODE_VERSION: &str = "1.1.1";
const PYTHON: &str = r#"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
given = json.load(sys.stdin)
for secret in given["good"]:
    assert Webhook(secret).verify(given["body"], given["headers"])["type"]
for secret, body in [(given["bad"], given["body"]), (given["good"][0], given["body"] + " ")]:
    try:
        Webhook(secret).verify(body, given["headers"])
    except WebhookVerificationError:
        continue
    raise SystemExit("it accepts what is not signed")
"#;
const NODE: &str = r#"
const { Webhook } = require("standardwebhooks");
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
for (const secret of given.good) {
    if (!new Webhook(secret).verify(given.body, given.headers).type) throw new Error("no type");
}
for (const [secret, body] of [[given.bad, given.body], [given.good[0], given.body + " "]]) {
    let accepted = true;
    try { new Webhook(secret).verify(body, given.headers); } catch { accepted = false; }
    if (accepted) throw new Error("it accepts what is not signed");
}
"#;

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install python3, python3-venv and Node with npm (cargo xtask test does)")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A folder that is there whole, or not at all.
fn installed(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let finished = folder.join("finished");
    if !finished.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        install(&folder);
        std::fs::write(finished, "").expect("a file");
    }
    folder
}

fn verify(program: &Path, arguments: &[&str], folder: &Path, given: &serde_json::Value) {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdin = child.stdin.take().expect("piped");
    serde_json::to_writer(stdin, given).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", program.display());
}

#[tokio::test]
async fn the_reference_libraries_verify_what_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    // They refuse what is older than five minutes.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let clock = Clock::manual(now.as_millis() as i64);
    let channels = vec![webhook("c", &receiver.url())];
    let bench = Bench::start_with(folder.path(), clock, channels, "127.0.0.1").await;
    bench.round(&[("ü", true)]).await;
    let request = receiver.wait_for(1).await.remove(0);
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), json!(request.header(name))))
        .into_iter()
        .collect();
    // While a secret is replaced either one is good.
    let given = json!({
        "headers": headers,
        "body": request.body,
        "good": [SECRET, OLD_SECRET],
        "bad": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    });
    let python = installed("standardwebhooks-python", |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("standardwebhooks=={PYTHON_VERSION}")));
    });
    verify(
        &python.join("bin/python3"),
        &["-c", PYTHON],
        &python,
        &given,
    );
    let node = installed("standardwebhooks-node", |folder| {
        run(Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder)
            .arg(format!("standardwebhooks@{NODE_VERSION}")));
    });
    verify(Path::new("node"), &["-e", NODE], &node, &given);
}
