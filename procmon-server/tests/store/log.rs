//! Slices of time, positions that stay comparable, and what retention removes.

use std::time::Duration;

use procmon_server::clock::Clock;
use procmon_server::store::{EventQuery, Limits, Position, SLICE_MS, Store};

use crate::fixture::{Fixture, HOUR_MS, START_MS, append, append_of, times, times_of};

/// Slices that are dropped.
async fn expire(store: &Store, before_ms: i64) -> usize {
    let expired = store.expire_before(before_ms, before_ms).await;
    expired.expect("it expires").slices
}

pub(crate) async fn slices_follow_each_other_and_expire_whole(fixture: Fixture) {
    let store = fixture.open().await;
    let mut positions = Vec::new();
    for hour in 0..4 {
        let first = START_MS + hour * HOUR_MS;
        for (number, received_ms) in [(1, first), (2, first + 1000)] {
            let append = append(hour as u64 * 2 + number, received_ms);
            positions.push(store.append(append).await.expect("it stores"));
        }
    }
    assert!(positions.is_sorted());
    assert_eq!(times(&store).await.len(), 8);
    let before = fixture.parts().len();
    assert_eq!(expire(&store, START_MS + 2 * HOUR_MS).await, 2);
    assert_eq!(fixture.parts().len(), before - 2);
    assert_eq!(times(&store).await.len(), 4);
    assert!(!store.reaches(positions[0]) && !store.reaches(Position::START));
    assert!(store.reaches(positions[4]));
    // The last one stays, so that its number is never given again.
    assert_eq!(expire(&store, i64::MAX).await, 1);
    let after = store
        .append(append(9, START_MS + 100 * HOUR_MS))
        .await
        .expect("it stores");
    assert!(after > positions[7]);
}

pub(crate) async fn a_clock_that_goes_back_does_not_reorder(fixture: Fixture) {
    let store = fixture.open().await;
    let year_ms = 365 * 24 * HOUR_MS;
    let arrived = [START_MS + year_ms, START_MS, START_MS - year_ms];
    let mut last = Position::START;
    for (seq, received_ms) in (1..).zip(arrived) {
        let position = store
            .append(append(seq, received_ms))
            .await
            .expect("it stores");
        assert!(position > last);
        last = position;
    }
    let mut newest_first = arrived.to_vec();
    newest_first.reverse();
    assert_eq!(times(&store).await, newest_first);
}

pub(crate) async fn a_batch_is_stored_once_and_its_number_is_remembered(fixture: Fixture) {
    let store = fixture.open().await;
    let first = store.append(append(1, START_MS)).await.expect("it stores");
    let again = store
        .append(append(1, START_MS))
        .await
        .expect("it is there");
    assert_eq!(first, again);
    store
        .append(append(2, START_MS + HOUR_MS))
        .await
        .expect("it stores");
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(2));
    assert_eq!(store.watermark("a", 2).await.expect("it reads"), None);
    assert_eq!(store.watermark("b", 1).await.expect("it reads"), None);
    // The span began in the slice before.
    let span = store
        .last_span("a")
        .await
        .expect("it reads")
        .expect("it is known");
    assert_eq!((span.epoch, span.seq, span.batches.len()), (1, 2, 2));
    drop(store);
    let store = fixture.open().await;
    assert_eq!(store.watermark("a", 1).await.expect("it reads"), Some(2));
    assert_eq!(times(&store).await.len(), 2);
}

pub(crate) async fn reading_forward_and_backward_agree(fixture: Fixture) {
    let store = fixture.open().await;
    for seq in 1..=9 {
        let received_ms = START_MS + seq as i64 * HOUR_MS / 3;
        store
            .append(append(seq, received_ms))
            .await
            .expect("it stores");
    }
    let mut forward = Vec::new();
    let mut after = Position::START;
    loop {
        let batches = store
            .events_after(&EventQuery::default(), after, 2)
            .await
            .expect("it reads");
        let Some(last) = batches.last() else { break };
        after = Position::after_batch(last.slice, last.batch);
        let events = batches.iter().flat_map(|stored| &stored.events);
        forward.extend(events.map(|event| event.ts_ns / 1_000_000));
    }
    forward.reverse();
    assert_eq!(forward, times(&store).await);
    assert_eq!(forward.len(), 9);
}

pub(crate) async fn queries_find_what_they_name(fixture: Fixture) {
    let store = fixture.open().await;
    for (number, agent_id) in (1..).zip(["a", "b", "a", "b", "a"]) {
        let append = append_of(agent_id, number, START_MS + number as i64 * 1000);
        store.append(append).await.expect("it stores");
    }
    let of_a = EventQuery {
        agent_id: Some("a".to_owned()),
        ..EventQuery::default()
    };
    let at = |second: i64| START_MS + second * 1000;
    assert_eq!(times_of(&store, &of_a).await, [at(5), at(3), at(1)]);
    let between = EventQuery {
        since_ms: Some(at(2)),
        until_ms: Some(at(4)),
        ..EventQuery::default()
    };
    assert_eq!(times_of(&store, &between).await, [at(4), at(3), at(2)]);
    let forks = append(1, START_MS).event_kinds;
    for (kinds, expected) in [(forks, 5), (!forks, 0)] {
        let query = EventQuery {
            kinds,
            ..EventQuery::default()
        };
        assert_eq!(times_of(&store, &query).await.len(), expected);
    }
}

pub(crate) async fn a_span_is_found_over_several_slices(fixture: Fixture) {
    let store = fixture.open().await;
    for seq in 1..=4 {
        let received_ms = START_MS + seq as i64 * SLICE_MS;
        for agent_id in ["a", "b"] {
            // One of them is silent for a while.
            if agent_id == "b" || seq != 4 {
                let append = append_of(agent_id, seq, received_ms);
                store.append(append).await.expect("it stores");
            }
        }
    }
    for (agent_id, batches) in [("a", 3), ("b", 4)] {
        let span = store.last_span(agent_id).await.expect("it reads");
        assert_eq!(span.expect("it is known").batches.len(), batches);
    }
    // A number is missing: the span cannot be followed from its beginning.
    let later = append_of("b", 9, START_MS + 5 * SLICE_MS);
    store.append(later).await.expect("it stores");
    let span = store.last_span("b").await.expect("it reads");
    assert_eq!(span.expect("it is known").batches.len(), 0);
}

pub(crate) async fn what_is_beyond_the_retention_is_not_shown(fixture: Fixture) {
    let clock = Clock::manual(START_MS);
    let limits = Limits {
        samples: Some(Duration::from_secs(60)),
        events: Some(Duration::from_secs(120)),
        ..Limits::default()
    };
    let store = fixture.open_within(clock.clone(), limits).await;
    for seq in 1..=5 {
        let append = append(seq, clock.now_ms());
        store.append(append).await.expect("it stores");
        clock.advance_ms(60_000);
    }
    let at = |minute: i64| START_MS + minute * 60_000;
    assert_eq!(times(&store).await, [at(4), at(3)]);
    assert_eq!(store.samples_since_ms(), at(4));
    // Slices are shorter where little is kept, so that most of it really goes.
    let expired = store.expire().await.expect("it expires");
    assert_eq!(expired.slices, 3);
    assert_eq!(fixture.parts().len(), 2);
}
