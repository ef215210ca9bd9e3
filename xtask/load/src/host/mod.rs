//! A made-up host and its agent: what happens there, and the batches that tell it.

mod lives;
#[cfg(test)]
mod tests;
mod told;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use procmon_common::columns::Row;
use procmon_common::frame::FrameEncoder;
use procmon_common::wire;

use crate::process::Identity;
use crate::random::{Random, mix};
use crate::values::{Pace, Values};

/// How long the agent waits for more after something happened, and how often it tells of its health.
const GATHER_NS: i64 = 150_000_000;
const HEALTH_EVERY_NS: i64 = 10_000_000_000;
/// Identities in one batch, as the agent has it.
const MAX_PROCESSES: usize = 4096;
const DAY_NS: i64 = 86_400_000_000_000;

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
}
