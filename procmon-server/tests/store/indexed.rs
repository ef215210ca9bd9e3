//! What the index of compacted events rules out is not read: counted by what was opened and decoded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use procmon_common::ids::{BootId, ProcessId};
use procmon_server::batch::{Batch, Event, EventKind, Exit, Image, KindSet, Life};
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::history::LifeFilter;
use procmon_server::store::segment::ExitBounds;
use procmon_server::store::{
    Append, EventQuery, OPEN_SLICES, Position, SLICE_MS, Store, StoredEvents,
};

use crate::fixture::{Fixture, START_MS, append_batch};

const AGENTS: [&str; 3] = ["a", "b", "c"];
/// Slices with events, which are all compacted; those after them have none.
const SLICES: i64 = 6;
const BATCHES: i64 = 4;
const LIVES: u32 = 20;
/// Of agent `b` in the third slice.
const KILLED_PID: u32 = 2_105;
const RARE_PID: u32 = 2_110;

fn process(pid: u32) -> ProcessId {
    ProcessId::booted(pid, u64::from(pid) * 10, BootId::default())
}

fn ended(agent_id: &str, pid: u32, ts_ns: i64) -> Event {
    let in_b = agent_id == "b";
    let name: &[u8] = if in_b && pid == RARE_PID {
        b"Rarely-seen"
    } else {
        b"worker"
    };
    let killed = in_b && pid == KILLED_PID;
    Event {
        ts_ns,
        life: Some(Arc::new(Life {
            id: Some(process(pid)),
            started_ns: Some(ts_ns - 1_000_000),
            image: Some(Arc::new(Image {
                seq: 0,
                name: name.into(),
                exe: name.into(),
                args: name.into(),
                args_bytes: name.len() as u64,
                args_cut: false,
            })),
            ..Life::default()
        })),
        sampled: false,
        kind: EventKind::Exit(Box::new(Exit {
            code: (!killed).then_some(pid % 3),
            signal: killed.then_some(9),
            ..Exit::default()
        })),
    }
}

fn append(agent_id: &str, seq: u64, received_ms: i64, events: Vec<Event>) -> Append {
    let batch = Batch {
        key: seq == 1,
        events,
        ..Batch::default()
    };
    append_batch(agent_id, seq, received_ms, &batch)
}

async fn fill(store: &Store) {
    let mut seq = 0;
    for slice in 0..SLICES + i64::from(OPEN_SLICES) {
        for batch in 0..BATCHES {
            seq += 1;
            for agent_id in AGENTS {
                let received_ms = START_MS + slice * SLICE_MS + batch * 1_000;
                let first = (slice * 1_000 + batch * 100) as u32;
                let pids = if slice < SLICES {
                    first..first + LIVES
                } else {
                    0..0
                };
                let events = pids.map(|pid| ended(agent_id, pid, received_ms * 1_000_000));
                let append = append(agent_id, seq, received_ms, events.collect());
                store.append(append).await.expect("it stores");
            }
        }
    }
}

async fn found(store: &Store, query: &EventQuery) -> Vec<(u32, i64, String)> {
    let show = |stored: &StoredEvents| (stored.slice, stored.batch, stored.agent_id.to_string());
    let (mut forward, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.events_after(query, after, 3).await.expect("it reads");
        let Some(last) = page.last() else { break };
        after = Position::after_batch(last.slice, last.batch);
        forward.extend(page.iter().map(show));
    }
    let (mut backward, mut before) = (Vec::new(), *store.newest().borrow());
    loop {
        let page = store.events_before(query, before, 3).await;
        let (page, next) = page.expect("it reads");
        backward.extend(page.iter().map(show));
        let Some(next) = next else { break };
        before = next;
    }
    backward.reverse();
    assert_eq!(forward, backward);
    forward
}

/// What forward and backward together opened, looked at and decoded.
fn taken(store: &Store) -> (u64, u64, u64) {
    let stats = store.stats();
    (
        stats.event_segments_opened.swap(0, Ordering::Relaxed),
        stats.event_blocks_scanned.swap(0, Ordering::Relaxed),
        stats.event_blocks_decoded.swap(0, Ordering::Relaxed),
    )
}

