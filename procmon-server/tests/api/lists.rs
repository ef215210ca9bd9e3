//! `GET /processes`: expressions, orders, groups and exports.

use serde_json::Value;

use crate::support::{FakeAgent, Server};

async fn two_hosts() -> Server {
    let server = Server::start().await;
    server.send(&FakeAgent::new("one").key(10, 12)).await;
    server.send(&FakeAgent::new("two").key(10, 3)).await;
    server
}

async fn pids(server: &Server, query: &str) -> Vec<u64> {
    let body = server.json(&format!("/api/v1/processes?{query}")).await;
    let list = body["processes"].as_array().expect("a list");
    list.iter()
        .map(|process| process["pid"].as_u64().expect("a pid"))
        .collect()
}

/// Encoded as a query string.
fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("%{byte:02X}"));
    bytes.collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn expressions_select() {
    let server = two_hosts().await;
    for (expression, count) in [
        ("cpu_percent > 20", 1),
        ("name == 'demo' && agent_id == \"two\"", 3),
        ("pid in [10, 11, 99]", 4),
        ("443 in ports", 2),
        ("args.exists(a, a == '21')", 1),
        ("cmdline.contains('--n 21')", 1),
        ("cmdline == '/usr/bin/demo --n 21'", 1),
        ("status == 'Z' || uid == 0", 2),
        (
            "username == 'alice' && euid == 0 && ppid == 10 && pid != 11",
            9,
        ),
        ("open_fds > 0 || !(open_fds > 0)", 0),
        ("open_fds == null", 15),
        ("container_id != null && container_id.startsWith('0123')", 8),
        (
            "start_time < timestamp('2026-01-31T12:00:01Z') && !stale",
            15,
        ),
        ("memory_rss > 20 * 1024 * 1024", 1),
        ("process_id.startsWith('10-1010-')", 2),
    ] {
        let query = format!("q={}", encoded(expression));
        assert_eq!(pids(&server, &query).await.len(), count, "{expression}");
    }
    // With the other parameters.
    let query = format!("agent_id=one&cpu_gt=19&q={}", encoded("pid < 21"));
    assert_eq!(pids(&server, &query).await, [20]);
    let problem = server
        .problem(&format!(
            "/api/v1/processes?q={}",
            encoded("cpu_percnt > 5")
        ))
        .await;
    let detail = problem["detail"].as_str().expect("text");
    assert!(
        detail.contains("column 1") && detail.contains("did you mean cpu_percent"),
        "{detail}"
    );
    server.stop().await;
}

#[tokio::test]
async fn several_keys_make_an_order() {
    let server = two_hosts().await;
    assert_eq!(
        pids(&server, "sort=-agent_id,pid&limit=4").await,
        [10, 11, 12, 10]
    );
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/processes?sort=name,-status,agent_id&limit=4&cursor={cursor}");
        let page = server.json(&path).await;
        paged.extend(page["processes"].as_array().expect("a list").clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        next.clone_into(&mut cursor);
    }
    let whole = server
        .json("/api/v1/processes?sort=name,-status,agent_id")
        .await;
    assert_eq!(Value::from(paged), whole["processes"]);
    server.stop().await;
}

#[tokio::test]
async fn a_page_goes_on_where_it_ended_whatever_came_and_went() {
    let server = Server::start().await;
    server.send(&FakeAgent::new("b").key(10, 6)).await;
    let first = server.json("/api/v1/processes?sort=pid&limit=3").await;
    let cursor = first["next_cursor"].as_str().expect("there is more");
    // Rows before and after the end of the page appear meanwhile.
    server.send(&FakeAgent::new("a").key(11, 4)).await;
    let query = format!("sort=pid&limit=100&cursor={cursor}");
    assert_eq!(pids(&server, &query).await, [13, 13, 14, 14, 15]);
    server.stop().await;
}

