//! Histories made up at random: alerts come and go, the receiver fails in many ways, the server is killed. In the end every
//! transition has been told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use procmon_server::clock::Clock;
use procmon_server::store::MessageState::{Dead, Delivered};

use crate::bench::{Bench, webhook};
use crate::support::START_MS;
use crate::support::receiver::{Receiver, Reply, until};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STEPS: usize = 40;

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

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

async fn tells_everything(seed: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let mut random = Random(seed);
    let mut history = History::default();
    let clock = Clock::manual(START_MS);
    let channels = vec![webhook("c", &receiver.url())];
    let mut bench = Bench::start_with(folder.path(), clock.clone(), channels, "127.0.0.1").await;
    for _ in 0..STEPS {
        receiver.next([reply(&mut random)]);
        history.round(&bench, &mut random).await;
        tokio::time::sleep(std::time::Duration::from_millis(random.below(20))).await;
        clock.advance_ms(1_000 + random.below(120_000) as i64);
        if random.below(5) == 0 {
            bench.kill().await;
            bench = Bench::start_with(folder.path(), clock.clone(), Vec::new(), "127.0.0.1").await;
        }
    }
    // What waits for an answer that does not come ends with the server.
    bench.kill().await;
    receiver.forget_next();
    let bench = Bench::start_with(folder.path(), clock.clone(), Vec::new(), "127.0.0.1").await;
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
        tells_everything(seed).await;
    }
}
