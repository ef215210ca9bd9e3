//! Events before and after compaction: the same ones, in the same order, under the same cursors.

use std::sync::Arc;

use procmon_server::batch::KindSet;
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::{EventQuery, OPEN_SLICES, Position, SLICE_MS, Store};

use crate::fixture::{Fixture, START_MS, append_of};

const AGENTS: [&str; 3] = ["a", "b", "c"];
const SLICES: u32 = OPEN_SLICES + 8;
const BATCHES: u64 = 5;

type Seen = (u32, i64, String, i64);

/// Slice, row, agent and time of every event, oldest first.
async fn forward(store: &Store, query: &EventQuery, from: Position) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut after = from;
    loop {
        let page = store.events_after(query, after, 7).await;
        let page = page.expect("it reads");
        let Some(last) = page.last() else { return seen };
        after = Position::after_batch(last.slice, last.batch);
        seen.extend(page.iter().flat_map(|stored| {
            let of_batch = (stored.slice, stored.batch, stored.agent_id.to_string());
            let events = stored.events.iter();
            events.map(move |event| {
                let (slice, batch, agent_id) = of_batch.clone();
                (slice, batch, agent_id, event.ts_ns)
            })
        }));
    }
}

async fn backward(store: &Store, query: &EventQuery, from: Position) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut before = from;
    loop {
        let page = store.events_before(query, before, 7).await;
        let (page, next) = page.expect("it reads");
        for stored in page {
            let agent_id = stored.agent_id.to_string();
            let events = stored.events.iter();
            seen.extend(
                events.map(|event| (stored.slice, stored.batch, agent_id.clone(), event.ts_ns)),
            );
        }
        match next {
            Some(next) => before = next,
            None => return seen,
        }
    }
}

async fn fill(store: &Store) {
    let mut seq = 0;
    for slice in 0..SLICES {
        for number in 0..BATCHES {
            seq += 1;
            for agent_id in AGENTS {
                let received_ms = START_MS + i64::from(slice) * SLICE_MS + number as i64 * 1000;
                let append = append_of(agent_id, seq, received_ms);
                store.append(append).await.expect("it stores");
            }
        }
    }
}

pub(crate) async fn events_are_the_same_after_compaction(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store).await;
    let newest = *store.newest().borrow();
    let forks = KindSet::of_name("fork").expect("a kind").0;
    let middle_ms = START_MS + 4 * SLICE_MS;
    let queries = [
        EventQuery::default(),
        EventQuery {
            agent_id: Some("b".to_owned()),
            kinds: forks,
            ..EventQuery::default()
        },
        EventQuery {
            since_ms: Some(middle_ms),
            until_ms: Some(middle_ms + SLICE_MS),
            ..EventQuery::default()
        },
        EventQuery {
            kinds: !forks,
            ..EventQuery::default()
        },
    ];
    let mut before = Vec::new();
    for query in &queries {
        let found = forward(&store, query, Position::START).await;
        let mut back = backward(&store, query, newest).await;
        back.reverse();
        assert_eq!(found, back);
        before.push(found);
    }
    let every = u64::from(SLICES) * BATCHES * AGENTS.len() as u64;
    assert_eq!(before[0].len() as u64, every);

    let stats = Arc::new(CompactionStats::default());
    compact_once(&store, &stats).await;
    assert_eq!(store.contents().slices, OPEN_SLICES as usize);
    assert!(!store.contents().segments.is_empty());
    for (query, before) in queries.iter().zip(&before) {
        assert_eq!(&forward(&store, query, Position::START).await, before);
        let mut back = backward(&store, query, newest).await;
        back.reverse();
        assert_eq!(&back, before);
    }
    // Whatever a client saw last, it goes on there.
    for (index, (slice, batch, ..)) in before[0].iter().enumerate() {
        let after = Position::after_batch(*slice, *batch);
        assert!(store.reaches(after));
        let rest = forward(&store, &queries[0], after).await;
        assert_eq!(rest, before[0][index + 1..]);
        let before_it = Position::before_batch(*slice, *batch);
        let mut rest = backward(&store, &queries[0], before_it).await;
        rest.reverse();
        assert_eq!(rest, before[0][..index]);
    }
    let seq = u64::from(SLICES) * BATCHES;
    for agent_id in AGENTS {
        let stored = store.watermark(agent_id, 1).await.expect("it reads");
        assert_eq!(stored, Some(seq));
    }
}
