//! The server killed in the middle of compaction, again and again: what was acknowledged is there, once, wherever it lies.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procmon_common::columns::Column;
use procmon_common::config::Secret;
use procmon_common::ids::{BootId, ProcessId};
use procmon_server::batch::{
    Batch, ColumnChanges, Event, EventKind, Exit, Frame, Image, Life, Totals,
};
use procmon_server::clock::Clock;
use procmon_server::store::history::{LifeFilter, SampleQuery};
use procmon_server::store::{
    Append, EventQuery, OPEN_SLICES, Place, Position, SLICE_MS, Store, format,
};
use tokio_util::sync::CancellationToken;

use crate::support::binary::ServerProcess;
use crate::support::http_client;
use crate::support::postgres::{Cluster, name_of};

/// Kills while segments are half written. Each is waited for, so this is how many there are.
const KILLS: u64 = 6;
const AGENTS: usize = 4;
/// Two hours and more, so that hours are merged, too.
const SLICES: i64 = OPEN_SLICES as i64 + 14;
const BATCHES: i64 = 8;
const LIVES: i64 = 40;
const PATIENCE: Duration = Duration::from_mins(3);

/// Where the server keeps things, and how to see that segments are being written.
enum Kept {
    Folder(tempfile::TempDir),
    Database(Arc<Cluster>, String),
}

impl Kept {
    fn place(&self) -> Place {
        match self {
            Self::Folder(folder) => Place::Directory(folder.path().to_owned()),
            Self::Database(_, dsn) => Place::Database(Secret::new(dsn.clone())),
        }
    }

    fn start(&self) -> ServerProcess {
        match self {
            Self::Folder(folder) => ServerProcess::start(folder.path(), 0),
            Self::Database(_, dsn) => ServerProcess::start_with(&[("PROCMON_DB_DSN", dsn)], 0),
        }
    }

