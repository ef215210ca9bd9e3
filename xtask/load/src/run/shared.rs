//! What the tasks of a run share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use procmon_common::wire::Encoder;
use procmon_load::host::Plan;
use procmon_load::quantiles::Quantiles;

use super::Options;
use super::rules::Evaluations;

/// Failures that are printed; all are counted.
const PRINTED: u64 = 10;

pub(super) struct Shared {
    pub(super) options: Options,
    /// `host:port` of the server.
    pub(super) address: String,
    /// Tells the agents of this run from those of another.
    pub(super) run: String,
    /// Time zero of the hosts' clocks, and that of ours.
    pub(super) began_unix_ns: i64,
    began: Instant,
    pub(super) encoder: RefCell<Encoder>,
    pub(super) over: Cell<bool>,
    pub(super) batches: Cell<u64>,
    pub(super) samples: Cell<u64>,
    pub(super) rows: Cell<u64>,
    pub(super) events: Cell<u64>,
    pub(super) sent_bytes: Cell<u64>,
    pub(super) resyncs: Cell<u64>,
    /// Asked to send again later.
    pub(super) put_off: Cell<u64>,
    /// Connections that broke.
    pub(super) broken: Cell<u64>,
    /// Batches that the server will never take.
    pub(super) refused: Cell<u64>,
    /// From the request to the acknowledgement.
    pub(super) ingest: RefCell<Quantiles>,
    /// From when a batch was due until it was sent.
    pub(super) late: RefCell<Quantiles>,
    pub(super) queries: RefCell<BTreeMap<&'static str, Asked>>,
    pub(super) evaluations: RefCell<Evaluations>,
    printed: Cell<u64>,
}

/// What came of a kind of query.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) latency: Quantiles,
    pub(super) bytes: u64,
    /// Asked to come back later.
    pub(super) put_off: u64,
    pub(super) failed: u64,
}

impl Shared {
    pub(super) fn new(options: Options, address: String) -> Result<Self> {
        let began_unix_ns = unix_ns();
        Ok(Self {
            options,
            address,
            run: format!("{:x}", began_unix_ns / 1_000_000_000),
            began_unix_ns,
            began: Instant::now(),
            encoder: RefCell::new(Encoder::new()?),
            over: Cell::new(false),
            batches: Cell::new(0),
            samples: Cell::new(0),
            rows: Cell::new(0),
            events: Cell::new(0),
            sent_bytes: Cell::new(0),
            resyncs: Cell::new(0),
            put_off: Cell::new(0),
            broken: Cell::new(0),
            refused: Cell::new(0),
            ingest: RefCell::default(),
            late: RefCell::default(),
            queries: RefCell::default(),
            evaluations: RefCell::default(),
            printed: Cell::new(0),
        })
    }

    /// The host of an agent, which is the same whenever it is made up.
    pub(super) fn plan(&self, number: u32) -> Plan {
        let options = &self.options;
        // They do not all sample at the same moment.
        let phase = options
            .interval
            .mul_f64(f64::from(number) / f64::from(options.agents));
        Plan {
            agent: number,
            agent_id: format!("load-{}-{number}", self.run),
            processes: options.processes,
            interval_ms: options.interval.as_millis() as u32,
            lives_per_minute: options.lives_per_minute,
            first_sample_ns: self.began_unix_ns + phase.as_nanos() as i64,
        }
    }

    /// The agent of this run with this name.
    pub(super) fn number_of(&self, agent_id: &str) -> Option<usize> {
        let rest = agent_id.strip_prefix("load-")?.strip_prefix(&self.run)?;
        rest.strip_prefix('-')?.parse().ok()
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.began_unix_ns + self.began.elapsed().as_nanos() as i64
    }

    pub(super) fn instant_of(&self, unix_ns: i64) -> Instant {
        let since = unix_ns.saturating_sub(self.began_unix_ns).max(0);
        self.began + Duration::from_nanos(since as u64)
    }

    /// When agents stop.
    pub(super) fn end_ns(&self) -> i64 {
        self.began_unix_ns + self.options.duration.as_nanos() as i64
    }

    pub(super) fn failed_queries(&self) -> u64 {
        self.queries
            .borrow()
            .values()
            .map(|asked| asked.failed)
            .sum()
    }

    /// Prints the first few.
    pub(super) fn complain(&self, what: &str) {
        let printed = self.printed.get();
        self.printed.set(printed + 1);
        if printed < PRINTED {
            println!("! {what}");
        } else if printed == PRINTED {
            println!("! and so on");
        }
    }
}

pub(super) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

pub(super) fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as i64)
}
