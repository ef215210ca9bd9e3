//! What would have been sent is what was.

use super::*;
use crate::support::receiver::{Receiver, until};

/// Channels, and how many alerts and messages each of them gets.
const CHANNELS: [(&str, &str, usize, usize); 5] = [
    ("all", "{}", 2, 4),
    ("first host", r#"{"match": ["agent_id=\"a\""]}"#, 1, 2),
    (
        "nothing of this",
        r#"{"match": ["alertname=\"Other\""]}"#,
        0,
        0,
    ),
    ("again", r#"{"repeat_interval": "1m"}"#, 2, 6),
    (
        "together",
        r#"{"group_by": ["alertname"], "group_wait": "20s"}"#,
        2,
        3,
    ),
];

#[tokio::test]
async fn channels_would_have_got_what_they_got() {
    let server = server().await;
    let mut receivers = Vec::new();
    for (name, more, ..) in CHANNELS {
        let receiver = Receiver::start().await;
        let mut body: Value = serde_json::from_str(more).expect("JSON");
        let fields = body.as_object_mut().expect("an object");
        fields.insert("name".to_owned(), json!(name));
        fields.insert("kind".to_owned(), json!("webhook"));
        fields.insert("url".to_owned(), json!(receiver.url()));
        let answer = send(&server, Method::POST, "/api/v1/channels", &body).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{name}");
        receivers.push(receiver);
    }
    // Nobody is told of the second host in the first 50 seconds.
    let silence = json!({
        "matchers": [{ "name": "agent_id", "value": "b" }], "duration": "50s", "created_by": "me", "comment": "work"
    });
    let answer = send(&server, Method::POST, "/api/v1/silences", &silence).await;
    assert!(answer.status().is_success());
    let busy = json!({ "id": "busy", "name": "Busy", "metric": "cpu_percent", "operator": ">", "threshold": 80 });
    rule(&server, &busy).await;
    for step in 0..10 {
        let cpu = |since: i32| {
            if (since..8).contains(&step) {
                90.0
            } else {
                1.0
            }
        };
        let (a, b) = ([sample(7, "java", cpu(1))], [sample(7, "java", cpu(2))]);
        server.clock.advance_ms(EVALUATION_MS - 100);
        // What the group waited for is sent before there is more to tell.
        if let Some((_, sent)) = [(3, 1), (8, 2)].iter().find(|(at, _)| *at == step) {
            receivers[4].wait_for(*sent).await;
        }
        upload(&server, "a", &a).await;
        upload(&server, "b", &b).await;
        server.clock.advance_ms(100);
        until_evaluated(&server).await;
    }
    // The last group waits.
    server.clock.advance_ms(14_000);
    for ((name, .., messages), receiver) in CHANNELS.iter().zip(&receivers) {
        until(name, async || receiver.requests().len() >= *messages).await;
    }
    let past = preview(&server, &busy).await["backtest"].clone();
    assert_eq!((&past["fired"], &past["messages"]), (&json!(2), &json!(4)));
    let sent = past["sent"].as_array().expect("a list");
    assert_eq!(sent.len(), CHANNELS.len());
    for ((name, _, alerts, messages), receiver) in CHANNELS.iter().zip(&receivers) {
        let of_it = sent.iter().find(|sent| sent["name"] == *name);
        let of_it = of_it.expect("each channel is there");
        assert_eq!(receiver.requests().len(), *messages, "{name}");
        assert_eq!(of_it["messages"], *messages, "{name}");
        assert_eq!(of_it["alerts"], *alerts, "{name}");
    }
    server.stop().await;
}
