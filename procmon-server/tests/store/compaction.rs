//! Compaction from the outside: what could be read before can be read after, at the same places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use procmon_common::columns::{COLUMNS, Column};
use procmon_common::ids::{BootId, ProcessId};
use procmon_server::batch::{
    Batch, ColumnChanges, Event, EventKind, Exit, Frame, Image, Life, Totals,
};
use procmon_server::compaction::{CompactionStats, compact_once};
use procmon_server::store::history::{HostSamples, LifeFilter, SampleQuery};
use procmon_server::store::{Append, EventQuery, Position, SLICE_MS, Store, StoredEvents};

use crate::fixture::{Fixture, START_MS, append_batch};

const AGENTS: [&str; 2] = ["a", "b"];
const BATCHES_PER_SLICE: i64 = 12;

/// An agent that samples, starts and ends processes; one of its lives is there all the time.
struct Agent {
    id: Arc<str>,
    seq: u64,
    next: u32,
    running: BTreeMap<u32, Arc<Life>>,
}

fn life(pid: u32, image: u32) -> Arc<Life> {
    Arc::new(Life {
        id: Some(ProcessId::booted(pid, u64::from(pid), BootId([3; 16]))),
        started_ns: Some(i64::from(pid) * 10_000_000),
        image: Some(Arc::new(Image {
            seq: image,
            name: b"job".as_slice().into(),
            args: format!("job\0{pid}\0{image}\0").into_bytes().into(),
            ..Image::default()
        })),
        ..Life::default()
    })
}

impl Agent {
    fn batch(&mut self, at_ms: i64) -> Append {
        self.seq += 1;
        let ts_ns = at_ms * 1_000_000;
        let mut batch = Batch {
            key: self.seq % 17 == 1,
            ..Batch::default()
        };
        let event = |life: &Arc<Life>, kind| Event {
            ts_ns,
            life: Some(Arc::clone(life)),
            sampled: false,
            kind,
        };
        self.next += 1;
        let started = life(self.next, 0);
        self.running.insert(self.next, Arc::clone(&started));
        batch.lives.push((self.next, Arc::clone(&started)));
        batch.events.push(event(&started, EventKind::Exec));
        if let Some(oldest) = self.next.checked_sub(7).filter(|handle| *handle > 1)
            && let Some(ended) = self.running.remove(&oldest)
        {
            let exit = Exit {
                code: Some(oldest % 3),
                cpu_time_ns: Some(u64::from(oldest) * 1234),
                ..Exit::default()
            };
            batch
                .events
                .push(event(&ended, EventKind::Exit(Box::new(exit))));
            batch.ended.push(oldest);
        }
        let mut changes = vec![(1, 5), (self.next, i64::from(self.next) + 1)];
        let listening = |handle: u32| (handle, vec![80, handle as u16]);
        let mut ports = vec![listening(self.next)];
        if batch.key {
            let all = self.running.iter();
            batch.lives = all
                .clone()
                .map(|(handle, life)| (*handle, Arc::clone(life)))
                .collect();
            batch.ended.clear();
            ports = all.clone().map(|(handle, _)| listening(*handle)).collect();
            changes = all
                .map(|(handle, _)| (*handle, i64::from(*handle) + 1))
                .collect();
        }
        batch.frame = Some(Frame {
            ts_ns,
            columns: vec![ColumnChanges {
                column: Column::RssKib,
                changes,
            }],
            ports,
            ..Frame::default()
        });
        batch.totals = Some(Totals::default());
        self.append(&batch, at_ms)
    }

    /// Whoever ends next executes something else after its last sample.
    fn late_exec(&mut self, at_ms: i64) -> Option<Append> {
        let oldest = (self.next + 1).checked_sub(7)?;
        let is_key = self.seq.is_multiple_of(17);
        let running = self.running.get_mut(&oldest).filter(|_| !is_key)?;
        self.seq += 1;
        *running = life(oldest, 1);
        let exec = Event {
            ts_ns: at_ms * 1_000_000,
            life: Some(Arc::clone(running)),
            sampled: false,
            kind: EventKind::Exec,
        };
        let batch = Batch {
            lives: vec![(oldest, Arc::clone(running))],
            events: vec![exec],
            ..Batch::default()
        };
        Some(self.append(&batch, at_ms))
    }

    fn append(&self, batch: &Batch, at_ms: i64) -> Append {
        append_batch(&self.id, self.seq, at_ms + 20, batch)
    }
}

async fn fill(store: &Store, slices: i64) {
    let mut agents = AGENTS.map(|id| Agent {
        id: id.into(),
        seq: 0,
        next: 0,
        running: BTreeMap::new(),
    });
    for slice in 0..slices {
        for number in 0..BATCHES_PER_SLICE {
            let at_ms = START_MS + slice * SLICE_MS + number * SLICE_MS / BATCHES_PER_SLICE;
            for agent in &mut agents {
                for append in agent
                    .late_exec(at_ms - 1)
                    .into_iter()
                    .chain([agent.batch(at_ms)])
                {
                    store.append(append).await.expect("it stores");
                }
            }
        }
    }
}

async fn samples(store: &Store, lives: LifeFilter, range: (i64, i64)) -> HostSamples {
    let query = SampleQuery {
        agent_id: "a".into(),
        from_ms: range.0,
        to_ms: range.1,
        clock_offset_ms: 0,
        lives,
        columns: COLUMNS.to_vec(),
        ports: true,
        short_lived: true,
        reaching: Vec::new(),
    };
    let mut samples = store.samples(&query).await.expect("it reads");
    samples.lives.sort_by_key(|life| life.life.id);
    for life in &mut samples.lives {
        // Nothing is known of ports: that is said by nothing, or by an empty list.
        let mut held: Arc<[u16]> = Arc::from([]);
        life.ports
            .retain(|(_, ports)| std::mem::replace(&mut held, Arc::clone(ports)) != *ports);
    }
    samples
}

