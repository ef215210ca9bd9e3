//! Rules about processes and hosts, over a quarter of an hour in which a lot happens.

use super::*;

/// Evaluations of the quarter of an hour.
const STEPS: u32 = 60;
/// Between two samples of each host.
const INTERVAL_S: u32 = 15;

fn with(mut sample: Value, more: &Value) -> Value {
    let fields = more.as_object().expect("an object").clone();
    sample.as_object_mut().expect("an object").extend(fields);
    sample
}

/// What runs on the first host.
fn first_host(step: u32) -> Vec<Value> {
    let busy = [9.0, 90.0, 92.0, 95.0, 70.0, 70.0, 90.0, 9.0, 50.0, 50.0][step as usize % 10];
    let io = if step % 12 < 6 {
        u64::from(step) * 3_000_000
    } else {
        u64::from(step / 12) * 36_000_000
    };
    let mut samples = vec![
        with(
            sample(7, "java", busy),
            &json!({ "memory_rss": 1_000_000_000_u64 + u64::from(step) * 40_000_000, "num_threads": 1 + step % 7,
                "read_bytes": io, "write_bytes": io / 2, "memory_percent": f64::from(step % 20) }),
        ),
        // Restarted again and again.
        with(
            sample(100 + step / 8, "worker", f64::from(step % 8) * 12.0),
            &json!({ "ppid": 7 }),
        ),
    ];
    if step % 15 < 9 {
        samples.push(sample(22, "sshd", 0.0));
    }
    let state = if step % 9 < 3 { "Z" } else { "S" };
    samples.push(with(sample(30, "sh", 0.0), &json!({ "status": state })));
    let username = if (20..34).contains(&step) {
        "bob"
    } else {
        "alice"
    };
    samples.push(with(
        sample(31, "login", 0.0),
        &json!({ "username": username, "start_time": "2026-01-31T11:00:00Z", "ports": [22, 1000 + step / 25] }),
    ));
    samples
}

/// And on the second.
fn second_host(step: u32) -> Vec<Value> {
    let mut samples = vec![
        sample(7, "java", f64::from(step % 5) * 20.0),
        with(sample(8, "worker", 30.0), &json!({ "username": "bob" })),
    ];
    if step % 6 < 4 {
        samples.push(sample(9, "worker", 30.0));
    }
    samples
}

/// The second host is silent for nearly two minutes, and again at the end.
fn is_silent(step: u32) -> bool {
    (22..29).contains(&step) || step > 55
}

async fn a_quarter_of_an_hour(server: &Server) {
    for step in 0..STEPS {
        server.clock.advance_ms(EVALUATION_MS - 100);
        let mut hosts = vec![("a", first_host(step))];
        if !is_silent(step) {
            hosts.push(("b", second_host(step)));
        }
        for (agent_id, samples) in hosts {
            let body =
                json!({ "agent_id": agent_id, "interval_s": INTERVAL_S, "samples": samples });
            let answer = server.upload(agent_id, &body).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
        }
        server.clock.advance_ms(100);
        until_evaluated(server).await;
    }
}

/// A rule of its id, and how often it fires.
fn case(id: &str, times: usize, body: &Value) -> (Value, usize) {
    (with(json!({ "id": id, "name": id }), body), times)
}

fn beyond(metric: &str, operator: &str, threshold: f64, more: &Value) -> Value {
    let rule = json!({ "metric": metric, "operator": operator, "threshold": threshold });
    with(rule, more)
}

fn grouped(function: &str, by: &[&str], operator: &str, threshold: f64, more: &Value) -> Value {
    let aggregate = json!({ "function": function, "by": by });
    let rule = json!({ "operator": operator, "threshold": threshold, "aggregate": aggregate });
    let metric = if function == "count" {
        json!({})
    } else {
        json!({ "metric": "cpu_percent" })
    };
    with(with(rule, &metric), more)
}

