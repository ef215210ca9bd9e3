//! Debian's Alertmanager, which is needed: `apt-get install prometheus-alertmanager` (cargo xtask test does).

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use procmon_server::clock::Clock;
use procmon_server::delivery::channel::ChannelKind;
use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, webhook};
use crate::support::receiver::{Receiver, until};
use crate::support::whole::sample;
use crate::support::{Server, http_client};

const CONFIG: &str = "
route: {receiver: test, group_by: [alertname, agent_id], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: test, webhook_configs: [{url: 'RECEIVER', send_resolved: true}]}]
";

struct Alertmanager {
    child: Child,
    url: String,
}

impl Alertmanager {
    async fn start(folder: &std::path::Path, receiver: &Receiver) -> Self {
        let port = Receiver::nobody().await;
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, CONFIG.replace("RECEIVER", &receiver.url())).expect("a file");
        let checked = Command::new("amtool")
            .arg("check-config")
            .arg(&config)
            .output();
        assert!(
            checked
                .expect("prometheus-alertmanager is installed")
                .status
                .success()
        );
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let alertmanager = Self {
            child: child.expect("prometheus-alertmanager is installed"),
            url: format!("http://127.0.0.1:{port}"),
        };
        let ready = format!("{}/-/ready", alertmanager.url);
        until("Alertmanager", async || {
            http_client().get(&ready).send().await.is_ok()
        })
        .await;
        alertmanager
    }

    /// Fingerprints of its alerts, as its own tool lists them.
    fn amtool(&self) -> BTreeSet<String> {
        let output = Command::new("amtool")
            .args(["alert", "query", "-o", "json", "--alertmanager.url"])
            .arg(&self.url)
            .output()
            .expect("prometheus-alertmanager is installed");
        assert!(output.status.success(), "{output:?}");
        fingerprints(&serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Names and states of its alerts.
    async fn alerts(&self) -> Vec<Value> {
        let url = format!("{}/api/v2/alerts", self.url);
        let answer = http_client().get(url).send().await.expect("an answer");
        answer.json().await.expect("a list")
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fingerprints(alerts: &Value) -> BTreeSet<String> {
    let alerts = alerts.as_array().expect("a list").iter();
    let texts = alerts.map(|alert| alert["fingerprint"].as_str().expect("text").to_owned());
    texts.collect()
}

/// By the clock of the machine, which Alertmanager goes by.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_millis() as i64
}

#[tokio::test]
async fn alertmanager_receives_groups_and_resolves() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let alertmanager = Alertmanager::start(folder.path(), &receiver).await;
    let clock = Clock::manual(now_ms());
    let mut channel = webhook("c", &alertmanager.url);
    channel.kind = ChannelKind::Alertmanager;
    channel.secrets.clear();
    let store = folder.path().join("store");
    let bench = Bench::start_with(&store, clock, vec![channel], "127.0.0.1").await;
    bench.round(&[("a", true)]).await;
    until("the alert", async || alertmanager.alerts().await.len() == 1).await;
    let alert = alertmanager.alerts().await.remove(0);
    assert_eq!(alert["labels"]["alertname"], "Busy");
    assert_eq!(alert["status"]["state"], "active");
    let told = receiver.wait_for(1).await.remove(0).json();
    assert_eq!(
        (&told["status"], &told["groupLabels"]["alertname"]),
        (&"firing".into(), &"Busy".into())
    );
    // It is reminded every minute: the end moves on with the clock.
    let ends = alert["endsAt"].clone();
    bench.clock.advance_ms(61_000);
    until("a reminder", async || {
        alertmanager.alerts().await[0]["endsAt"] != ends
    })
    .await;
    bench.clock.advance_ms(-61_000);
    bench.round(&[("a", false)]).await;
    until("the end", async || alertmanager.alerts().await.is_empty()).await;
    until("the message", async || {
        receiver
            .requests()
            .last()
            .is_some_and(|last| last.json()["status"] == "resolved")
    })
    .await;
}

#[tokio::test]
async fn alerts_of_rules_arrive_as_they_are_and_are_grouped_and_resolved_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let alertmanager = Alertmanager::start(folder.path(), &receiver).await;
    // An end in the future is none: evaluations stay behind the clock that Alertmanager goes by.
    let clock = Clock::manual(now_ms() - 120_000);
    let server = Server::start_in(&folder.path().join("store"), clock).await;
    server.evaluated().await;
    let rule = json!({"id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80,
        "severity": "page", "labels": {"team": "a \"b\" é"}, "annotations": {"summary": "{{ $labels.name }} at {{ $value }}%"}});
    server.rule(&rule).await;
    let channel = json!({"name": "am", "kind": "alertmanager", "url": alertmanager.url});
    server.request(Method::POST, "/channels", &channel).await;
    let on = |cpu: f64| {
        let a = [sample(1, "java", cpu), sample(2, "my\\sql\n", cpu)];
        (a, [sample(3, "java", cpu)])
    };
    let (a, b) = on(95.0);
    server.evaluate(&[("a", &a), ("b", &b)]).await;
    until("three alerts", async || {
        alertmanager.alerts().await.len() == 3
    })
    .await;
    let ours = server.json("/api/v1/alerts").await["alerts"].clone();
    let theirs = Value::Array(alertmanager.alerts().await);
    assert_eq!(fingerprints(&theirs), fingerprints(&ours));
    assert_eq!(alertmanager.amtool(), fingerprints(&ours));
    for alert in theirs.as_array().expect("a list") {
        let mut ours = ours.as_array().expect("a list").iter();
        let same = ours.find(|one| one["fingerprint"] == alert["fingerprint"]);
        let same = same.expect("it is there");
        assert_eq!(alert["labels"], same["labels"]);
        assert_eq!(alert["annotations"], same["annotations"]);
    }
    let told = |host: &str, status: &str, count: usize| {
        let requests = receiver.requests().into_iter();
        let mut messages = requests.map(|request| request.json());
        messages.any(|message| {
            message["groupLabels"]["agent_id"] == host
                && message["status"] == status
                && message["alerts"].as_array().map(Vec::len) == Some(count)
        })
    };
    until("both groups", async || {
        told("a", "firing", 2) && told("b", "firing", 1)
    })
    .await;
    let (a, b) = on(1.0);
    server.evaluate(&[("a", &a), ("b", &b)]).await;
    until("the end", async || {
        alertmanager.alerts().await.is_empty() && alertmanager.amtool().is_empty()
    })
    .await;
    until("both groups are told of", async || {
        told("a", "resolved", 2) && told("b", "resolved", 1)
    })
    .await;
    server.stop().await;
}
