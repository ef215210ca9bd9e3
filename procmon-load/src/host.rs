//! A made-up host and its agent: what happens there, and the batches that tell it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use procmon_common::columns::Row;
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;

use crate::process::{Identity, Pace, Values};
use crate::random::{Random, mix};

/// How long the agent waits for more after something happened, and how often it tells of its health.
const GATHER_NS: i64 = 100_000_000;
const HEALTH_EVERY_NS: i64 = 10_000_000_000;
/// Identities in one batch, as the agent has it.
const MAX_PROCESSES: usize = 4096;
const DAY_NS: i64 = 86_400_000_000_000;
const MINUTE_NS: f64 = 60e9;

/// What kind of host.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number.
    pub agent: u32,
    pub agent_id: String,
    /// Those that stay.
    pub processes: u32,
    pub interval_ms: u32,
    /// Those that come and go.
    pub lives_per_minute: f64,
    /// When its first sample is taken; by all its clocks.
    pub first_sample_ns: i64,
}

#[derive(Debug)]
struct Running {
    handle: u32,
    identity: Identity,
    pace: Pace,
    values: Values,
    /// The server was told the values.
    sampled: bool,
}

/// A batch, and what it tells.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub batch: wire::Batch,
    /// Pids of the lives whose exec and whose exit it has.
    pub execs: Vec<u32>,
    pub exits: Vec<u32>,
    /// It is the one with a sample of all processes.
    pub is_sample: bool,
}

#[derive(Debug)]
pub struct Host {
    plan: Plan,
    boot_ns: i64,
    boot_id: [u8; 16],
    epoch: u64,
    seq: u64,
    /// By handle, which only ever grows.
    running: Vec<Running>,
    next_handle: u32,
    next_pid: u32,
    next_sample_ns: i64,
    next_life_ns: i64,
    /// Of those that come and go.
    ends: BinaryHeap<Reverse<(i64, u32)>>,
    health_due_ns: i64,
    key_wanted: bool,
    random: Random,
}

impl Host {
    pub fn new(plan: Plan) -> Self {
        let mut random = Random::new(u64::from(plan.agent));
        let boot_ns = plan.first_sample_ns - 10 * DAY_NS;
        let seed = mix(plan.first_sample_ns as u64 ^ u64::from(plan.agent) << 40);
        let mut boot_id = [0; 16];
        boot_id[..8].copy_from_slice(&seed.to_be_bytes());
        boot_id[8..].copy_from_slice(&mix(seed).to_be_bytes());
        let mut host = Self {
            boot_ns,
            boot_id,
            epoch: plan.first_sample_ns as u64,
            seq: 0,
            running: Vec::with_capacity(plan.processes as usize + 8),
            next_handle: 1,
            next_pid: 1,
            next_sample_ns: plan.first_sample_ns,
            next_life_ns: i64::MAX,
            ends: BinaryHeap::new(),
            health_due_ns: 0,
            key_wanted: true,
            random: random.clone(),
            plan,
        };
        for _ in 0..host.plan.processes {
            let age_ns = (random.fraction() * 9.0 * DAY_NS as f64) as i64;
            host.start(host.plan.first_sample_ns - DAY_NS / 2 - age_ns, true);
        }
        if host.plan.lives_per_minute > 0.0 {
            host.next_life_ns = host.plan.first_sample_ns + host.wait_for_life();
        }
        host
    }

    pub fn agent_id(&self) -> &str {
        &self.plan.agent_id
    }

    /// The first pid of those that come and go.
    pub fn first_life(&self) -> u32 {
        self.plan.processes + 1
    }

    pub fn process_count(&self) -> usize {
        self.running.len()
    }

    pub fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    /// A process that was there from the beginning, and what the server was last told of it.
    pub fn baseline(&self, number: u32) -> Option<(Identity, Values)> {
        let running = self.running.get(number as usize)?;
        running
            .identity
            .baseline
            .then_some((running.identity, running.values))
    }

    /// The server cannot follow: the next batch begins anew.
    pub fn resync(&mut self) {
        self.key_wanted = true;
    }

