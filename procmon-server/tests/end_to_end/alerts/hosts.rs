//! Hosts that fall silent: the rule about it, and what becomes of the alerts of their processes.

use serde_json::{Value, json};

use super::program::{Running, WAIT, shell, unique};
use super::watch::Watch;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_down_until_its_agent_is_heard_again() {
    let mut watch = Watch::start("down").await;
    watch
        .rule(&json!({
            "id": "down", "name": "Down", "kind": "host_down", "after": "6s", "agent_id": watch.agent_id
        }))
        .await;
    watch.kill_agent();
    let alert = watch.until("down", "firing").await;
    assert_eq!(alert["labels"]["agent_id"], watch.agent_id.as_str());
    assert!(alert["value"].as_f64() > Some(6.0), "{alert}");
    watch.start_agent().await;
    watch.until("down", "resolved").await;
    watch.check_lives(&[&alert]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_a_silent_host_are_stale_and_neither_end_nor_begin_again() {
    let mut watch = Watch::start("silent").await;
    let name = unique("hush");
    watch
        .rule(&json!({
            "id": "there", "name": "There", "process_name": format!("{name}*"),
            "metric": "memory_rss", "operator": ">", "threshold": 0
        }))
        .await;
    let start = |suffix| {
        let program = shell(watch.folder(), &format!("{name}{suffix}"));
        Running::start(&program, WAIT, &[])
    };
    let (goes_on, ends) = (start("a"), start("b"));
    let of = |process: &Running| {
        let pid = process.pid().to_string();
        move |alert: &Value| alert["labels"]["pid"] == pid
    };
    let (of_one, of_other) = (of(&goes_on), of(&ends));
    watch.until_one("there", "firing", &of_one).await;
    watch.until_one("there", "firing", &of_other).await;
    watch.until_told("there", 2).await;

    watch.kill_agent();
    drop(ends);
    let is_stale = |alert: &Value| alert["stale"] == true;
    watch
        .until_one("there", "firing", |alert| of_one(alert) && is_stale(alert))
        .await;
    watch
        .until_one("there", "firing", |alert| {
            of_other(alert) && is_stale(alert)
        })
        .await;
    watch.until_evaluated().await;
    assert_eq!(watch.alerts("there", "firing").await.len(), 2);
    assert_eq!(watch.told("there").len(), 2);

    watch.start_agent().await;
    let is_known = |alert: &Value| alert["stale"] == false;
    let over = watch.until_one("there", "resolved", &of_other).await;
    let on = watch
        .until_one("there", "firing", |alert| of_one(alert) && is_known(alert))
        .await;
    let told = watch.until_told("there", 3).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[2].0, "alert.resolved");
    assert_eq!(told[2].1["fingerprint"], over["fingerprint"]);
    assert_eq!(watch.history(&over).await, ["firing", "resolved"]);
    assert_eq!(watch.history(&on).await, ["firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_started_again_ends_and_begins_nothing() {
    let mut watch = Watch::start("again").await;
    let name = unique("same");
    let _process = Running::start(&shell(watch.folder(), &name), WAIT, &[]);
    let rules = [
        json!({ "id": "there", "name": "There", "metric": "memory_rss", "operator": ">", "threshold": 0 }),
        json!({ "id": "missing", "name": "Missing", "kind": "absence", "agent_id": watch.agent_id }),
        json!({ "id": "other", "name": "Other", "kind": "change", "field": "cmdline" }),
        json!({ "id": "fails", "name": "Fails", "kind": "crash_loop", "count": 2 }),
    ];
    watch
        .until_listed(&format!("processes?name={name}"), "processes")
        .await;
    for mut rule in rules {
        rule["process_name"] = json!(name);
        watch.rule(&rule).await;
    }
    let alert = watch.until("there", "firing").await;
    for _ in 0..3 {
        watch.kill_agent();
        watch.start_agent().await;
        watch.until_sampled(&name).await;
        watch.until_evaluated().await;
    }
    let same = watch.until("there", "firing").await;
    assert_eq!(same["active_at"], alert["active_at"], "{same}");
    assert_eq!(watch.history(&alert).await, ["firing"]);
    for rule_id in ["missing", "other", "fails"] {
        let alerts = watch.alerts(rule_id, "pending,firing,resolved").await;
        assert!(alerts.is_empty(), "{alerts:?}");
    }
}