type Found = (u32, i64, Arc<str>, i64, Vec<Event>);

fn plain(batches: Vec<StoredEvents>) -> Vec<Found> {
    let parts = |stored: StoredEvents| {
        (
            stored.slice,
            stored.batch,
            stored.agent_id,
            stored.received_ms,
            stored.events,
        )
    };
    batches.into_iter().map(parts).collect()
}

async fn forward(store: &Store, query: &EventQuery, mut after: Position) -> Vec<Found> {
    let mut all = Vec::new();
    loop {
        let page = store.events_after(query, after, 7).await.expect("it reads");
        let Some(last) = page.last() else { return all };
        after = Position::after_batch(last.slice, last.batch);
        all.extend(plain(page));
    }
}

async fn backward(store: &Store, query: &EventQuery, mut before: Position) -> Vec<Found> {
    let mut all = Vec::new();
    loop {
        let page = store.events_before(query, before, 7).await;
        let (page, next) = page.expect("it reads");
        all.extend(plain(page));
        match next {
            Some(next) => before = next,
            None => return all,
        }
    }
}

/// Everything that can be asked, as text.
async fn everything(store: &Store) -> Vec<String> {
    let mut all = Vec::new();
    let end = START_MS + 20 * SLICE_MS;
    let pid = LifeFilter::Pid(9);
    for range in [
        (i64::MIN, i64::MAX),
        (START_MS, START_MS + SLICE_MS / 2),
        (START_MS + SLICE_MS / 3, START_MS + 7 * SLICE_MS + 1),
        (START_MS + 9 * SLICE_MS, end),
    ] {
        for lives in [LifeFilter::All, pid] {
            let samples = samples(store, lives, range).await;
            assert!(!samples.sample_ms.is_empty());
            all.push(format!("{range:?} {lives:?} {samples:?}"));
        }
    }
    let exits = EventQuery {
        kinds: 4,
        ..EventQuery::default()
    };
    let of_one = EventQuery {
        agent_id: Some("b".to_owned()),
        since_ms: Some(START_MS + SLICE_MS),
        until_ms: Some(START_MS + 5 * SLICE_MS),
        ..EventQuery::default()
    };
    for query in [EventQuery::default(), exits, of_one] {
        let found = forward(store, &query, Position::START).await;
        let middle = Position::before_batch(found[found.len() / 2].0, found[found.len() / 2].1);
        all.push(format!("{found:?}"));
        all.push(format!("{:?}", forward(store, &query, middle).await));
        all.push(format!("{:?}", backward(store, &query, middle).await));
        let newest = *store.newest().borrow();
        let mut reversed = backward(store, &query, newest).await;
        reversed.reverse();
        assert_eq!(reversed, found);
    }
    all
}

fn assert_same(before: &[String], after: &[String]) {
    for (before, after) in before.iter().zip(after) {
        let same = before.bytes().zip(after.bytes());
        let at = same.take_while(|(left, right)| left == right).count();
        let near = |text: &str| {
            text.chars()
                .skip(at.saturating_sub(200))
                .take(400)
                .collect::<String>()
        };
        assert!(
            before == after,
            "before: {}\nafter: {}",
            near(before),
            near(after)
        );
    }
}

pub(crate) async fn what_is_compacted_says_the_same(fixture: Fixture) {
    let store = fixture.open().await;
    fill(&store, 10).await;
    let before = everything(&store).await;
    let stats = Arc::new(CompactionStats::default());
    compact_once(&store, &stats).await;
    assert_eq!(store.closed_slices(), Vec::<u32>::new());
    let levels = store.contents().segments;
    assert_eq!(
        levels,
        [(1, 1), (2, 1)],
        "six slices are one hour, the seventh waits"
    );
    assert_eq!(stats.failures.load(Ordering::Relaxed), 0);
    assert_eq!(stats.segments[0].load(Ordering::Relaxed), 14);
    assert_eq!(stats.segments[1].load(Ordering::Relaxed), 2);
    let after = everything(&store).await;
    assert_same(&before, &after);
    // Nothing is left to do, and nothing is done again.
    compact_once(&store, &stats).await;
    assert_eq!(stats.segments[0].load(Ordering::Relaxed), 14);
}

pub(crate) async fn an_unreadable_batch_is_left_out_and_told(fixture: Fixture) {
    let store = fixture.open().await;
    let mut agent = Agent {
        id: "a".into(),
        seq: 0,
        next: 0,
        running: BTreeMap::new(),
    };
    let mut count = 0;
    for slice in 0..5 {
        for number in 0..BATCHES_PER_SLICE {
            let at_ms = START_MS + slice * SLICE_MS + number * 1000;
            let mut append = agent.batch(at_ms);
            if slice == 0 && number == 3 {
                append.body.truncate(9);
            } else {
                count += append.event_count;
            }
            store.append(append).await.expect("it stores");
        }
    }
    let stats = Arc::new(CompactionStats::default());
    compact_once(&store, &stats).await;
    assert_eq!(store.closed_slices(), Vec::<u32>::new());
    assert_eq!(stats.unreadable_batches.load(Ordering::Relaxed), 1);
    let found = forward(&store, &EventQuery::default(), Position::START).await;
    let events: usize = found.iter().map(|found| found.4.len()).sum();
    assert_eq!(events, count as usize);
    // After the hole nothing is known until the next key batch.
    let samples = samples(&store, LifeFilter::All, (i64::MIN, START_MS + SLICE_MS - 1)).await;
    assert_eq!(samples.sample_ms.len(), 3);
}
