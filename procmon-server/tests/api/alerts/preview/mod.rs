//! `POST /alert-rules/preview`. That a backtest is right is shown by what was: the same rule is evaluated live while history is made,
//! and what it says then about that time has to be what the history of alerts says.

mod happened;
mod limits;
mod processes;
mod sent;

use std::collections::BTreeMap;

use super::*;

async fn preview(server: &Server, rule: &Value) -> Value {
    preview_of(server, rule, "").await
}

/// Of the time that parameters say.
async fn preview_of(server: &Server, rule: &Value, parameters: &str) -> Value {
    let path = format!("/api/v1/alert-rules/preview?{parameters}");
    let answer = send(server, Method::POST, &path, rule).await;
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// One time that an alert fires: its labels, and when it began, fired and ended.
type Fired = (String, Value, Value, Value);

/// What a rule of the server did, as its history has it.
async fn did(server: &Server, rule_id: &str) -> Vec<Fired> {
    let path = format!("/api/v1/alerts/history?rule_id={rule_id}&limit=10000");
    let list = server.json(&path).await;
    let mut steps = list["transitions"].as_array().expect("a list").clone();
    steps.reverse();
    let mut fired: Vec<Fired> = Vec::new();
    let mut firing: BTreeMap<String, usize> = BTreeMap::new();
    for step in steps {
        let labels = step["labels"].to_string();
        if step["to"] == "firing" {
            firing.insert(labels.clone(), fired.len());
            let (began, at) = (step["active_at"].clone(), step["at"].clone());
            fired.push((labels, began, at, Value::Null));
        } else if step["to"] == "resolved" {
            let index = firing.remove(&labels).expect("it fired");
            fired[index].3 = step["at"].clone();
        }
    }
    fired.sort_by_key(|(labels, _, at, _)| (at.to_string(), labels.clone()));
    fired
}

/// What a backtest says that a rule would have done.
fn would_have_done(past: &Value) -> Vec<Fired> {
    let episodes = past["episodes"].as_array().expect("a list").iter();
    let mut fired: Vec<Fired> = episodes
        .map(|episode| {
            let times = ["active_at", "fired_at", "resolved_at"].map(|key| episode[key].clone());
            let [active, fired, resolved] = times;
            (episode["labels"].to_string(), active, fired, resolved)
        })
        .collect();
    fired.sort_by_key(|(labels, _, at, _)| (at.to_string(), labels.clone()));
    fired
}

/// Rules with how often each has fired by now: the backtest of each says what was, and says the same once what is stored is compacted.
async fn require_the_same(server: &Server, cases: &[(Value, usize)]) {
    let mut wrong = Vec::new();
    let mut answers = Vec::new();
    for (rule, times) in cases {
        let tried = preview(server, rule).await;
        let past = &tried["backtest"];
        assert!(
            past.is_object() && past["cut_off"].is_null(),
            "{rule}: {tried}"
        );
        let id = rule["id"].as_str().expect("an id");
        let was = did(server, id).await;
        let would = would_have_done(past);
        if would != was {
            wrong.push(format!("{id} would have done {would:#?} and did {was:#?}"));
        }
        if was.len() != *times {
            wrong.push(format!("{id} fired {} times, not {times}", was.len()));
        }
        answers.push((rule, past.clone()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    until_compacted(server).await;
    for (rule, before) in answers {
        let time = |key: &str| before[key].as_str().expect("a time").to_owned();
        let parameters = format!("from={}&to={}", time("from"), time("to"));
        let tried = preview_of(server, rule, &parameters).await;
        for key in ["episodes", "fired", "flapping", "only_pending"] {
            assert_eq!(tried["backtest"][key], before[key], "{key} of {rule}");
        }
    }
}

/// Until all that was stored so far is in segments: others go on, and what is before them is closed.
async fn until_compacted(server: &Server) {
    for _ in 0..3 {
        server.clock.advance_ms(700_000);
        upload(server, "later", &[sample(1, "init", 0.0)]).await;
    }
    let started = Instant::now();
    loop {
        let metrics = server.get("/metrics").await.text().await.expect("a body");
        let says = |line: &str| metrics.lines().any(|known| known == line);
        if says("procmon_store_slices_waiting 0") && says("procmon_store_slices 3") {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_rule_is_tried_before_it_is_saved() {
    let server = server().await;
    let busy = json!({
        "id": "busy", "name": "Busy", "process_name": "java", "metric": "cpu_percent", "operator": ">", "threshold": 80,
        "for": "30s"
    });
    rule(&server, &busy).await;
    // Java is busy twice for long enough and once not; go is busy all the time.
    for cpu in [9, 90, 91, 95, 90, 9, 90, 9, 90, 90, 90, 90] {
        let samples = [sample(7, "java", f64::from(cpu)), sample(8, "go", 99.0)];
        evaluate(&server, &[("a", &samples), ("b", &samples[1..])]).await;
    }
    let tried = preview(&server, &busy).await;
    assert_eq!(tried["now"]["total"], 1);
    assert_eq!(tried["now"]["matches"][0]["labels"]["name"], "java");
    let past = &tried["backtest"];
    assert_eq!(past["hosts"], 2);
    assert_eq!(past["fired"], 2, "{past}");
    assert_eq!(
        (&past["flapping"], &past["messages"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(past["episodes"][0]["value"], 95.0);
    assert!(past["episodes"][1]["resolved_at"].is_null());
    // As it was.
    let history = server.json("/api/v1/alerts/history?state=firing").await;
    let fired = history["transitions"].as_array().expect("a list");
    assert_eq!(fired.len(), 2);
    for (episode, transition) in [(0, 1), (1, 0)] {
        let (tried, was) = (&past["episodes"][episode], &fired[transition]);
        assert_eq!(tried["fired_at"], was["at"]);
        assert_eq!(tried["active_at"], was["active_at"]);
        assert_eq!(tried["labels"], was["labels"]);
    }
    let mut other = busy.clone();
    other["threshold"] = json!(98);
    other["process_name"] = json!("");
    let tried = preview(&server, &other).await;
    assert_eq!(
        (&tried["now"]["total"], &tried["backtest"]["fired"]),
        (&json!(2), &json!(2))
    );
    let answer = send(
        &server,
        Method::POST,
        "/api/v1/alert-rules/preview",
        &json!({ "name": "x" }),
    )
    .await;
    assert_eq!(problem(answer).await["status"], 422);
    assert_eq!(
        server.json("/api/v1/alert-rules").await["rules"]
            .as_array()
            .expect("a list")
            .len(),
        1
    );
    server.stop().await;
}