#[tokio::test]
async fn what_would_have_been_is_what_was() {
    let java = &json!({ "process_name": "java" });
    let cases = [
        case(
            "above",
            6,
            &beyond(
                "cpu_percent",
                ">",
                80.0,
                &json!({ "process_name": "java", "for": "30s" }),
            ),
        ),
        case(
            "recovering",
            6,
            &beyond(
                "cpu_percent",
                ">",
                85.0,
                &json!({ "for": "15s", "recovery": 60 }),
            ),
        ),
        case(
            "kept",
            1,
            &beyond(
                "cpu_percent",
                ">=",
                90.0,
                &json!({ "keep_firing_for": "1m" }),
            ),
        ),
        case("below", 10, &beyond("num_threads", "<", 3.0, java)),
        case("equal", 8, &beyond("num_threads", "==", 5.0, java)),
        case("share", 3, &beyond("memory_percent", ">", 12.0, java)),
        case(
            "speed",
            5,
            &beyond("read_bytes_per_s", ">", 150_000.0, java),
        ),
        case("io", 5, &beyond("io_per_s", ">", 250_000.0, &json!({}))),
        case(
            "large",
            1,
            &beyond("memory_rss", ">", 2e9, &json!({ "for": "45s" })),
        ),
        case(
            "changing_scope",
            6,
            &beyond(
                "cpu_percent",
                ">",
                40.0,
                &json!({ "q": "num_threads > 2 && memory_rss < 2000000000" }),
            ),
        ),
        case(
            "other_host",
            10,
            &beyond("cpu_percent", ">", 50.0, &json!({ "agent_id": "b*" })),
        ),
        case("zombie", 7, &json!({ "kind": "zombie", "for": "15s" })),
        case(
            "leak",
            1,
            &json!({
                "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": 1e6, "window": "1m", "process_name": "java"
            }),
        ),
        case(
            "reading",
            5,
            &json!({
                "kind": "rate", "metric": "read_bytes", "operator": ">", "threshold": 120_000, "window": "1m", "recovery": 50_000
            }),
        ),
        case(
            "absent",
            5,
            &json!({ "kind": "absence", "process_name": "sshd", "for": "30s" }),
        ),
        case(
            "user",
            2,
            &json!({ "kind": "change", "field": "username", "keep_firing_for": "15s" }),
        ),
        case(
            "port",
            2,
            &json!({ "kind": "change", "field": "ports", "keep_firing_for": "30s" }),
        ),
        case(
            "state",
            13,
            &json!({ "kind": "change", "field": "status", "keep_firing_for": "15s" }),
        ),
        case(
            "threads",
            1,
            &json!({ "kind": "change", "field": "num_threads", "keep_firing_for": "0s", "process_name": "java" }),
        ),
        case("down", 2, &json!({ "kind": "host_down", "after": "40s" })),
        case(
            "sum_of_host",
            6,
            &grouped(
                "sum",
                &["name", "agent_id"],
                ">",
                80.0,
                &json!({ "for": "15s" }),
            ),
        ),
        case(
            "stale_for_long",
            10,
            &beyond(
                "cpu_percent",
                ">",
                50.0,
                &json!({ "agent_id": "b*", "keep_stale_for": "1m" }),
            ),
        ),
        case(
            "sum_without_the_silent",
            16,
            &grouped(
                "sum",
                &["name"],
                ">",
                120.0,
                &json!({ "keep_stale_for": "1m" }),
            ),
        ),
        case(
            "sum_of_name",
            16,
            &grouped("sum", &["name"], ">", 120.0, &json!({})),
        ),
        case(
            "sum_of_all",
            14,
            &grouped("sum", &[], ">", 200.0, &json!({})),
        ),
        case("low_sum", 11, &grouped("sum", &["name"], "<", 70.0, java)),
        case(
            "max_of_user",
            9,
            &grouped("max", &["username"], ">", 75.0, &json!({ "recovery": 60 })),
        ),
        case(
            "too_few",
            9,
            &grouped(
                "count",
                &["agent_id"],
                "<",
                2.0,
                &json!({ "process_name": "worker" }),
            ),
        ),
        case(
            "too_few_anywhere",
            8,
            &grouped("count", &[], "<", 3.0, &json!({ "process_name": "worker" })),
        ),
        case(
            "many",
            9,
            &grouped("count", &["name"], ">", 2.0, &json!({})),
        ),
    ];
    let server = server().await;
    for (body, _) in &cases {
        rule(&server, body).await;
    }
    a_quarter_of_an_hour(&server).await;
    require_the_same(&server, &cases).await;
    server.stop().await;
}
