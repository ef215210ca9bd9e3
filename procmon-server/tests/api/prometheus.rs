//! `/metrics` as Debian's Prometheus and promtool see it. They are needed: `apt-get install prometheus` (cargo xtask test does).

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use procmon_common::wire;
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::whole::sample;
use crate::support::{FakeAgent, Server, event, exited, image};

/// A server that has something to tell in every family.
async fn busy_server() -> Server {
    let server = Server::start().await;
    let mut agent = FakeAgent::new("host-1");
    let mut key = agent.key(10, 12);
    for (number, process) in key.processes.iter_mut().enumerate() {
        // A name may be anything.
        let name: &[u8] = [b"web".as_slice(), b"a \"quoted\"\nname\\", b"\xff\xfe"][number % 3];
        process.image.as_mut().expect("an image").name = name.to_vec().into();
    }
    let health = key.health.as_mut().expect("health");
    health.spool_bytes = 1;
    health.rss_bytes = 2 << 20;
    health.cpu_time_ns = 1_500_000_000;
    health.sample_ns = 3_000_000;
    let totals = key.host.as_mut().expect("totals");
    totals.cpu_centipercent = Some(15_000);
    totals.boot_unix_ns = agent.now_ns - 1_000_000_000;
    let device = wire::BlockDevice {
        major: 254,
        minor: 0,
        name: "vda".to_owned(),
    };
    key.frame.as_mut().expect("a frame").block_latency = vec![wire::BlockLatency {
        device: Some(device),
        buckets: vec![0, 3, 2],
        latency_sum_ns: 5_000,
        ..wire::BlockLatency::default()
    }];
    server.send(&key).await;
    server.send(&agent.life(50, exited(7))).await;
    let mut killed = agent.batch();
    let oom = wire::event::Kind::Oom(wire::Oom::default());
    killed.events = vec![event(agent.now_ns, 10, oom)];
    let exec = wire::Exec {
        image: Some(image(1, b"/bin/true\0")),
        credentials: None,
    };
    killed
        .events
        .push(event(agent.now_ns, 11, wire::event::Kind::Exec(exec)));
    server.send(&killed).await;
    server.post_body("host-1", b"junk".to_vec()).await;
    let upload = json!({"samples": [{"pid": 1, "name": "script"}]});
    assert_eq!(server.upload("uploader", &upload).await.status(), 202);
    server
}

async fn metrics(server: &Server, accept: &str) -> String {
    let request = server
        .http
        .get(server.url("/metrics"))
        .header("accept", accept);
    request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a body")
}

#[tokio::test]
async fn the_page_lists_what_there_is() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"))
        .expect("the page");
    assert_eq!(
        page,
        procmon_server::metrics::page(),
        "docs/metrics.md is stale; write it anew: cargo run -p procmon-server -- metrics > docs/metrics.md"
    );
    let server = busy_server().await;
    let text = metrics(&server, "text/plain").await;
    let mut exposed = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').expect("a kind");
        assert!(
            page.contains(&format!("| `{name}` |")),
            "{name} is not on the page"
        );
        exposed += 1;
    }
    let listed = page
        .lines()
        .filter(|line| line.starts_with("| `procmon_"))
        .count();
    assert_eq!(exposed, listed, "everything that is listed is exposed");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for (label, _) in line.split(',').filter_map(|part| part.split_once("=\"")) {
            let label = label.rsplit('{').next().unwrap_or(label);
            let known = label == "le" || page.contains(&format!("`{label}`"));
            assert!(known && label != "pid", "{line}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn groups_add_up_to_the_host() {
    let server = busy_server().await;
    let text = metrics(&server, "text/plain").await;
    for line in [
        r#"procmon_group_processes{agent_id="host-1",name="web"} 4"#,
        r#"procmon_group_processes{agent_id="host-1",name="a \"quoted\"\nname\\"} 3"#,
        r#"procmon_host_cpu_ratio{agent_id="host-1"} 1.5"#,
        r#"procmon_oom_kills_total{agent_id="host-1"} 1"#,
        r#"procmon_agent_cpu_seconds_total{agent_id="host-1"} 1.5"#,
        r#"procmon_queue_capacity{queue="store"} 1024"#,
    ] {
        let has = text
            .lines()
            .any(|known| known.trim_end_matches(".0") == line);
        assert!(has, "{line} is not in\n{text}");
    }
    let sum: f64 = text
        .lines()
        .filter(|line| line.starts_with("procmon_group_processes{agent_id=\"host-1\""))
        .map(|line| {
            line.rsplit(' ')
                .next()
                .expect("a value")
                .parse::<f64>()
                .expect("a number")
        })
        .sum();
    assert!((sum - 12.0).abs() < 0.1, "{sum}");
    server.stop().await;
}

/// What promtool says about metrics, which should be nothing.
fn promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{said}\n{text}"
    );
}