    fn compacts_now(&self) -> bool {
        match self {
            Self::Folder(folder) => {
                let entries = std::fs::read_dir(folder.path().join("segments"));
                let mut paths = entries
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path());
                paths.any(|path: PathBuf| path.extension().is_some_and(|it| it == "unfinished"))
            }
            Self::Database(cluster, dsn) => {
                let sql = "select count(*) from part where state = 'unfinished'";
                cluster.sql(name_of(dsn), sql) != "0"
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_there_twice_after_kill_9_in_compaction() {
    let folder = tempfile::tempdir().expect("a folder");
    survive_kills(Kept::Folder(folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_there_twice_after_kill_9_in_compaction_on_postgres() {
    let cluster = Cluster::shared();
    let dsn = cluster.database();
    survive_kills(Kept::Database(cluster, dsn)).await;
}

async fn survive_kills(kept: Kept) {
    // A log that the server finds closed, and has two hours of compaction to do for.
    let newest_ms = Clock::System.now_ms() - 60_000;
    let first_ms = newest_ms - SLICES * SLICE_MS;
    let expected = with_store(&kept, async |store| {
        fill(store, first_ms).await;
        stored(store, first_ms).await
    })
    .await;
    let every = (SLICES * BATCHES * LIVES) as usize * 2;
    for (events, samples) in &expected {
        assert_eq!(events.len(), every);
        assert_eq!(samples.len() as i64, SLICES * BATCHES);
    }
    for kill in 0..KILLS {
        let server = kept.start();
        let address = server.address.clone();
        let started = Instant::now();
        while !kept.compacts_now() {
            assert!(
                started.elapsed() < PATIENCE,
                "no compaction before kill {kill}"
            );
            assert!(!is_done(&address).await, "there was not enough to compact");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Not always at the same point of it.
        tokio::time::sleep(Duration::from_millis(17 * kill)).await;
        server.kill();
    }
    let server = kept.start();
    let started = Instant::now();
    while !is_done(&server.address).await {
        assert!(started.elapsed() < PATIENCE, "compaction is not done");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    let found = with_store(&kept, async |store| {
        let contents = store.contents();
        assert_eq!(contents.closed_slices, 0);
        assert!(
            contents.segments.iter().any(|(level, _)| *level == 2),
            "{contents:?}"
        );
        stored(store, first_ms).await
    })
    .await;
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(found.0 == expected.0, "events of agent-{index} differ");
        assert_eq!(found.1, expected.1, "samples of agent-{index}");
    }
}

/// Whether nothing waits and hours are merged, by what the server says.
async fn is_done(address: &str) -> bool {
    let url = format!("http://{address}/metrics");
    let answer = http_client().get(url).send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok())
    };
    let lower = value("procmon_store_segments{level=\"1\"}");
    value("procmon_store_slices_waiting") == Some(0.0)
        && value("procmon_store_segments{level=\"2\"}").is_some_and(|hours| hours >= 1.0)
        // Those of the last hour stay.
        && lower.is_none_or(|lower| lower <= 7.0)
}

async fn with_store<T>(kept: &Kept, work: impl AsyncFnOnce(&Store) -> T) -> T {
    let opened = Store::open(kept.place(), Clock::System).await;
    let (store, writer) = opened.expect("it opens");
    let shutdown = CancellationToken::new();
    let writing = tokio::spawn(writer.run(shutdown.clone()));
    let outcome = work(&store).await;
    shutdown.cancel();
    writing.await.expect("no panic").expect("no error");
    store.close().await;
    outcome
}

async fn fill(store: &Store, first_ms: i64) {
    for slice in 0..SLICES {
        for number in 0..BATCHES {
            let received_ms = first_ms + slice * SLICE_MS + number * 5_000;
            for agent in 0..AGENTS {
                let seq = slice * BATCHES + number + 1;
                let append = append(agent, seq as u64, received_ms);
                store.append(append).await.expect("it stores");
            }
        }
    }
}

/// A sample, and lives that began and ended.
fn append(agent: usize, seq: u64, received_ms: i64) -> Append {
    let at_ns = received_ms * 1_000_000;
    let first_pid = 1_000 + (seq as u32) * 100;
    let events = (0..LIVES as u32).flat_map(|index| {
        let life = Arc::new(life(first_pid + index, at_ns));
        let event = |kind| Event {
            ts_ns: at_ns + i64::from(index),
            life: Some(Arc::clone(&life)),
            sampled: false,
            kind,
        };
        let exit = Exit {
            code: Some(index % 3),
            cpu_time_ns: Some(u64::from(first_pid) * 1_000),
            ..Exit::default()
        };
        [
            event(EventKind::Exec),
            event(EventKind::Exit(Box::new(exit))),
        ]
    });
    let batch = Batch {
        key: seq == 1,
        events: events.collect(),
        lives: if seq == 1 {
            vec![(1, Arc::new(life(7, at_ns)))]
        } else {
            Vec::new()
        },
        frame: Some(Frame {
            ts_ns: at_ns,
            columns: vec![ColumnChanges {
                column: Column::CpuTimeMs,
                changes: vec![(1, 5 + agent as i64)],
            }],
            ..Frame::default()
        }),
        totals: Some(Totals {
            cpus: 2,
            ..Totals::default()
        }),
        ..Batch::default()
    };
    Append::new(
        format!("agent-{agent}").into(),
        (1, seq),
        received_ms,
        &batch,
        format::encode(&batch),
    )
}

fn life(pid: u32, at_ns: i64) -> Life {
    let text = format!("job-{pid}\0--of=this-test\0");
    Life {
        id: Some(ProcessId::booted(pid, 17, BootId::default())),
        started_ns: Some(at_ns),
        image: Some(Arc::new(Image {
            seq: 0,
            name: b"job".as_slice().into(),
            exe: b"/bin/job".as_slice().into(),
            args: text.as_bytes().into(),
            args_bytes: text.len() as u64,
            args_cut: false,
        })),
        ..Life::default()
    }
}

type OfAgent = (Vec<(i64, Event)>, Vec<(i64, Option<i64>)>);

/// All events with the times at which they were received, in order of arrival, and all samples with what they say.
async fn stored(store: &Store, first_ms: i64) -> Vec<OfAgent> {
    let mut all = Vec::new();
    for agent in 0..AGENTS {
        let agent_id = format!("agent-{agent}");
        let query = EventQuery {
            agent_id: Some(agent_id.clone()),
            ..EventQuery::default()
        };
        let (mut events, mut after) = (Vec::new(), Position::START);
        loop {
            let page = store.events_after(&query, after, 256).await;
            let page = page.expect("it reads");
            let Some(last) = page.last() else { break };
            after = Position::after_batch(last.slice, last.batch);
            events.extend(page.into_iter().flat_map(|stored| {
                let received_ms = stored.received_ms;
                let events = stored.events.into_iter();
                events.map(move |event| (received_ms, event))
            }));
        }
        let query = SampleQuery {
            agent_id: agent_id.into(),
            from_ms: first_ms - 1,
            to_ms: i64::MAX,
            clock_offset_ms: 0,
            lives: LifeFilter::Pid(7),
            columns: vec![Column::CpuTimeMs],
            ports: false,
            short_lived: false,
            reaching: Vec::new(),
        };
        let samples = store.samples(&query).await.expect("it reads");
        let times = samples.sample_ms.iter().enumerate();
        let values = times.map(|(index, ms)| {
            let value = samples
                .lives
                .first()
                .and_then(|life| life.value_at(0, index));
            (*ms, value)
        });
        all.push((events, values.collect()));
    }
    all
}
