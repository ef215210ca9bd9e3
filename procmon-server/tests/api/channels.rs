use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::receiver::{Receiver, Reply, until};
use crate::support::{FakeAgent, Server, problem};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

async fn send(server: &Server, method: Method, path: &str, body: &Value) -> Response {
    let url = server.url(&format!("/api/v1{path}"));
    let request = server.http.request(method, url).json(body);
    request.send().await.expect("an answer")
}

async fn create(server: &Server, body: &Value) -> Value {
    let response = send(server, Method::POST, "/channels", body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let place = response.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned();
    let created: Value = response.json().await.expect("JSON");
    assert_eq!(server.json(&place).await, created);
    created
}

fn path_of(channel: &Value) -> String {
    format!("/channels/{}", channel["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_channel_is_made_changed_and_removed_and_keeps_its_secret_to_itself() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let body = json!({
        "name": "pager", "kind": "webhook", "url": "https://user:hunter2@hooks.example.com/x?token=hunter3", "secret": SECRET,
        "match": ["severity=critical", "host=~\"db-.*\""], "group_by": ["agent_id"], "repeat_interval": "90m",
    });
    let channel = create(&server, &body).await;
    let mut shown = channel.clone();
    shown["id"] = json!("ch_…");
    insta::assert_json_snapshot!(shown);
    let path = path_of(&channel);
    let mut changed =
        json!({"name": "pager", "kind": "webhook", "url": receiver.url(), "enabled": false});
    let response = send(&server, Method::PUT, &path, &changed).await;
    let shown: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&shown["secrets"], &shown["match"], &shown["group_by"]),
        (&json!(1), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&shown["enabled"], &shown["repeat_interval"]),
        (&json!(false), &json!("4h"))
    );
    // What is shown may be given back.
    changed["url"] = shown["url"].clone();
    changed["secret"] = json!([SECRET, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    changed["enabled"] = json!(true);
    let response = send(&server, Method::PUT, &path, &changed).await;
    assert_eq!(response.json::<Value>().await.expect("JSON")["secrets"], 2);
    let list = server
        .get("/api/v1/channels")
        .await
        .text()
        .await
        .expect("a body");
    assert!(
        !list.contains("whsec_") && !list.contains("hunter"),
        "{list}"
    );
    let gone = send(&server, Method::DELETE, &path, &json!({})).await;
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        server.problem(&format!("/api/v1{path}")).await["status"],
        404
    );
    assert_eq!(
        server.json("/api/v1/channels").await,
        json!({"channels": []})
    );
    server.stop().await;
}

#[tokio::test]
async fn a_test_proves_a_channel_and_says_why_not() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let channel = create(
        &server,
        &json!({"name": "x", "kind": "webhook", "url": receiver.url(), "secret": SECRET}),
    )
    .await;
    let path = path_of(&channel);
    let test = async || {
        let response = send(&server, Method::POST, &format!("{path}/test"), &json!({})).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json::<Value>().await.expect("JSON")
    };
    let good = test().await;
    assert_eq!(
        (&good["delivered"], &good["status"], &good["error"]),
        (&json!(true), &json!(204), &Value::Null)
    );
    let request = receiver.requests().remove(0);
    assert_eq!(request.id(), good["message_id"]);
    assert!(request.header("webhook-signature").starts_with("v1,"));
    assert_eq!(request.json()["type"], "channel.test");
    receiver.otherwise(Reply::Status(500));
    let bad = test().await;
    assert_eq!(
        (&bad["delivered"], &bad["status"]),
        (&json!(false), &json!(500))
    );
    assert_eq!(bad["response"], "as the test says");
    assert_eq!(receiver.requests().len(), 2, "once");
    for kind in ["slack", "alertmanager"] {
        receiver.otherwise(Reply::Status(200));
        let channel = create(
            &server,
            &json!({"name": kind, "kind": kind, "url": receiver.url()}),
        )
        .await;
        let response = send(
            &server,
            Method::POST,
            &format!("{}/test", path_of(&channel)),
            &json!({}),
        )
        .await;
        assert_eq!(
            response.json::<Value>().await.expect("JSON")["delivered"],
            true,
            "{kind}"
        );
    }
    let request = receiver.requests();
    assert!(request[2].json()["text"].is_string());
    assert_eq!(request[3].path, "/hook/api/v2/alerts");
    let list = server.json(&format!("/api/v1{path}/deliveries")).await;
    let states: Vec<_> = list["deliveries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["state"].clone())
        .collect();
    assert_eq!(states, ["dead", "delivered"]);
    server.stop().await;
}

