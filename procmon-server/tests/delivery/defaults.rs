//! What holds where nothing else is said, from the rule to the receiver.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;
use crate::support::receiver::{Receiver, Reply};
use crate::support::whole::{EVALUATION_MS, sample};

const REPEAT_MS: i64 = 4 * 3_600_000;

async fn server() -> Server {
    let server = Server::start().await;
    server.evaluated().await;
    let busy = json!({"id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80});
    server.rule(&busy).await;
    server
}

fn hot(name: &str) -> Value {
    sample(name.len() as u32, name, 95.0)
}

fn cool(name: &str) -> Value {
    sample(name.len() as u32, name, 1.0)
}

/// Goes on to just before, or just after, what was told is told again. Nobody is heard meanwhile.
async fn pass(server: &Server, ms: i64) {
    server.clock.advance_ms(ms);
    server.evaluated().await;
}

#[tokio::test]
async fn every_alert_is_told_at_once_one_message_for_each_transition() {
    let server = server().await;
    let gone =
        json!({"name": "Gone", "kind": "absence", "process_name": "daemon", "severity": "page"});
    server.rule(&gone).await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let shown = server.json(&format!("/api/v1{channel}")).await;
    assert_eq!(shown["enabled"], true);
    assert!(shown["match"].is_null(), "every alert");
    assert_eq!(shown["repeat_interval"], "4h");
    assert!(shown["group_by"].is_null() && shown["group_wait"].is_null());
    server
        .evaluate(&[("a", &[hot("java"), hot("mysql")])])
        .await;
    // No clock moves: there is nothing to wait for.
    receiver.wait_for(3).await;
    server
        .evaluate(&[("a", &[cool("java"), hot("mysql")])])
        .await;
    receiver.wait_for(4).await;
    let mut told = server.told(&channel).await;
    told[..3].sort();
    assert_eq!(
        told,
        [
            "firing Gone",
            "firing java",
            "firing mysql",
            "resolved java"
        ]
    );
    let history = server.json("/api/v1/alerts/history").await;
    let transitions = history["transitions"].as_array().expect("a list").len();
    assert_eq!((transitions, receiver.told().len()), (4, 4));
    server.stop().await;
}

#[tokio::test]
async fn what_still_fires_is_told_again_after_four_hours() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let java = [hot("java")];
    server.evaluate(&[("a", &java)]).await;
    pass(&server, REPEAT_MS - 2 * EVALUATION_MS).await;
    server.evaluate(&[("a", &java)]).await;
    assert_eq!(server.told(&channel).await, ["firing java"]);
    for _ in 0..2 {
        server.evaluate(&[("a", &java)]).await;
        assert_eq!(
            server.told(&channel).await,
            ["firing java", "firing java 1"]
        );
    }
    receiver.wait_for(2).await;
    assert_eq!(receiver.told().len(), 2, "a repeat has an id of its own");
    server.stop().await;
}

#[tokio::test]
async fn a_group_is_told_together_after_its_wait() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let group = json!({"group_by": ["agent_id"]});
    let channel = server.webhook(&receiver, &group).await;
    let shown = server.json(&format!("/api/v1{channel}")).await;
    assert_eq!(shown["group_wait"], "30s");
    let both = [hot("java"), hot("mysql")];
    server.evaluate(&[("a", &both), ("b", &both)]).await;
    server.evaluate(&[("a", &both), ("b", &both)]).await;
    let waiting = server.deliveries(&channel).await;
    assert!(waiting.iter().all(|one| one["state"] == "grouping"));
    server.evaluate(&[("a", &both), ("b", &both)]).await;
    let requests = receiver.wait_for(2).await;
    for request in &requests {
        let data = &request.json()["data"];
        assert_eq!(data["alerts"].as_array().map(Vec::len), Some(2), "{data}");
    }
    let hosts: Vec<_> = requests
        .iter()
        .map(|request| request.json()["data"]["group"]["agent_id"].clone())
        .collect();
    assert!(hosts.contains(&json!("a")) && hosts.contains(&json!("b")));
    server.stop().await;
}

#[tokio::test]
async fn while_a_host_is_down_its_processes_are_not_told_of() {
    let server = server().await;
    let down = json!({"id": "down", "name": "Down", "kind": "host_down", "after": "1m"});
    server.rule(&down).await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let silence = json!({"matchers": [{"name": "rule_id", "value": "busy"}], "duration": "24h"});
    let silence = server.request(Method::POST, "/silences", &silence).await;
    let (java, mysql) = ([hot("java"), hot("redis")], [hot("mysql")]);
    server.evaluate(&[("a", &java), ("b", &mysql)]).await;
    for _ in 0..5 {
        server.evaluate(&[("b", &mysql)]).await;
    }
    assert_eq!(server.told(&channel).await, ["firing Down"]);
    // Nobody keeps them from being told but the host that is down: those of the other one are told.
    let path = format!("/silences/{}", silence["id"].as_str().expect("an id"));
    server.request(Method::DELETE, &path, &json!(null)).await;
    for _ in 0..2 {
        server.evaluate(&[("b", &mysql)]).await;
        assert_eq!(server.told(&channel).await, ["firing Down", "firing mysql"]);
    }
    // It is heard again: what still fires there is told, and what does not is not.
    let back = [hot("java"), cool("redis")];
    server.evaluate(&[("a", &back), ("b", &mysql)]).await;
    let mut told = server.told(&channel).await;
    told[2..].sort();
    assert_eq!(
        told,
        [
            "firing Down",
            "firing mysql",
            "firing java",
            "resolved Down"
        ]
    );
    server.all_delivered(&channel).await;
    server.stop().await;
}

