//! Rules about processes as they are: threshold, rate, absence, zombie and change.

use serde_json::json;

use super::program::{BURN, Running, WAIT, shell, unique};
use super::watch::{Watch, text};

/// However little a busy machine leaves to a burner it is more; a process that waits uses none.
const BUSY_PERCENT: f64 = 0.2;
const BUSY_MS_PER_S: f64 = 2.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_burner_is_beyond_a_threshold_and_so_is_another_that_comes_after_it() {
    let watch = Watch::start("threshold").await;
    let name = unique("burn");
    watch
        .rule(&json!({
            "id": "busy", "name": "Busy", "process_name": name, "severity": "page",
            "metric": "cpu_percent", "operator": ">", "threshold": BUSY_PERCENT
        }))
        .await;
    let program = shell(watch.folder(), &name);
    let mut lives = Vec::new();
    for _ in 0..2 {
        let burner = Running::start(&program, BURN, &[]);
        let alert = watch.until("busy", "firing").await;
        let labels = &alert["labels"];
        assert_eq!(labels["name"], name.as_str(), "{alert}");
        assert_eq!(labels["pid"], burner.pid().to_string(), "{alert}");
        assert_eq!(labels["severity"], "page", "{alert}");
        assert!(alert["value"].as_f64() > Some(BUSY_PERCENT), "{alert}");
        drop(burner);
        let is_it = |other: &serde_json::Value| other["fingerprint"] == alert["fingerprint"];
        watch.until_one("busy", "resolved", is_it).await;
        lives.push(alert);
    }
    assert_ne!(
        text(&lives[0], "fingerprint"),
        text(&lives[1], "fingerprint")
    );
    watch.check_lives(&[&lives[0], &lives[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_time_that_grows_fast_and_stands_still_again() {
    let watch = Watch::start("rate").await;
    let name = unique("rate");
    watch
        .rule(&json!({
            "id": "grows", "name": "Grows", "kind": "rate", "process_name": name,
            "metric": "cpu_time_ms", "operator": ">", "threshold": BUSY_MS_PER_S, "window": "2s"
        }))
        .await;
    let burner = Running::start(&shell(watch.folder(), &name), BURN, &[]);
    let alert = watch.until("grows", "firing").await;
    assert!(alert["value"].as_f64() > Some(BUSY_MS_PER_S), "{alert}");
    // It is still there when its alert is resolved.
    burner.signal("-STOP");
    watch.until("grows", "resolved").await;
    watch.check_lives(&[&alert]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_missing_and_is_started() {
    let watch = Watch::start("absence").await;
    let name = unique("mond");
    watch
        .rule(&json!({
            "id": "missing", "name": "Missing", "kind": "absence", "process_name": name,
            "agent_id": watch.agent_id
        }))
        .await;
    let alert = watch.until("missing", "firing").await;
    assert_eq!(alert["labels"]["agent_id"], watch.agent_id.as_str());
    let _daemon = Running::start(&shell(watch.folder(), &name), WAIT, &[]);
    watch.until("missing", "resolved").await;
    watch.check_lives(&[&alert]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_until_it_is_waited_for() {
    let watch = Watch::start("zombie").await;
    let name = unique("zomb");
    watch
        .rule(&json!({ "id": "undead", "name": "Undead", "kind": "zombie", "process_name": name }))
        .await;
    let mut zombie = Running::start(&shell(watch.folder(), &name), "exit 0", &[]);
    let alert = watch.until("undead", "firing").await;
    assert_eq!(alert["labels"]["pid"], zombie.pid().to_string(), "{alert}");
    assert!(zombie.wait().success());
    watch.until("undead", "resolved").await;
    watch.check_lives(&[&alert]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_becomes_another_program() {
    let watch = Watch::start("change").await;
    let name = unique("chg");
    watch
        .rule(&json!({
            "id": "other", "name": "Other", "kind": "change", "field": "exe", "process_name": format!("{name}*"),
            "keep_firing_for": "2s"
        }))
        .await;
    let (before, after) = (format!("{name}a"), format!("{name}b"));
    let next = shell(watch.folder(), &after);
    let script = r#"read line; exec "$1" -c "read line""#;
    let arguments = [next.to_str().expect("UTF-8")];
    let mut process = Running::start(&shell(watch.folder(), &before), script, &arguments);
    watch
        .until_listed(&format!("processes?name={before}"), "processes")
        .await;
    watch.until_evaluated().await;
    assert!(
        watch
            .alerts("other", "pending,firing,resolved")
            .await
            .is_empty()
    );
    process.tell("go on");
    let alert = watch.until("other", "firing").await;
    assert_eq!(alert["labels"]["pid"], process.pid().to_string(), "{alert}");
    assert_eq!(alert["labels"]["name"], after.as_str(), "{alert}");
    watch.until("other", "resolved").await;
    watch.check_lives(&[&alert]).await;
}