#[tokio::test]
async fn deliveries_are_listed_shown_and_replayed() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.next([Reply::Status(500)]);
    let body =
        json!({"name": "x", "kind": "webhook", "url": receiver.url(), "filter": "type == 'exec'"});
    let path = path_of(&create(&server, &body).await);
    let mut agent = FakeAgent::new("a");
    server
        .send(&agent.life(100, crate::support::exited(0)))
        .await;
    receiver.wait_for(1).await;
    let list = format!("/api/v1{path}/deliveries");
    until("it is marked", async || {
        server.json(&list).await["deliveries"][0]["attempts"] == 1
    })
    .await;
    let delivery = server.json(&list).await["deliveries"][0].clone();
    assert_eq!(
        (&delivery["state"], &delivery["status"]),
        (&json!("pending"), &json!(500))
    );
    assert_eq!(
        (&delivery["type"], &delivery["response"]),
        (&json!("process.exec"), &json!("as the test says"))
    );
    let id = delivery["message_id"].as_str().expect("an id");
    let replay = format!("{path}/deliveries/{id}/replay");
    let early = send(&server, Method::POST, &replay, &json!({})).await;
    assert_eq!(problem(early).await["status"], 409, "it waits already");
    server.clock.advance_ms(6_000);
    until("it is delivered", async || {
        server.json(&list).await["deliveries"][0]["state"] == "delivered"
    })
    .await;
    let replayed = send(&server, Method::POST, &replay, &json!({})).await;
    assert_eq!(replayed.status(), StatusCode::ACCEPTED);
    receiver.wait_for(3).await;
    assert!(receiver.ids().iter().all(|other| other == id));
    let one = format!("{list}/{id}");
    until("it is marked", async || {
        server.json(&one).await["attempts"] == 3
    })
    .await;
    let detail = server.json(&one).await;
    let statuses: Vec<_> = detail["attempt_list"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["status"].clone())
        .collect();
    assert_eq!(statuses, [500, 204, 204]);
    assert_eq!(detail["body"]["data"]["events"][0]["pid"], 100);
    send(&server, Method::POST, &format!("{path}/test"), &json!({})).await;
    let page = server.json(&format!("{list}?limit=1")).await;
    let cursor = page["next_cursor"].as_str().expect("more");
    let next = server
        .json(&format!("{list}?limit=1&cursor={cursor}&state=delivered"))
        .await;
    assert_eq!(
        (&next["deliveries"][0]["message_id"], &next["next_cursor"]),
        (&json!(id), &Value::Null)
    );
    for wrong in ["state=lost", "cursor=x", "limit=0", "x=1"] {
        assert_eq!(
            server.problem(&format!("{list}?{wrong}")).await["status"],
            400,
            "{wrong}"
        );
    }
    assert_eq!(
        server.problem(&format!("{list}/nothing")).await["status"],
        404
    );
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_channel_says_why() {
    let server = Server::start().await;
    let good = json!({"name": "x", "kind": "webhook", "url": "https://example.com/"});
    create(&server, &good).await;
    let refused = async |change: Value| {
        let mut body = good.clone();
        body["name"] = json!("y");
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let response = send(&server, Method::POST, "/channels", &body).await;
        let problem = problem(response).await;
        (
            problem["status"].as_u64().expect("a status"),
            problem["detail"].as_str().expect("text").to_owned(),
        )
    };
    for (change, status, wanted) in [
        (json!({"name": "x"}), 409, "PUT"),
        (json!({"name": " "}), 422, "name"),
        (json!({"kind": "pigeon"}), 422, "alertmanager"),
        (json!({"nmae": "z"}), 422, "nmae"),
        (json!({"url": null}), 422, "url is missing"),
        (
            json!({"url": "http://***@127.0.0.1:9/m?***"}),
            422,
            "stands for what is not shown",
        ),
        (
            json!({"secret": 5}),
            422,
            "secret must be a text, or a list",
        ),
        (json!({"url": "ftp://example.com/"}), 422, "https://"),
        (json!({"url": "http://10.0.0.1/"}), 422, "webhook_allow"),
        (json!({"url": "http://[::1]:80/"}), 422, "webhook_allow"),
        (json!({"secret": "hunter2"}), 422, "openssl"),
        (json!({"secret": SECRET, "kind": "slack"}), 422, "webhook"),
        (json!({"match": ["severity"]}), 422, "match[0]"),
        (json!({"match": ["a=b", "host=~\"(\""]}), 422, "match[1]"),
        (json!({"filter": "tpye == 'exec'"}), 422, "column 1"),
        (json!({"filter": "true", "kind": "slack"}), 422, "events"),
        (json!({"group_by": ["a-b"]}), 422, "group_by"),
        (json!({"group_wait": "2h"}), 422, "group_wait"),
        (json!({"repeat_interval": "soon"}), 422, "30s or 4h"),
    ] {
        let (found, detail) = refused(change.clone()).await;
        assert_eq!(found, status, "{change}: {detail}");
        assert!(detail.contains(wanted), "{change}: {detail}");
        assert!(!detail.contains("hunter2"), "{detail}");
    }
    let form = server
        .http
        .post(server.url("/api/v1/channels"))
        .body("{}")
        .send()
        .await;
    assert_eq!(
        problem(form.expect("an answer")).await["status"],
        415,
        "no page of others can send it"
    );
    server.stop().await;
}