#[tokio::test]
async fn promtool_has_nothing_to_complain_about() {
    let server = busy_server().await;
    promtool_accepts(&metrics(&server, "text/plain;version=0.0.4").await);
    server.stop().await;
}

#[tokio::test]
async fn nor_when_alerts_fire_and_are_told() {
    let server = busy_server().await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let hot = json!({"name": "H", "metric": "cpu_percent", "operator": ">", "threshold": 80, "for": "0s"});
    let long = json!({"name": "L", "metric": "cpu_percent", "operator": ">", "threshold": 80, "for": "1h"});
    server.rule(&hot).await;
    server.rule(&long).await;
    let processes = [sample(7, "java", 95.0), sample(8, "a \"b\"\n", 95.0)];
    server.evaluate(&[("uploader", &processes)]).await;
    receiver.wait_for(2).await;
    server.all_delivered(&channel).await;
    let text = metrics(&server, "text/plain;version=0.0.4").await;
    for line in [
        "procmon_alerts{state=\"firing\"} 2",
        "procmon_alerts{state=\"pending\"} 2",
        "procmon_rules{source=\"api\"} 2",
        "procmon_delivery_attempts_total{kind=\"webhook\",result=\"delivered\"} 2",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    promtool_accepts(&text);
    server.stop().await;
}

/// Stopped when dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself, and its data are thrown away.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn debians_prometheus_scrapes_it() {
    let server = busy_server().await;
    let folder = tempfile::tempdir().expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: procmon\n    static_configs: [{{targets: ['{}']}}]\n",
        server.address
    );
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, config).expect("a file");
    let log = fs::File::create(folder.path().join("log")).expect("a file");
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("prometheus, of Debian's package of that name");
    let _prometheus = Prometheus(prometheus);
    let base = format!("http://127.0.0.1:{port}/api/v1");
    let deadline = Instant::now() + Duration::from_mins(2);
    let groups = loop {
        let found = query(
            &server,
            &base,
            "procmon_group_processes{agent_id=\"host-1\"}",
        )
        .await;
        if found.len() == 4 {
            break found;
        }
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{found:?}\n{}", log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let names: Vec<_> = groups
        .iter()
        .map(|series| series["metric"]["name"].as_str())
        .collect();
    assert!(names.contains(&Some("a \"quoted\"\nname\\")), "{names:?}");
    let up = query(&server, &base, "up{job=\"procmon\"}").await;
    assert_eq!(up[0]["value"][1], "1", "the whole answer was read");
    let counted = query(&server, &base, "procmon_ingest_rejects_total").await;
    assert_eq!(counted[0]["metric"]["reason"], "malformed");
    let typed: Value = server
        .http
        .get(format!(
            "{base}/metadata?metric=procmon_block_latency_seconds"
        ))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let metadata = &typed["data"]["procmon_block_latency_seconds"][0];
    assert_eq!(metadata["type"], "histogram");
    assert_eq!(metadata["unit"], "seconds", "it reads OpenMetrics: {typed}");
    server.stop().await;
}

async fn query(server: &Server, base: &str, query: &str) -> Vec<Value> {
    let request = server.http.post(format!("{base}/query"));
    let form = format!(
        "query={}",
        query
            .replace('%', "%25")
            .replace('=', "%3D")
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D")
    );
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    // It takes a moment to start.
    let Ok(response) = request.send().await else {
        return Vec::new();
    };
    let answer: Value = response.json().await.unwrap_or_default();
    answer["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
