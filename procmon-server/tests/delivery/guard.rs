//! What a channel must not reach.

use procmon_server::clock::Clock;
use procmon_server::store::MessageState::Pending;

use crate::bench::{Bench, webhook};
use crate::support::START_MS;
use crate::support::receiver::{Receiver, Reply};

/// The error of a message that is refused, to a channel with this URL.
async fn refusal(url: &str, allowed: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(START_MS);
    let channels = vec![webhook("c", url)];
    let bench = Bench::start_with(folder.path(), clock, channels, allowed).await;
    bench.round(&[("a", true)]).await;
    bench.wait_for("c", &[(Pending, 1)]).await;
    let message = bench.messages("c").await.remove(0);
    message.result.error
}

#[tokio::test]
async fn private_addresses_are_refused_by_number_and_by_name() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "0x7f000001",
        "0.0.0.0",
    ] {
        let error = refusal(&format!("http://{host}:{port}/hook"), "").await;
        assert!(error.contains("webhook_allow"), "{host}: {error}");
        // Listing another network does not help.
        let error = refusal(&format!("http://{host}:{port}/hook"), "10.0.0.0/8").await;
        assert!(error.contains("webhook_allow"), "{host}: {error}");
    }
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.otherwise(Reply::With(307, "location", second.url()));
    let error = refusal(&first.url(), "127.0.0.0/8").await;
    assert!(error.contains("redirects are not followed"), "{error}");
    assert!(!first.requests().is_empty() && second.requests().is_empty());
}

#[tokio::test]
async fn an_error_does_not_repeat_the_url() {
    let port = Receiver::nobody().await;
    let error = refusal(
        &format!("http://user:hunter2@127.0.0.1:{port}/token-7"),
        "127.0.0.1",
    )
    .await;
    assert!(error.contains("cannot connect"), "{error}");
    assert!(
        !error.contains("hunter2") && !error.contains("token-7"),
        "{error}"
    );
}

#[tokio::test]
async fn a_password_in_the_url_becomes_a_header() {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Status(500));
    let url = format!("http://user:p%40ss@{}/hook", receiver.address);
    refusal(&url, "127.0.0.0/8").await;
    let request = receiver.requests().remove(0);
    // user:p@ss
    assert_eq!(request.header("authorization"), "Basic dXNlcjpwQHNz");
    assert_eq!(request.path, "/hook");
}
