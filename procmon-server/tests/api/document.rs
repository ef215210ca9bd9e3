use reqwest::StatusCode;

use crate::support::{Server, problem};

#[test]
fn the_committed_description_is_fresh() {
    let committed = include_str!("../../openapi.json");
    assert!(
        committed == procmon_server::routing::openapi_json(),
        "procmon-server/openapi.json is stale; write it anew: \
         cargo run -p procmon-server -- openapi > procmon-server/openapi.json"
    );
}

#[tokio::test]
async fn the_description_is_served_and_can_be_browsed() {
    let server = Server::start().await;
    let document = server.json("/api/v1/openapi.json").await;
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1")
    );
    assert!(document["paths"]["/api/v1/processes"].is_object());
    assert_eq!(server.get("/docs/").await.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn health_and_readiness() {
    let server = Server::start().await;
    assert_eq!(server.json("/healthz").await["status"], "ok");
    assert_eq!(server.json("/readyz").await["status"], "ok");
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem_under_api_and_the_page_elsewhere() {
    let server = Server::start().await;
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/processes"] {
        assert_eq!(server.problem(path).await["status"], 404, "{path}");
    }
    let page = server.get("/p/host/1-2-3").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(policy.contains("default-src 'self'"));
    assert_eq!(server.problem("/assets/old-1234.js").await["status"], 404);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_names_the_right_ones() {
    let server = Server::start().await;
    let delete = server.http.delete(server.url("/api/v1/processes"));
    let response = delete.send().await.expect("an answer");
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    assert_eq!(problem(response).await["status"], 405);
    let post = server.http.post(server.url("/nothing")).send().await;
    assert_eq!(problem(post.expect("an answer")).await["status"], 405);
    server.stop().await;
}