    /// No more lives begin; those that run go on to their end.
    pub fn stop_lives(&mut self) {
        self.next_life_ns = i64::MAX;
    }

    /// When the agent has something to send next.
    pub fn next_batch_ns(&self) -> i64 {
        if self.key_wanted && self.seq > 0 {
            return 0;
        }
        let end = self.ends.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
        let happens = self.next_life_ns.min(end).saturating_add(GATHER_NS);
        happens.min(self.next_sample_ns)
    }

    /// What the agent sends at this time: one batch, or more when it must name too many processes for one.
    pub fn batches(&mut self, now_ns: i64) -> Vec<Outgoing> {
        let mut last = Outgoing {
            is_sample: now_ns >= self.next_sample_ns,
            ..Outgoing::default()
        };
        let key = std::mem::take(&mut self.key_wanted);
        let mut gone = Vec::new();
        let mut processes = self.live_until(now_ns, &mut last, &mut gone);
        if key {
            let running = self.running.iter();
            processes = running
                .map(|one| one.identity.to_wire(one.handle, self.boot_ns, true))
                .collect();
            processes.extend(gone);
            processes.sort_unstable_by_key(|process| process.handle);
        }
        if last.is_sample || key {
            last.batch.frame = Some(self.frame(now_ns, key, last.is_sample));
            last.batch.host = last.is_sample.then(|| self.totals());
        }
        if last.is_sample {
            self.next_sample_ns += i64::from(self.plan.interval_ms) * 1_000_000;
        }
        if key || last.is_sample && now_ns >= self.health_due_ns {
            self.health_due_ns = now_ns + HEALTH_EVERY_NS;
            last.batch.health = Some(self.health());
        }
        self.number(now_ns, key, processes, last)
    }

