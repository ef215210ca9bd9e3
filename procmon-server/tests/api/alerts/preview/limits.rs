//! What the past cannot tell, and what is too much for one answer.

use super::*;

fn threshold(more: &Value) -> Value {
    let mut rule = json!({ "name": "x", "metric": "cpu_percent", "operator": ">", "threshold": 5 });
    let fields = more.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(fields);
    rule
}

#[tokio::test]
async fn what_no_past_is_kept_of_is_said() {
    let server = server().await;
    upload(&server, "a", &[sample(7, "java", 9.0)]).await;
    for (more, field) in [
        (json!({ "q": "stale" }), "stale"),
        (
            json!({ "q": "observed_at > timestamp('2026-01-01T00:00:00Z')" }),
            "observed_at",
        ),
    ] {
        let tried = preview(&server, &threshold(&more)).await;
        assert!(tried["backtest"].is_null(), "{tried}");
        let reason = tried["backtest_unavailable"].as_str().expect("a reason");
        assert_eq!(
            reason,
            format!("no past is kept of {field}, which the rule looks at")
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn so_many_hosts_are_looked_at_and_no_more() {
    const HOSTS: usize = 203;
    let server = server().await;
    let busy = [sample(7, "java", 9.0)];
    server.clock.advance_ms(EVALUATION_MS - 100);
    for host in 0..HOSTS {
        upload(&server, &format!("host-{host:03}"), &busy).await;
    }
    server.clock.advance_ms(100);
    until_evaluated(&server).await;
    let past = preview(&server, &threshold(&json!({}))).await["backtest"].clone();
    assert_eq!((&past["hosts"], &past["fired"]), (&json!(200), &json!(200)));
    let cut_off = past["cut_off"].as_str().expect("it says so");
    assert!(
        cut_off.contains("only the first 200 of 203 hosts"),
        "{cut_off}"
    );
    let some = threshold(&json!({ "agent_id": "host-1*" }));
    let past = preview(&server, &some).await["backtest"].clone();
    assert_eq!((&past["hosts"], &past["fired"]), (&json!(100), &json!(100)));
    assert!(past["cut_off"].is_null(), "{past}");
    // A sum of some hosts is not the sum.
    let sum = threshold(&json!({ "aggregate": { "function": "sum", "by": ["name"] } }));
    let reason = preview(&server, &sum).await["backtest_unavailable"].clone();
    let reason = reason.as_str().expect("a reason");
    assert!(reason.contains("203 hosts together"), "{reason}");
    server.stop().await;
}