pub(crate) async fn what_the_index_rules_out_is_not_decoded(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store).await;
    let exits = |exits| EventQuery {
        exits,
        ..EventQuery::default()
    };
    let signal = exits(ExitBounds {
        signal: Some(9),
        ..ExitBounds::default()
    });
    let code = exits(ExitBounds {
        code: Some(77),
        ..ExitBounds::default()
    });
    let long = exits(ExitBounds {
        min_lived_ms: Some(60_000),
        ..ExitBounds::default()
    });
    let name = EventQuery {
        name_part: Some("RARELY".to_owned()),
        ..EventQuery::default()
    };
    let life = EventQuery {
        agent_id: Some("c".to_owned()),
        lives: Some(LifeFilter::Id(process(KILLED_PID))),
        ..EventQuery::default()
    };
    let kind = EventQuery {
        kinds: KindSet::of_name("oom").expect("a kind").0,
        ..EventQuery::default()
    };
    let queries = [signal, code, long, name, life, kind];
    let mut before = Vec::new();
    for query in &queries {
        before.push(found(&store, query).await);
    }
    let counts: Vec<_> = before.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 0, 0, 1, 1, 0]);
    compact_once(&store, &Arc::new(CompactionStats::default())).await;
    assert_eq!(store.contents().slices, OPEN_SLICES as usize);
    taken(&store);
    let every = found(&store, &EventQuery::default()).await.len() as u64;
    assert_eq!(every, (SLICES * BATCHES) as u64 * AGENTS.len() as u64);
    let (_, _, decoded) = taken(&store);
    assert!(decoded >= 2 * SLICES as u64, "{decoded}");
    // One of them has what is asked for; it is decoded forward and backward, and looked at again for what may come after.
    let most: [u64; 6] = [4, 0, 0, 4, 4, 0];
    for ((query, before), most) in queries.iter().zip(&before).zip(most) {
        assert_eq!(&found(&store, query).await, before, "{query:?}");
        let (opened, _, decoded) = taken(&store);
        assert!(decoded <= most, "{decoded} decoded for {query:?}");
        // The row of a segment tells that its body has none; of pids it tells nothing.
        if query.lives.is_none() {
            assert!(opened <= most, "{opened} opened for {query:?}");
        }
    }
    found(&store, &queries[5]).await;
    assert_eq!(taken(&store), (0, 0, 0), "a kind that no segment has");
}

/// Forty agents, one after the other: a page of events of all of them is found in the segments of the newest few.
pub(crate) async fn a_page_of_many_agents_opens_few_segments(fixture: Fixture) {
    const MANY: u32 = 40;
    const EACH: u64 = 20;
    let store = fixture.open().await;
    for number in 0..MANY {
        let agent_id = format!("agent-{number}");
        for seq in 1..=EACH {
            let event = ended(&agent_id, number, START_MS * 1_000_000);
            let append = append(&agent_id, seq, START_MS, vec![event]);
            store.append(append).await.expect("it stores");
        }
    }
    for slice in 1..=i64::from(OPEN_SLICES) {
        let append = append(
            "late",
            slice as u64,
            START_MS + slice * SLICE_MS,
            Vec::new(),
        );
        store.append(append).await.expect("it stores");
    }
    compact_once(&store, &Arc::new(CompactionStats::default())).await;
    assert_eq!(store.contents().slices, OPEN_SLICES as usize);
    let query = EventQuery::default();
    let newest = *store.newest().borrow();
    let page = store.events_before(&query, newest, 100).await;
    let (page, next) = page.expect("it reads");
    // A page has more than was asked for, and is in the order of the log.
    assert!(page.len() >= 100 && page.len() < (u64::from(MANY) * EACH) as usize);
    assert!(page.is_sorted_by(|left, right| left.batch > right.batch));
    assert_eq!(&*page[0].agent_id, "agent-39");
    let (opened, ..) = taken(&store);
    assert!(opened < 32, "{opened} of {MANY} segments were opened");
    store
        .events_before(&query, next.expect("there is more"), 100)
        .await
        .expect("it reads");
    let (opened, ..) = taken(&store);
    assert!(opened < 32, "{opened} of {MANY} segments were opened");
    store
        .events_after(&query, Position::START, 100)
        .await
        .expect("it reads");
    let (opened, ..) = taken(&store);
    assert!(opened < 32, "{opened} of {MANY} segments were opened");
    assert_eq!(
        found(&store, &query).await.len() as u64,
        u64::from(MANY) * EACH
    );
}