    /// Splits what does not fit into one batch, as the agent does.
    fn number(
        &mut self,
        now_ns: i64,
        key: bool,
        mut processes: Vec<wire::Process>,
        mut last: Outgoing,
    ) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        let mut first = true;
        while processes.len() > MAX_PROCESSES {
            let rest = processes.split_off(MAX_PROCESSES);
            let mut part = Outgoing::default();
            part.batch.processes = std::mem::replace(&mut processes, rest);
            part.batch.more = true;
            self.head(&mut part.batch, now_ns, key && first);
            first = false;
            outgoing.push(part);
        }
        last.batch.processes = processes;
        self.head(&mut last.batch, now_ns, key && first);
        outgoing.push(last);
        outgoing
    }

    fn head(&mut self, batch: &mut wire::Batch, now_ns: i64, key: bool) {
        self.seq += 1;
        batch.agent_id.clone_from(&self.plan.agent_id);
        batch.boot_id = self.boot_id.to_vec().into();
        batch.machine_id = self.boot_id.to_vec().into();
        batch.epoch = self.epoch;
        batch.seq = self.seq;
        batch.built_unix_ns = now_ns;
        batch.interval_ms = self.plan.interval_ms;
        batch.key = key;
    }

    /// Starts and ends until now, in order; returns the lives that are new. `gone`: all that ended.
    fn live_until(
        &mut self,
        now_ns: i64,
        out: &mut Outgoing,
        gone: &mut Vec<wire::Process>,
    ) -> Vec<wire::Process> {
        let mut new = Vec::new();
        loop {
            let end_ns = self.ends.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
            if self.next_life_ns.min(end_ns) > now_ns {
                return new;
            }
            if self.next_life_ns < end_ns {
                let at_ns = self.next_life_ns;
                let (handle, identity) = self.start(at_ns, false);
                new.push(identity.to_wire(handle, self.boot_ns, false));
                let exec = wire::Exec {
                    image: Some(identity.image(true)),
                    credentials: None,
                };
                out.batch.events.push(event(
                    at_ns + 400_000,
                    handle,
                    wire::event::Kind::Exec(exec),
                ));
                out.execs.push(identity.pid);
                let end_ns = at_ns + self.life_time();
                self.ends.push(Reverse((end_ns, handle)));
                self.next_life_ns += self.wait_for_life();
            } else if let Some(Reverse((at_ns, handle))) = self.ends.pop()
                && let Ok(index) = self.running.binary_search_by_key(&handle, |one| one.handle)
            {
                let ended = self.running.remove(index);
                let lived_ns = at_ns - ended.identity.started_unix_ns(self.boot_ns);
                let exit = ended
                    .identity
                    .exit(lived_ns, ended.sampled.then_some(&ended.values));
                out.batch
                    .events
                    .push(event(at_ns, handle, wire::event::Kind::Exit(exit)));
                out.exits.push(ended.identity.pid);
                gone.push(ended.identity.to_wire(handle, self.boot_ns, true));
            }
        }
    }

    fn start(&mut self, at_ns: i64, baseline: bool) -> (u32, Identity) {
        let identity = Identity {
            agent: self.plan.agent,
            pid: self.next_pid,
            baseline,
            start_ticks: Identity::ticks(self.boot_ns, at_ns),
        };
        let handle = self.next_handle;
        self.next_pid += 1;
        self.next_handle += 1;
        self.running.push(Running {
            handle,
            identity,
            pace: identity.pace(),
            values: identity.first_values(),
            sampled: false,
        });
        (handle, identity)
    }

    fn wait_for_life(&mut self) -> i64 {
        self.random.wait_ns(MINUTE_NS / self.plan.lives_per_minute)
    }

    /// Most are over at once; some last for seconds, and a few for minutes.
    fn life_time(&mut self) -> i64 {
        let mean_ns = match self.random.below(20) {
            0..=14 => 40e6,
            15..=18 => 2e9,
            _ => 120e9,
        };
        1_000_000 + self.random.wait_ns(mean_ns)
    }

    fn frame(&mut self, now_ns: i64, key: bool, is_sample: bool) -> wire::Frame {
        let mut encoder = FrameEncoder::default();
        let mut ports = Vec::new();
        for one in &mut self.running {
            let before = one.values;
            if is_sample && one.sampled {
                let changed = one
                    .values
                    .advance(one.pace, self.plan.interval_ms, &mut self.random);
                if !changed && !key {
                    continue;
                }
            }
            if is_sample && !one.sampled || key {
                let listens = one.identity.ports();
                ports.extend(listens.map(|port| wire::Ports {
                    handle: one.handle,
                    ports: vec![port],
                }));
            }
            let known = one.sampled && !key;
            if !is_sample && !one.sampled {
                // The agent has not looked at it yet.
                continue;
            }
            let sent = if known {
                one.identity.row(&before)
            } else {
                Row::default()
            };
            encoder.push(one.handle, &sent, &one.identity.row(&one.values));
            one.sampled = true;
        }
        wire::Frame {
            ts_unix_ns: now_ns,
            columns: encoder.finish(),
            ports,
            ..wire::Frame::default()
        }
    }

    fn totals(&mut self) -> wire::HostTotals {
        wire::HostTotals {
            cpus: 8,
            memory_total_bytes: 32 << 30,
            memory_available_bytes: (12 << 30) + (u64::from(self.random.below(4096)) << 12),
            swap_total_bytes: 0,
            swap_used_bytes: 0,
            load1_centi: 80 + self.random.below(90),
            load5_centi: 100 + self.random.below(20),
            load15_centi: 110,
            cpu_centipercent: Some(2000 + self.random.below(9000)),
            boot_unix_ns: self.boot_ns,
        }
    }

    fn health(&self) -> wire::AgentHealth {
        wire::AgentHealth {
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: format!("{}.example", self.plan.agent_id),
            kernel: "6.12.43".into(),
            probe: "ebpf".into(),
            events: [(
                "exec".to_owned(),
                u64::from(self.next_pid - self.first_life()),
            )]
            .into(),
            spool_max_bytes: 256 << 20,
            rss_bytes: 17 << 20,
            cpu_time_ns: self.seq * 900_000,
            sample_ns: 700_000,
            covered_since_unix_ns: self.plan.first_sample_ns,
            ..wire::AgentHealth::default()
        }
    }
}

