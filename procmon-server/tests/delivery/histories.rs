//! Histories made up at random: alerts come and go, the receiver fails in many ways, the server is killed. In the end every
//! transition has been told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use procmon_common::config::Secret;
use procmon_server::clock::Clock;
use procmon_server::store::MessageState::{Dead, Delivered};
use procmon_server::store::Place;

use crate::bench::{Bench, webhook};
use crate::support::START_MS;
use crate::support::postgres::Cluster;
use crate::support::random::Random;
use crate::support::receiver::{Receiver, Reply, until};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: usize = 40;

fn reply(random: &mut Random) -> Reply {
    match random.below(6) {
        0 => Reply::Status(500),
        1 => Reply::Status(404),
        2 => Reply::With(503, "retry-after", "30".to_owned()),
        3 => Reply::Silence,
        _ => Reply::Status(200),
    }
}

/// Alerts that fire, since when, in a history that is told round by round.
#[derive(Default)]
struct History {
    firing: BTreeMap<&'static str, i64>,
    /// Name, when it began to fire, and what became of it: what has to be told.
    transitions: Vec<(String, String)>,
}

impl History {
    /// Whatever changes in one round.
    async fn round(&mut self, bench: &Bench, random: &mut Random) {
        let mut alerts = Vec::new();
        for name in NAMES {
            let before = self.firing.get(name).copied();
            let (fired_ms, fires) = match (before, random.below(3) == 0) {
                (None, false) => continue,
                (None, true) => (bench.clock.now_ms(), true),
                (Some(fired_ms), changes) => (fired_ms, !changes),
            };
            if before.is_none() || !fires {
                let kind = if fires {
                    "alert.firing"
                } else {
                    "alert.resolved"
                };
                self.transitions
                    .push((format!("{name} {fired_ms}"), kind.to_owned()));
            }
            alerts.push((name, fired_ms, fires));
            if fires {
                self.firing.insert(name, fired_ms);
            } else {
                self.firing.remove(name);
            }
        }
        bench.round_of(&alerts).await;
    }
}

async fn tells_everything(seed: u64, folder: &Path, place: impl Fn() -> Place) {
    let start = async |clock, channels| {
        Bench::start_at(place(), folder, clock, channels, "127.0.0.1").await
    };
    let receiver = Receiver::start().await;
    let mut random = Random(seed);
    let mut history = History::default();
    let clock = Clock::manual(START_MS);
    let channels = vec![webhook("c", &receiver.url())];
    let mut bench = start(clock.clone(), channels).await;
    for _ in 0..STEPS {
        receiver.next([reply(&mut random)]);
        history.round(&bench, &mut random).await;
        tokio::time::sleep(std::time::Duration::from_millis(random.below(20))).await;
        clock.advance_ms(1_000 + random.below(120_000) as i64);
        if random.below(5) == 0 {
            bench.kill().await;
            bench = start(clock.clone(), Vec::new()).await;
        }
    }
    // What waits for an answer that does not come ends with the server.
    bench.kill().await;
    receiver.forget_next();
    let bench = start(clock.clone(), Vec::new()).await;
    until("everything", async || {
        clock.advance_ms(3_600_000);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let messages = bench.messages("c").await;
        messages
            .iter()
            .all(|message| [Delivered, Dead].contains(&message.state))
    })
    .await;
    let mut messages = BTreeSet::new();
    for message in bench.messages("c").await {
        assert_eq!(message.state, Delivered, "seed {seed}: {message:?}");
        messages.insert(message.message_id);
    }
    let mut told = Vec::new();
    let mut told_ids = BTreeSet::new();
    for request in receiver.requests() {
        assert!(
            messages.contains(request.id()),
            "seed {seed}: nothing is invented"
        );
        if told_ids.insert(request.id().to_owned()) {
            let (kind, data) = (
                request.json()["type"].clone(),
                request.json()["data"].clone(),
            );
            let fired: jiff::Timestamp = data["fired_at"]
                .as_str()
                .expect("text")
                .parse()
                .expect("a time");
            let name = data["fingerprint"].as_str().expect("text");
            told.push((
                format!("{name} {}", fired.as_millisecond()),
                kind.as_str().expect("text").to_owned(),
            ));
        }
    }
    for name in NAMES {
        // In the order in which it happened, for each alert.
        let of = |list: &[(String, String)]| -> Vec<_> {
            let of_name = list.iter().filter(|(about, _)| about.starts_with(name));
            of_name.cloned().collect()
        };
        assert_eq!(of(&told), of(&history.transitions), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transition_is_told_in_order_whatever_fails() {
    for seed in 1..=4 {
        let folder = tempfile::tempdir().expect("a folder");
        let place = || Place::Directory(folder.path().to_owned());
        tells_everything(seed, folder.path(), place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_with_the_outbox_in_postgres() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    let place = || Place::Database(Secret::new(dsn.clone()));
    tells_everything(5, folder.path(), place).await;
}
