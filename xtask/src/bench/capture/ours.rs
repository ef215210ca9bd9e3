//! Our agent, with a server that counts what arrived.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::super::bpf_stats::{self, Program};
use super::super::recorded;
use super::super::statistics::median;
use super::Seen;
use super::meter::Meter;
use crate::pair::Pair;
use crate::process_cost::cpu_ticks;
use crate::spawning::{Storm, marker};

/// How the names of the programs begin that run for each process, from fork to exit; the signal is the one that tells the
/// parent.
const LIFECYCLE: [&str; 2] = ["process_", "signal_"];

pub(super) struct Ours {
    pub(super) rounds: Vec<Round>,
    /// Records lost, by what the agent says.
    pub(super) drops: u64,
}

pub(super) struct Round {
    pub(super) starts: u64,
    pub(super) exits: u64,
    pub(super) processes_per_s: f64,
    pub(super) agent_us_per_life: f64,
    /// Of the agent's time, by the kernel's clock ticks.
    pub(super) agent_user_share: f64,
    pub(super) kernel_us_per_life: f64,
    pub(super) hooks: BTreeMap<String, Hook>,
}

/// What one program did during a round.
pub(super) struct Hook {
    pub(super) runs: u64,
    pub(super) ns_per_run: f64,
}

impl Ours {
    pub(super) fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    pub(super) fn complete(&self, storm: Storm) -> bool {
        let expected = u64::from(storm.processes);
        let all = |round: &Round| round.starts == expected && round.exits == expected;
        self.drops == 0 && self.rounds.iter().all(all)
    }

    /// As a peer; of the rounds the worst.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            starts: self.rounds.iter().map(|round| round.starts).min(),
            exits: self.rounds.iter().map(|round| round.exits).min(),
            cpu_us_per_life: self.median(|round| round.agent_us_per_life),
            kernel_us_per_life: self.median(|round| round.kernel_us_per_life),
        }
    }
}

pub(super) fn measure(
    storm: Storm,
    rounds: usize,
    pair: &Pair,
    others: &BTreeSet<u32>,
) -> Result<Ours> {
    let before = recorded::drops(&pair.url)?;
    let rounds = (0..rounds)
        .map(|number| round(storm, pair, others, &marker(number)))
        .collect::<Result<_>>()?;
    Ok(Ours {
        rounds,
        drops: recorded::drops(&pair.url)?.saturating_sub(before),
    })
}

fn round(storm: Storm, pair: &Pair, others: &BTreeSet<u32>, marker: &str) -> Result<Round> {
    let agent = pair.agent.pid();
    let meter = Meter::start(agent)?;
    let (ticks, programs) = (cpu_ticks(agent)?, own_programs(others)?);
    let wall = storm.run(marker)?;
    let command = storm.load.command();
    let lives = f64::from(storm.processes);
    let exits = recorded::wait_for_exits(&pair.url, command, marker, u64::from(storm.processes))?;
    let user_share = user_share(ticks, cpu_ticks(agent)?);
    let busy_s = meter.busy_s()?;
    let hooks = hooks(&programs, &own_programs(others)?);
    // Block requests are not part of a life: whoever else writes at the same time makes them too.
    let lifecycle = hooks
        .iter()
        .filter(|(name, _)| LIFECYCLE.iter().any(|start| name.starts_with(start)))
        .map(|(_, hook)| hook);
    let kernel_ns: f64 = lifecycle
        .map(|hook| hook.ns_per_run * hook.runs as f64)
        .sum();
    let starts = recorded::lives_with(&pair.url, "exec", command, marker)?;
    recorded::describe_unended(&pair.url, &starts, &exits)?;
    Ok(Round {
        starts: starts.len() as u64,
        exits: exits.len() as u64,
        processes_per_s: lives / wall.as_secs_f64(),
        agent_us_per_life: busy_s * 1e6 / lives,
        agent_user_share: user_share,
        kernel_us_per_life: kernel_ns / 1e3 / lives,
        hooks,
    })
}

fn user_share(before: [u64; 2], after: [u64; 2]) -> f64 {
    let [user, system] = [after[0] - before[0], after[1] - before[1]];
    user as f64 / (user + system).max(1) as f64
}

pub(super) fn own_programs(others: &BTreeSet<u32>) -> Result<BTreeMap<u32, Program>> {
    let mut programs = bpf_stats::programs()?;
    programs.retain(|id, _| !others.contains(id));
    Ok(programs)
}

fn hooks(
    before: &BTreeMap<u32, Program>,
    after: &BTreeMap<u32, Program>,
) -> BTreeMap<String, Hook> {
    let mut hooks = BTreeMap::new();
    for (id, program) in after {
        let (time, runs) = before
            .get(id)
            .map_or((0, 0), |program| (program.run_time_ns, program.runs));
        let (time, runs) = (program.run_time_ns - time, program.runs - runs);
        if runs > 0 {
            let ns_per_run = time as f64 / runs as f64;
            hooks.insert(program.name.clone(), Hook { runs, ns_per_run });
        }
    }
    hooks
}
