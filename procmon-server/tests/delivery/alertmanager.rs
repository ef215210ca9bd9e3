//! Debian's Alertmanager, which is needed: `apt-get install prometheus-alertmanager` (cargo xtask test does).

use std::process::{Child, Command, Stdio};

use procmon_server::clock::Clock;
use procmon_server::delivery::channel::ChannelKind;
use serde_json::Value;

use crate::bench::{Bench, webhook};
use crate::support::http_client;
use crate::support::receiver::{Receiver, until};

const CONFIG: &str = "
route: {receiver: test, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
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

#[tokio::test]
async fn alertmanager_receives_groups_and_resolves() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let alertmanager = Alertmanager::start(folder.path(), &receiver).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let clock = Clock::manual(now.expect("after 1970").as_millis() as i64);
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
