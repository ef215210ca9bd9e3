//! Rules of alerts that the server evaluates meanwhile, of every kind, as people have them; and how long that takes it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use procmon_load::connection::Connection;
use procmon_load::quantiles::Quantiles;
use serde_json::{Value, json};

use super::shared::Shared;

/// More often than rules are evaluated.
const EVERY: Duration = Duration::from_secs(5);
const SERVICES: [&str; 8] = [
    "java",
    "nginx",
    "postgres",
    "node",
    "python3",
    "sshd",
    "redis-server",
    "envoy",
];

/// What the server says of its evaluations.
#[derive(Default)]
pub(super) struct Evaluations {
    pub(super) took: Quantiles,
    /// When the newest was made.
    at: String,
    pub(super) firing: String,
}

/// Before the agents begin.
pub(super) async fn post(shared: &Shared) -> Result<()> {
    let mut connection = Connection::new(&shared.address);
    for number in 0..shared.options.rules {
        let mut rule = rule(number as usize);
        rule["id"] = json!(format!("load-{number}"));
        rule["name"] = json!(format!("Load {number}"));
        let headers = "Content-Type: application/json\r\n";
        let body = rule.to_string();
        let answer = connection
            .post("/api/v1/alert-rules", headers, body.as_bytes())
            .await
            .context("the server takes no rules")?;
        if !(200..300).contains(&answer.status) {
            let text = String::from_utf8_lossy(&answer.body);
            bail!("{rule}: {} {text}", answer.status);
        }
    }
    Ok(())
}

/// Reads what evaluations took, until the run is over.
pub(super) async fn watch(shared: Rc<Shared>) {
    let mut connection = Connection::new(&shared.address);
    while !shared.over.get() {
        tokio::time::sleep(EVERY).await;
        let Ok(answer) = connection.get("/metrics").await else {
            continue;
        };
        let text = String::from_utf8_lossy(&answer.body);
        let mut evaluations = shared.evaluations.borrow_mut();
        let of = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let at = of("procmon_rule_evaluation_timestamp_seconds ");
        let took = of("procmon_rule_evaluation_seconds ").and_then(|took| took.parse().ok());
        if let (Some(at), Some(took)) = (at, took)
            && at != evaluations.at
        {
            evaluations.took.add(Duration::from_secs_f64(took));
            evaluations.at = at;
        }
        evaluations.firing = of("procmon_alerts{state=\"firing\"} ").unwrap_or_default();
    }
}

pub(super) fn print(shared: &Shared) {
    if shared.options.rules == 0 {
        return;
    }
    let evaluations = shared.evaluations.borrow();
    println!(
        "{} rules: {} evaluations, each {:.1} ms (p50), {:.1} ms at most; {} alerts fire",
        shared.options.rules,
        evaluations.took.count(),
        evaluations.took.at_ms(0.5),
        evaluations.took.max_ms(),
        evaluations.firing
    );
}

/// Of ten, four compare a metric, two put processes together, and one each looks for what is missing, what happened, what grows and
/// what changes or ends.
fn rule(number: usize) -> Value {
    let turn = number / 10;
    let service = SERVICES[turn % SERVICES.len()];
    let beyond = |metric: &str, threshold: f64, scope: (&str, Value)| {
        let (key, value) = scope;
        let mut rule =
            json!({ "metric": metric, "operator": ">", "threshold": threshold, "for": "1m" });
        rule[key] = value;
        rule
    };
    match number % 10 {
        0 => beyond("cpu_percent", 99.0, ("process_name", json!(""))),
        1 => beyond("memory_rss", 4e9, ("process_name", json!(service))),
        2 => beyond(
            "num_threads",
            200.0,
            ("process_name", json!("/^(java|node|python3).*$/")),
        ),
        3 => beyond(
            "open_fds",
            900.0,
            (
                "q",
                json!("username == 'app' && cmdline.contains('--port')"),
            ),
        ),
        4 => {
            let aggregate = json!({ "function": "sum", "by": ["name", "agent_id"] });
            beyond("memory_rss", 4e10, ("aggregate", aggregate))
        }
        5 => json!({
            "process_name": service, "operator": "<", "threshold": 1,
            "aggregate": { "function": "count", "by": ["agent_id"] }
        }),
        6 => json!({ "kind": "absence", "process_name": service, "for": "1m" }),
        7 if turn.is_multiple_of(2) => json!({
            "kind": "event", "types": ["exec"], "process_name": "*sh", "q": "'nginx' in ancestors"
        }),
        7 => json!({ "kind": "crash_loop", "process_name": service }),
        8 => json!({
            "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": 1e6, "process_name": service,
            "agent_id": format!("*{}", turn % 10)
        }),
        _ => match turn % 3 {
            0 => json!({ "kind": "zombie", "for": "1m" }),
            1 => {
                json!({ "kind": "change", "field": "exe", "process_name": service, "agent_id": "*7" })
            }
            _ => json!({ "kind": "host_down" }),
        },
    }
}
