//! A whole server whose clock the test sets: agents upload, rules are evaluated, and somebody is told.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Server;
use super::receiver::{Receiver, until};

/// From one evaluation to the next.
pub(crate) const EVALUATION_MS: i64 = 15_000;

/// A process as an upload has it.
pub(crate) fn sample(pid: u32, name: &str, cpu_percent: f64) -> Value {
    json!({"pid": pid, "ppid": 1, "name": name, "username": "root", "status": "R", "cpu_percent": cpu_percent})
}

impl Server {
    pub(crate) async fn request(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = self.url(&format!("/api/v1{path}"));
        let request = self.http.request(method, url).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn rule(&self, rule: &Value) {
        self.request(Method::POST, "/alert-rules", rule).await;
    }

    /// A channel that leads to a receiver, with other settings than the usual ones; returns its path.
    pub(crate) async fn webhook(&self, receiver: &Receiver, more: &Value) -> String {
        let mut body = json!({"name": "x", "kind": "webhook", "url": receiver.url()});
        let fields = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(fields);
        let channel = self.request(Method::POST, "/channels", &body).await;
        format!("/channels/{}", channel["id"].as_str().expect("an id"))
    }

    /// The next evaluation, of what hosts tell a moment before.
    pub(crate) async fn evaluate(&self, uploads: &[(&str, &[Value])]) {
        self.clock.advance_ms(EVALUATION_MS - 100);
        for (agent_id, samples) in uploads {
            let body = json!({"agent_id": agent_id, "interval_s": 5, "samples": samples});
            let answer = self.upload(agent_id, &body).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
        }
        self.clock.advance_ms(100);
        self.evaluated().await;
    }

    /// Until the rules were evaluated at this very moment.
    pub(crate) async fn evaluated(&self) {
        let now = jiff::Timestamp::from_millisecond(self.clock.now_ms()).expect("a time");
        until(&format!("an evaluation at {now}"), async || {
            let list = self.json("/api/v1/alerts").await;
            list["evaluated_at"] == now.to_string()
        })
        .await;
    }

    /// What a channel was told, is to be told or could not be told, the oldest first: what of it is settled when an evaluation is.
    pub(crate) async fn deliveries(&self, channel: &str) -> Vec<Value> {
        let path = format!("/api/v1{channel}/deliveries?limit=1000");
        let list = self.json(&path).await;
        let list = list["deliveries"].as_array().expect("a list");
        list.iter().rev().cloned().collect()
    }

    /// The same, each as `firing java 1`: state, name or rule, and which repeat.
    pub(crate) async fn told(&self, channel: &str) -> Vec<String> {
        let mut told = Vec::new();
        for delivery in self.deliveries(channel).await {
            let id = delivery["message_id"].as_str().expect("an id");
            let path = format!("/api/v1{channel}/deliveries/{id}");
            let body = self.json(&path).await["body"].clone();
            let data = if body["data"].is_null() {
                &body
            } else {
                &body["data"]
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let labels = &data["labels"];
            let name = if labels["name"].is_null() {
                text(&labels["alertname"])
            } else {
                text(&labels["name"])
            };
            let state = text(&data["state"]);
            let repeat = data["repeat"].as_i64().filter(|repeat| *repeat > 0);
            let repeat = repeat.map_or_else(String::new, |repeat| format!(" {repeat}"));
            told.push(format!("{state} {name}{repeat}"));
        }
        told
    }

    /// Waits until nothing is to be told any more.
    pub(crate) async fn all_delivered(&self, channel: &str) {
        until("all deliveries", async || {
            let deliveries = self.deliveries(channel).await;
            deliveries.iter().all(|one| one["state"] == "delivered")
        })
        .await;
    }
}
