//! A server, an agent of this machine, and somebody who is told.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::binary::ServerProcess;
use crate::support::http_client;
use crate::support::receiver::{Receiver, Request, until};
use crate::{AgentProcess, PATIENCE, until_live};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) struct Watch {
    pub(crate) agent_id: String,
    agent: Option<AgentProcess>,
    server: ServerProcess,
    receiver: Receiver,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Watch {
    pub(crate) async fn start(agent_id: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let variables = [
            ("PROCMON_DATA_DIR", data.to_str().expect("UTF-8")),
            ("PROCMON_EVAL_INTERVAL", "200ms"),
            ("PROCMON_WEBHOOK_ALLOW", "127.0.0.1/32"),
        ];
        let mut watch = Self {
            agent_id: agent_id.to_owned(),
            agent: None,
            server: ServerProcess::start_with(&variables, 0),
            receiver: Receiver::start().await,
            http: http_client(),
            folder,
        };
        let channel = json!({
            "name": "pager", "kind": "webhook", "url": watch.receiver.url(), "secret": SECRET
        });
        watch.post("channels", &channel).await;
        watch.start_agent().await;
        watch
    }

    pub(crate) async fn start_agent(&mut self) {
        let spool = self.folder.path().join("spool");
        let agent = AgentProcess::start(&self.agent_id, &self.server.address, &spool);
        self.agent = Some(agent);
        until_live(&self.server.address, &self.agent_id).await;
    }

    /// SIGKILL.
    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// For programs of the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/api/v1/{path}", self.server.address)
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = self.http.post(self.url(path)).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{body}: {text}");
    }

    pub(crate) async fn rule(&self, rule: &Value) {
        self.post("alert-rules", rule).await;
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(self.url(path)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// Waits until a list has an entry.
    pub(crate) async fn until_listed(&self, path: &str, key: &str) {
        until(path, async || {
            let list = self.get(path).await;
            list[key].as_array().is_some_and(|list| !list.is_empty())
        })
        .await;
    }

    /// Waits until a process was sampled twice, so that its rates are known.
    pub(crate) async fn until_sampled(&self, name: &str) {
        let path = format!("processes?name={name}");
        for _ in 0..2 {
            let before = self.get(&path).await["processes"][0]["observed_at"].clone();
            until("a sample", async || {
                let now = &self.get(&path).await["processes"][0]["observed_at"];
                now.is_string() && *now != before
            })
            .await;
        }
    }

    /// Waits until rules have seen what the API shows now.
    pub(crate) async fn until_evaluated(&self) {
        for _ in 0..2 {
            let before = self.get("alerts").await["evaluated_at"].clone();
            until("an evaluation", async || {
                self.get("alerts").await["evaluated_at"] != before
            })
            .await;
        }
    }

    /// The alerts of a rule in these states, as `GET /alerts` lists them.
    pub(crate) async fn alerts(&self, rule_id: &str, states: &str) -> Vec<Value> {
        let path = format!("alerts?rule_id={rule_id}&state={states}");
        let list = self.get(&path).await;
        list["alerts"].as_array().expect("a list").clone()
    }

    /// Waits until a rule has an alert in this state: one.
    pub(crate) async fn until(&self, rule_id: &str, state: &str) -> Value {
        self.until_one(rule_id, state, |_| true).await
    }

    /// Waits until a rule has an alert in this state that is as wanted: one.
    pub(crate) async fn until_one(
        &self,
        rule_id: &str,
        state: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        loop {
            let mut found = self.alerts(rule_id, state).await;
            found.retain(&wanted);
            if let Some(alert) = found.pop() {
                assert!(found.is_empty(), "{alert} and {found:?}");
                return alert;
            }
            if started.elapsed() > PATIENCE {
                let all = self.alerts(rule_id, "pending,firing,resolved").await;
                panic!("none is {state} as it should be: {all:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The states that an alert came to, in order.
    pub(crate) async fn history(&self, alert: &Value) -> Vec<String> {
        let fingerprint = text(alert, "fingerprint");
        let path = format!("alerts/history?fingerprint={fingerprint}");
        let list = self.get(&path).await;
        let steps = list["transitions"].as_array().expect("a list").iter();
        steps.rev().map(|step| text(step, "to")).collect()
    }

    /// What was told of a rule, in order: type and data. Each message once, as its id says.
    pub(crate) fn told(&self, rule_id: &str) -> Vec<(String, Value)> {
        let mut ids = HashSet::new();
        let requests = self.receiver.requests().into_iter();
        requests
            .filter(|request| ids.insert(request.id().to_owned()))
            .map(|request| {
                check_signature(&request);
                let body = request.json();
                (text(&body, "type"), body["data"].clone())
            })
            .filter(|(_, data)| data["rule_id"] == rule_id)
            .collect()
    }

    pub(crate) async fn until_told(&self, rule_id: &str, count: usize) -> Vec<(String, Value)> {
        until(&format!("{count} messages about {rule_id}"), async || {
            self.told(rule_id).len() >= count
        })
        .await;
        self.told(rule_id)
    }

    /// These alerts fired, one after the other, and are over, and that is all that was told of their rule. One may fire twice.
    pub(crate) async fn check_lives(&self, alerts: &[&Value]) {
        let rule_id = text(alerts[0], "rule_id");
        let told = self.until_told(&rule_id, 2 * alerts.len()).await;
        assert_eq!(told.len(), 2 * alerts.len(), "{told:?}");
        for (alert, told) in alerts.iter().zip(told.chunks(2)) {
            for ((kind, data), expected) in told.iter().zip(["alert.firing", "alert.resolved"]) {
                assert_eq!(kind, expected, "{data}");
                assert_eq!(data["fingerprint"], alert["fingerprint"], "{data}");
                assert_eq!(data["labels"], alert["labels"], "{data}");
            }
            let is_it = |other: &&&Value| other["fingerprint"] == alert["fingerprint"];
            let times = alerts.iter().filter(is_it).count();
            let states = self.history(alert).await;
            assert_eq!(states, ["firing", "resolved"].repeat(times));
        }
    }
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    let text = value[key].as_str();
    text.unwrap_or_else(|| panic!("{key} of {value}"))
        .to_owned()
}

/// As the specification of Standard Webhooks says, and not by the code that signed it.
fn check_signature(request: &Request) {
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let timestamp = request.header("webhook-timestamp");
    let content = format!("{}.{timestamp}.{}", request.id(), request.body);
    let signature = request.header("webhook-signature").strip_prefix("v1,");
    let signature = STANDARD.decode(signature.expect("version 1"));
    let signature = signature.expect("base64");
    ring::hmac::verify(&key, content.as_bytes(), &signature).expect("it is signed");
}