#[tokio::test]
async fn what_was_told_before_its_host_went_down_is_not_repeated_meanwhile() {
    let server = server().await;
    let down = json!({"id": "down", "name": "Down", "kind": "host_down", "after": "1m"});
    server.rule(&down).await;
    let receiver = Receiver::start().await;
    let repeat = json!({"repeat_interval": "1m"});
    let channel = server.webhook(&receiver, &repeat).await;
    let java = [hot("java")];
    server.evaluate(&[("a", &java)]).await;
    let mut repeats = Vec::new();
    for _ in 0..14 {
        server.evaluate(&[]).await;
        repeats = server.told(&channel).await;
    }
    let of = |name: &str| repeats.iter().filter(|told| told.contains(name)).count();
    // It is down a minute after it was heard last, just when java would have been repeated, and is told of every minute since.
    assert_eq!((of("java"), of("Down")), (1, 3), "{repeats:?}");
    server.evaluate(&[("a", &[cool("java")])]).await;
    let told = server.told(&channel).await;
    let mut last = told[told.len() - 2..].to_vec();
    last.sort();
    assert_eq!(last, ["resolved Down", "resolved java"], "of both ends");
    server.stop().await;
}

#[tokio::test]
async fn what_is_silenced_is_told_when_that_ends_if_it_still_fires() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let silence = json!({"matchers": [{"name": "name", "value": "java|mysql", "is_regex": true}], "duration": "1m"});
    server.request(Method::POST, "/silences", &silence).await;
    let before = [hot("java"), hot("mysql"), hot("go")];
    let after = [hot("java"), cool("mysql"), hot("go")];
    server.evaluate(&[("a", &before)]).await;
    for _ in 0..2 {
        server.evaluate(&[("a", &after)]).await;
        assert_eq!(server.told(&channel).await, ["firing go"]);
    }
    let shown = server.json("/api/v1/alerts").await;
    assert_eq!(shown["total"], 2, "it fires all the same");
    for _ in 0..2 {
        server.evaluate(&[("a", &after)]).await;
        assert_eq!(server.told(&channel).await, ["firing go", "firing java"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_somebody_saw_is_not_repeated_until_it_fires_again() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let both = [hot("java"), hot("mysql")];
    server.evaluate(&[("a", &both)]).await;
    let list = server.json("/api/v1/alerts").await;
    let alerts = list["alerts"].as_array().expect("a list").iter();
    let mut java = alerts.filter(|alert| alert["labels"]["name"] == "java");
    let java = java.next().expect("it fires")["fingerprint"].clone();
    let path = format!("/alerts/{}/ack", java.as_str().expect("text"));
    server
        .request(Method::POST, &path, &json!({"by": "ann"}))
        .await;
    pass(&server, REPEAT_MS).await;
    server.evaluate(&[("a", &both)]).await;
    assert_eq!(server.told(&channel).await[2..], ["firing mysql 1"]);
    server
        .evaluate(&[("a", &[cool("java"), hot("mysql")])])
        .await;
    server.evaluate(&[("a", &both)]).await;
    assert_eq!(
        server.told(&channel).await[3..],
        ["resolved java", "firing java"]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_channel_that_wants_less_is_told_of_the_end_and_no_more() {
    let server = server().await;
    let receiver = Receiver::start().await;
    let channel = server.webhook(&receiver, &json!({})).await;
    let both = [hot("java"), hot("mysql")];
    server.evaluate(&[("a", &both)]).await;
    let less = json!({"name": "x", "kind": "webhook", "match": ["name=\"mysql\""]});
    server.request(Method::PUT, &channel, &less).await;
    pass(&server, REPEAT_MS).await;
    server.evaluate(&[("a", &both)]).await;
    assert_eq!(server.told(&channel).await[2..], ["firing mysql 1"]);
    server
        .evaluate(&[("a", &[cool("java"), cool("mysql")])])
        .await;
    let mut told = server.told(&channel).await.split_off(3);
    told.sort();
    assert_eq!(told, ["resolved java", "resolved mysql"]);
    server.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_costs_nothing_but_itself_and_may_come_back() {
    let server = server().await;
    let (gone, other) = (Receiver::start().await, Receiver::start().await);
    gone.otherwise(Reply::Status(410));
    let channel = server.webhook(&gone, &json!({})).await;
    let others = server.webhook(&other, &json!({"name": "y"})).await;
    server.evaluate(&[("a", &[hot("java")])]).await;
    crate::support::receiver::until("it is disabled", async || {
        server.json(&format!("/api/v1{channel}")).await["enabled"] == false
    })
    .await;
    let both = [hot("java"), hot("mysql")];
    server.evaluate(&[("a", &both)]).await;
    server
        .evaluate(&[("a", &[cool("java"), hot("mysql")])])
        .await;
    other.wait_for(3).await;
    assert_eq!(gone.requests().len(), 1);
    let given_up = server.deliveries(&channel).await;
    assert_eq!((given_up.len(), &given_up[0]["state"]), (1, &json!("dead")));
    // Enabled again, it is told of what fires.
    gone.otherwise(Reply::Status(204));
    let enabled = json!({"name": "x", "kind": "webhook"});
    server.request(Method::PUT, &channel, &enabled).await;
    server
        .evaluate(&[("a", &[cool("java"), hot("mysql")])])
        .await;
    assert_eq!(server.told(&channel).await, ["firing java", "firing mysql"]);
    gone.wait_for(2).await;
    server.all_delivered(&others).await;
    assert_eq!(other.told().len(), 3);
    server.stop().await;
}
