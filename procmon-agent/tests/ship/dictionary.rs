//! The dictionary of batches, and servers that do not have it.

use std::sync::Arc;

use procmon_common::wire;

use crate::agent::Agent;
use crate::server::Server;
use crate::url;

/// What a server of this version says to have.
fn ours() -> String {
    let ids: Vec<_> = wire::known_dictionaries()
        .map(|id| id.to_string())
        .collect();
    ids.join(",")
}

async fn ship(server: &Server, more: impl FnOnce(&Server)) -> Vec<bool> {
    let folder = tempfile::tempdir().expect("folder");
    let mut agent = Agent::start(folder.path(), url(server.start(0).await));
    agent.append(1..=3);
    agent.settled().await;
    more(server);
    agent.append(4..=6);
    agent.settled().await;
    let state = Arc::clone(&agent.state);
    agent.stop().await;
    assert_eq!(server.stored(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(state.quarantined(), 0);
    let script = server.script();
    script.with_dictionary.clone()
}

#[tokio::test]
async fn a_server_that_says_nothing_gets_no_dictionary() {
    let server = Server::default();
    assert_eq!(ship(&server, |_| {}).await, [false; 6]);
    assert_eq!(server.script().requests, 6);
}

#[tokio::test]
async fn a_server_that_has_it_gets_it_from_the_second_batch_on() {
    let server = Server::default();
    server.script().dictionaries = Some(format!("7, {}", ours()).replace(' ', ""));
    let seen = ship(&server, |_| {}).await;
    assert_eq!(seen, [false, true, true, true, true, true]);
    assert_eq!(server.script().requests, 6);
}

#[tokio::test]
async fn a_server_that_was_replaced_by_an_older_one_costs_one_request() {
    let server = Server::default();
    server.script().dictionaries = Some(ours());
    let seen = ship(&server, |server| server.script().dictionaries = None).await;
    assert_eq!(seen, [false, true, true, false, false, false]);
    assert_eq!(server.script().requests, 7);
}

#[tokio::test]
async fn a_server_with_other_dictionaries_says_so_and_is_sent_none() {
    let server = Server::default();
    server.script().dictionaries = Some(ours());
    let seen = ship(&server, |server| {
        server.script().dictionaries = Some("7".to_owned());
    })
    .await;
    assert_eq!(seen, [false, true, true, false, false, false]);
    assert_eq!(server.script().requests, 7);
}
