//! The seed's requests about alerts, letter by letter, to the real server.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::binary::ServerProcess;
use crate::support::http_client;

const RULE: &str = r#"{"id":"rule_high_cpu","name":"High CPU","process_name":"","pid":1234,"metric":"cpu_percent","operator":">",
      "threshold":80,"duration":"60s","enabled":true}"#;
const PATIENCE: Duration = Duration::from_mins(1);

struct Client {
    http: reqwest::Client,
    address: String,
}

impl Client {
    async fn send(&self, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.address);
        let request = self.http.request(method, url);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn upload(&self, cpu_percent: f64) {
        let body = json!({ "agent_id": "agent1", "interval_s": 5, "samples": [{
            "pid": 1234, "ppid": 1, "name": "demo", "cmdline": "/usr/bin/demo", "username": "root", "status": "R",
            "cpu_percent": cpu_percent, "memory_rss": 2_048_000, "memory_percent": 0.4, "num_threads": 5 }] });
        let path = "/api/v1/agents/agent1/processes";
        let (status, answer) = self.send(Method::POST, path, &body.to_string()).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }

    /// Until the list of alerts has this many, while the host goes on to tell of this much CPU.
    async fn until_alerts(&self, count: usize, cpu_percent: f64) -> Value {
        let started = Instant::now();
        loop {
            self.upload(cpu_percent).await;
            let list = self.get("/api/v1/alerts").await;
            if list["alerts"].as_array().expect("a list").len() == count {
                return list;
            }
            assert!(started.elapsed() < PATIENCE, "{list}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn the_seeds_rule_fires_and_is_resolved() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path in UTF-8");
    let variables = [
        ("PROCMON_DATA_DIR", path),
        ("PROCMON_EVAL_INTERVAL", "200ms"),
    ];
    let server = ServerProcess::start_with(&variables, 0);
    let client = Client {
        http: http_client(),
        address: server.address.clone(),
    };
    let (status, created) = client.send(Method::POST, "/api/v1/alert-rules", RULE).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let rules = client.get("/api/v1/alert-rules").await;
    let given: Value = serde_json::from_str(RULE).expect("JSON");
    for (key, value) in given.as_object().expect("an object") {
        let shown = &rules["rules"][0][key];
        let same = shown == value || shown.as_f64() == value.as_f64();
        assert!(same, "{key} is {shown}");
    }
    client.upload(95.0).await;
    assert!(
        client.get("/api/v1/alerts").await["alerts"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    // The same again with less patience, as POST replaces and PUT does.
    let soon = RULE.replace("60s", "1s");
    let (status, _) = client
        .send(Method::POST, "/api/v1/alert-rules", &soon)
        .await;
    assert_eq!(status, StatusCode::OK);
    let path = "/api/v1/alert-rules/rule_high_cpu";
    let (status, _) = client.send(Method::PUT, path, &soon).await;
    assert_eq!(status, StatusCode::OK);
    let firing = client.until_alerts(1, 95.0).await;
    let alert = &firing["alerts"][0];
    assert_eq!(alert["rule_id"], "rule_high_cpu");
    assert_eq!(alert["labels"]["alertname"], "High CPU");
    assert_eq!(alert["labels"]["pid"], "1234");
    assert_eq!(alert["value"], 95.0);
    client.until_alerts(0, 5.0).await;
    let history = client
        .get("/api/v1/alerts/history?rule_id=rule_high_cpu")
        .await;
    let steps: Vec<_> = history["transitions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| step["to"].as_str().expect("a state"))
        .collect();
    assert_eq!(steps, ["resolved", "firing", "pending"]);
    let (status, _) = client.send(Method::DELETE, path, "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let rules = client.get("/api/v1/alert-rules").await;
    assert!(rules["rules"].as_array().expect("a list").is_empty());
    assert_eq!(server.terminate().0, Some(0));
}

#[tokio::test]
async fn a_kill_between_pending_and_firing_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path in UTF-8");
    let variables = [
        ("PROCMON_DATA_DIR", path),
        ("PROCMON_EVAL_INTERVAL", "500ms"),
    ];
    let server = ServerProcess::start_with(&variables, 0);
    let mut client = Client {
        http: http_client(),
        address: server.address.clone(),
    };
    let rule = RULE.replace("60s", "4s");
    client
        .send(Method::POST, "/api/v1/alert-rules", &rule)
        .await;
    let started = Instant::now();
    let pending = loop {
        client.upload(95.0).await;
        let list = client.get("/api/v1/alerts?state=pending").await;
        if list["total"] == 1 {
            break list["alerts"][0].clone();
        }
        assert!(started.elapsed() < PATIENCE, "{list}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    server.kill();
    let server = ServerProcess::start_with(&variables, 0);
    client.address.clone_from(&server.address);
    let firing = client.until_alerts(1, 95.0).await;
    for key in ["fingerprint", "active_at", "labels"] {
        assert_eq!(firing["alerts"][0][key], pending[key], "{key}");
    }
    server.kill();
    let server = ServerProcess::start_with(&variables, 0);
    client.address.clone_from(&server.address);
    client.until_alerts(1, 95.0).await;
    let history = client.get("/api/v1/alerts/history").await;
    let steps = history["transitions"].as_array().expect("a list");
    assert_eq!(steps.len(), 2, "pending once and firing once: {history}");
    assert_eq!(server.terminate().0, Some(0));
}

#[test]
fn files_of_rules_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_procmon-server"))
            .arg("check-rules")
            .arg(folder.path())
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), said)
    };
    // The seed's rule, as YAML takes JSON.
    let (code, said) = check(&format!("rules:\n- {}\n", RULE.replace('\n', " ")));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rules.yaml: 1 rules"), "{said}");
    let (code, said) = check("rules:\n- name: Busy\n  metric: cpu\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("rule 1 (Busy): metric: there is no metric cpu"),
        "{said}"
    );
}
