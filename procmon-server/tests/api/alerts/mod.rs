//! `/alert-rules`, `/alerts` and `/silences`, and what every kind of rule finds.

mod events;
mod kinds;
mod late;
mod life;
mod preview;
mod rules;
mod shown;
mod silences;

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, problem};

const PATIENCE: Duration = Duration::from_secs(20);
/// From one evaluation to the next.
const EVALUATION_MS: i64 = 15_000;

async fn send(server: &Server, method: Method, path: &str, body: &Value) -> Response {
    let request = server.http.request(method, server.url(path)).json(body);
    request.send().await.expect("an answer")
}

/// A rule that is accepted; returns how it is shown.
async fn rule(server: &Server, rule: &Value) -> Value {
    let answer = send(server, Method::POST, "/api/v1/alert-rules", rule).await;
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(status.is_success(), "{rule}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

async fn refused(server: &Server, rule: &Value) -> String {
    let answer = send(server, Method::POST, "/api/v1/alert-rules", rule).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{rule}");
    let problem = problem(answer).await;
    problem["detail"].as_str().expect("a detail").to_owned()
}

fn sample(pid: u32, name: &str, cpu_percent: f64) -> Value {
    json!({
        "pid": pid, "ppid": 1, "name": name, "cmdline": format!("/usr/bin/{name}"), "username": "root",
        "status": "R", "cpu_percent": cpu_percent, "memory_rss": 4096, "memory_percent": 0.5, "num_threads": 1
    })
}

async fn upload(server: &Server, agent_id: &str, samples: &[Value]) {
    let body = json!({ "agent_id": agent_id, "interval_s": 5, "samples": samples });
    let answer = server.upload(agent_id, &body).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}

/// Until the rules were evaluated at this very moment.
async fn until_evaluated(server: &Server) {
    let now = jiff::Timestamp::from_millisecond(server.clock.now_ms()).expect("a time");
    let started = Instant::now();
    loop {
        let list = server.json("/api/v1/alerts").await;
        let evaluated = list["evaluated_at"].as_str();
        if evaluated == Some(now.to_string().as_str()) {
            return;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "evaluated at {evaluated:?}, not {now}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The next evaluation, of what hosts tell a moment before.
async fn evaluate(server: &Server, uploads: &[(&str, &[Value])]) {
    server.clock.advance_ms(EVALUATION_MS - 100);
    for (agent_id, samples) in uploads {
        upload(server, agent_id, samples).await;
    }
    server.clock.advance_ms(100);
    until_evaluated(server).await;
}

/// A server that has evaluated its rules for the first time.
async fn server() -> Server {
    let server = Server::start().await;
    until_evaluated(&server).await;
    server
}

/// In all states.
async fn alerts(server: &Server) -> Vec<Value> {
    let list = server
        .json("/api/v1/alerts?state=pending,firing,resolved")
        .await;
    list["alerts"].as_array().expect("a list").clone()
}

/// The states of all alerts, each with the value of a label.
async fn states(server: &Server, label: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut states: Vec<_> = alerts(server)
        .await
        .iter()
        .map(|alert| (text(&alert["labels"][label]), text(&alert["state"])))
        .collect();
    states.sort();
    states
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(label, state): &(&str, &str)| ((*label).to_owned(), (*state).to_owned());
    expected.iter().map(owned).collect()
}

/// From and to, the oldest first.
async fn history(server: &Server, parameters: &str) -> Vec<(String, String)> {
    let path = format!("/api/v1/alerts/history?{parameters}");
    let list = server.json(&path).await;
    let text = |value: &Value| value.as_str().expect("a state").to_owned();
    let mut steps: Vec<_> = list["transitions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| (text(&step["from"]), text(&step["to"])))
        .collect();
    steps.reverse();
    steps
}