#[tokio::test]
async fn groups_add_up() {
    let server = two_hosts().await;
    let body = server.json("/api/v1/processes?group_by=agent_id").await;
    assert_eq!(body["total"], 2);
    let one = &body["groups"][0];
    assert_eq!(
        (&one["agent_id"], &one["count"]),
        (&"one".into(), &12.into())
    );
    // 10 + 11 + … + 21
    assert_eq!(one["sum"]["cpu_percent"], 186.0);
    assert_eq!(one["max"]["cpu_percent"], 21.0);
    assert_eq!(one["sum"]["memory_rss"], 186 * 1024 * 1024);
    assert_eq!(one["sum"]["open_fds"], Value::Null);
    assert_eq!(one.get("name"), None);
    let body = server
        .json("/api/v1/processes?group_by=container,user&sort=count&limit=1")
        .await;
    assert_eq!(body["total"], 2);
    let group = &body["groups"][0];
    assert_eq!(group["container_id"], Value::Null);
    assert_eq!(
        (&group["username"], &group["count"]),
        (&"alice".into(), &7.into())
    );
    let cursor = body["next_cursor"].as_str().expect("there is more");
    let path =
        format!("/api/v1/processes?group_by=container,user&sort=count&limit=1&cursor={cursor}");
    let body = server.json(&path).await;
    assert_eq!(body["groups"][0]["count"], 8);
    assert_eq!(body["next_cursor"], Value::Null);
    for (query, word) in [
        ("group_by=colour", "container"),
        ("group_by=name&sort=colour", "sum."),
        ("group_by=name&cursor=x", "next_cursor"),
    ] {
        let problem = server.problem(&format!("/api/v1/processes?{query}")).await;
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    let csv = text(&server, "group_by=name&format=csv").await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("name,count,sum.cpu_percent,"));
    assert!(lines[1].starts_with("demo,15,"), "{}", lines[1]);
    server.stop().await;
}

async fn text(server: &Server, query: &str) -> String {
    let response = server.get(&format!("/api/v1/processes?{query}")).await;
    assert_eq!(response.status(), 200, "{query}");
    response.text().await.expect("a body")
}

#[tokio::test]
async fn exports_have_everything() {
    let server = Server::start().await;
    for host in 0..4 {
        let agent = &mut FakeAgent::new(&format!("host-{host}"));
        server.send(&agent.key(10, 1_200)).await;
    }
    let csv = text(&server, "format=csv").await;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 1 + 4_800);
    let head: Vec<_> = lines[0].split(',').collect();
    assert_eq!(&head[..3], ["agent_id", "process_id", "pid"]);
    assert_eq!(lines[1].split(',').count(), head.len());
    let mut seen: Vec<_> = lines[1..]
        .iter()
        .map(|line| line.split(',').take(3).collect::<Vec<_>>())
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4_800);
    let json: Value = serde_json::from_str(&text(&server, "format=json").await).expect("JSON");
    assert_eq!(json["processes"].as_array().expect("a list").len(), 4_800);
    assert_eq!(json["total"], 4_800);
    let sorted = text(&server, "format=ndjson&sort=-pid,agent_id&pid=11").await;
    let agents: Vec<_> = sorted
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["agent_id"].clone())
        .collect();
    assert_eq!(agents, ["host-0", "host-1", "host-2", "host-3"]);
    assert_eq!(
        text(&server, "format=csv&limit=1500").await.lines().count(),
        1_501
    );
    assert_eq!(text(&server, "format=csv&pid=1").await.lines().count(), 1);
    let empty: Value =
        serde_json::from_str(&text(&server, "format=json&pid=1").await).expect("JSON");
    assert_eq!(empty["processes"], Value::Array(Vec::new()));
    server.stop().await;
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = Server::start().await;
    for (query, word) in [
        ("cpu_gt=NaN", "cpu_gt=NaN"),
        ("mem_gt=inf", "mem_gt=inf"),
        ("io_gt=-inf", "io_gt=-inf"),
        ("cpu_gt=x", "cpu_gt"),
        ("status=sleeping", "R, S, D"),
        ("port=70000", "0 to 65535"),
        ("pid=4294967296", "at most 4294967295"),
        ("process_id=1234", "1234-567890-0f2c9f1e"),
        ("pid=-1", "pid"),
        ("format=xml", "csv, json or ndjson"),
        ("format=csv&limit=0", "limit=0"),
        ("format=csv&cursor=x", "no cursor"),
        ("sort=args", "cpu_percent"),
        ("sort=pid,pid,pid,pid,pid", "at most 4"),
        ("sort=pid&cursor=e30", "next_cursor"),
        ("q=%28", "column 2"),
        ("limit=x", "limit=x"),
        ("name=a&name=b", "name is given twice"),
    ] {
        let problem = server.problem(&format!("/api/v1/processes?{query}")).await;
        assert_eq!(problem["status"], 400, "{query}");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    server.stop().await;
}