fn event(ts_unix_ns: i64, handle: u32, kind: wire::event::Kind) -> wire::Event {
    wire::Event {
        ts_unix_ns,
        handle,
        sampled: false,
        kind: Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use procmon_common::columns::{COLUMNS, Column};
    use procmon_common::frame::for_each_change;

    use super::*;

    fn plan(lives_per_minute: f64) -> Plan {
        Plan {
            agent: 3,
            agent_id: "load-3".into(),
            processes: 300,
            interval_ms: 5000,
            lives_per_minute,
            first_sample_ns: 1_769_860_800_000_000_000,
        }
    }

    fn run(host: &mut Host, batches: usize) -> Vec<Outgoing> {
        let mut all = Vec::new();
        let mut now_ns = 0;
        while all.len() < batches {
            now_ns = host.next_batch_ns().max(now_ns);
            all.extend(host.batches(now_ns));
        }
        all
    }

    #[test]
    fn rows_change_as_often_as_they_were_measured_to() {
        let mut host = Host::new(plan(0.0));
        let mut changes = BTreeMap::new();
        for out in &run(&mut host, 201)[1..] {
            let frame = out.batch.frame.as_ref().expect("each batch is a sample");
            for_each_change(&frame.columns, |_, column, _| {
                *changes.entry(column).or_insert(0_u32) += 1;
            })
            .expect("a frame");
        }
        let rows = 300.0 * 200.0;
        let share = |column: Column| f64::from(changes[&column]) / rows;
        for (column, low, high) in [
            (Column::VoluntarySwitches, 0.11, 0.17),
            (Column::CpuTimeMs, 0.05, 0.09),
            (Column::MinorFaults, 0.02, 0.06),
            (Column::RssKib, 0.01, 0.03),
        ] {
            assert!(
                (low..high).contains(&share(column)),
                "{column:?}: {}",
                share(column)
            );
        }
    }

    /// What a server would know must be what the host has.
    #[test]
    fn the_batches_add_up() {
        let mut host = Host::new(plan(600.0));
        let mut known: BTreeMap<u32, Row> = BTreeMap::new();
        let (mut execs, mut exits, mut now_ns) = (0, 0, 0);
        for number in 0..400 {
            if number == 200 {
                host.resync();
            }
            now_ns = host.next_batch_ns().max(now_ns);
            for out in host.batches(now_ns) {
                let batch = &out.batch;
                if batch.key {
                    known.clear();
                }
                known.extend(
                    batch
                        .processes
                        .iter()
                        .map(|process| (process.handle, Row::default())),
                );
                for event in &batch.events {
                    assert!(known.contains_key(&event.handle), "{event:?} names nobody");
                    if let Some(wire::event::Kind::Exit(_)) = event.kind {
                        known.remove(&event.handle);
                    }
                }
                let columns = batch.frame.as_ref().map_or(&[][..], |frame| &frame.columns);
                for_each_change(columns, |handle, column, delta| {
                    known.get_mut(&handle).expect("known").apply(column, delta);
                })
                .expect("a frame");
                execs += out.execs.len();
                exits += out.exits.len();
            }
        }
        assert!(execs > 300 && exits > 250, "{execs} {exits}");
        assert_eq!(known.len(), host.running.len());
        for one in host.running.iter().filter(|one| one.sampled) {
            for column in COLUMNS {
                let expected = one.identity.row(&one.values).get(column);
                assert_eq!(
                    known[&one.handle].get(column),
                    expected,
                    "{column:?} of {one:?}"
                );
            }
        }
    }

    #[test]
    fn a_host_of_many_processes_needs_several_batches() {
        let mut host = Host::new(Plan {
            processes: 5000,
            ..plan(0.0)
        });
        let batches = run(&mut host, 2);
        assert!(batches[0].batch.more && batches[0].batch.key && !batches[0].is_sample);
        assert!(!batches[1].batch.more && !batches[1].batch.key && batches[1].is_sample);
        assert_eq!(batches[1].batch.seq, 2);
    }
}
