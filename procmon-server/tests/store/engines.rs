//! What an operator may get wrong, and one server at a time.

use procmon_common::config::Secret;
use procmon_server::clock::Clock;
use procmon_server::store::{Place, Store};

use crate::fixture::{Fixture, START_MS, append};
use crate::postgres::{Cluster, name_of};

async fn refusal(place: Place) -> String {
    match Store::open(place, Clock::System).await {
        Ok(_) => panic!("it opened"),
        Err(error) => format!("{error:#}"),
    }
}

pub(crate) async fn one_server_at_a_time(fixture: Fixture) {
    let first = fixture.open().await;
    let refused = refusal(fixture.place()).await;
    assert!(
        refused.contains("in use by another procmon-server"),
        "{refused}"
    );
    first.append(append(1, START_MS)).await.expect("it stores");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_says_what_to_do() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let name = name_of(&dsn);
    cluster.sql(name, "create role guest login");
    let refused = async |dsn: String| refusal(Place::Database(Secret::new(dsn))).await;
    let address = format!("127.0.0.1:{}", cluster.port);
    for (dsn, wanted) in [
        ("host=db user=me".to_owned(), "must begin with postgres://"),
        (format!("postgres://procmon@{address}/nowhere"), "createdb"),
        (format!("postgres://guest@{address}/{name}"), "owner"),
        (
            "postgres://me:secret@127.0.0.1:1/procmon".to_owned(),
            "is it running",
        ),
        (
            format!("{dsn}?options=-c%20search_path%3Dnone"),
            "search_path",
        ),
    ] {
        let message = refused(dsn.clone()).await;
        assert!(message.contains(wanted), "{dsn}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
