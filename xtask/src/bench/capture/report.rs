//! What `bench capture` prints.

use anyhow::Result;

use super::super::statistics::Summary;
use super::Seen;
use super::ours::{Hook, Ours};
use super::slowdown::Turns;
use crate::spawning::Storm;

/// Budgets of one process life: fork, exec and exit. The agent's is of its CPU time in user mode.
const AGENT_BUDGET_US: f64 = 6.0;
const KERNEL_BUDGET_US: f64 = 2.5;

pub(super) fn ours(storm: Storm, ours: &Ours) {
    println!(
        "\n{} × {}, {} workers, {} rounds (medians)",
        storm.processes,
        storm.load.name(),
        storm.workers,
        ours.rounds.len()
    );
    let starts: Vec<u64> = ours.rounds.iter().map(|round| round.starts).collect();
    let exits: Vec<u64> = ours.rounds.iter().map(|round| round.exits).collect();
    println!("{:<28} {starts:?}", "starts in the API");
    println!("{:<28} {exits:?}", "exits in the API");
    println!("{:<28} {}", "records dropped", ours.drops);
    println!(
        "{:<28} {:.0} per s",
        "spawned",
        ours.median(|round| round.processes_per_s)
    );
    let agent_user = ours.median(|round| round.agent_us_per_life * round.agent_user_share);
    let agent = ours.median(|round| round.agent_us_per_life);
    budget("agent user CPU per life", agent_user, AGENT_BUDGET_US);
    println!("{:<28} {agent:.2} µs", "… and system");
    let kernel = ours.median(|round| round.kernel_us_per_life);
    budget("kernel time per life", kernel, KERNEL_BUDGET_US);
    for name in ours
        .rounds
        .first()
        .iter()
        .flat_map(|round| round.hooks.keys())
    {
        let of =
            |read: fn(&Hook) -> f64| ours.median(|round| round.hooks.get(name).map_or(0.0, read));
        let (ns, runs) = (of(|hook| hook.ns_per_run), of(|hook| hook.runs as f64));
        println!("  {name:<26} {ns:.0} ns per run, {runs:.0} runs");
    }
}

fn budget(what: &str, value_us: f64, budget_us: f64) {
    let verdict = if value_us <= budget_us {
        "ok"
    } else {
        "OVER BUDGET"
    };
    println!("{what:<28} {value_us:.2} µs, budget {budget_us} µs: {verdict}");
}

pub(super) fn comparison(storm: Storm, rows: &[(&str, Result<Seen>)]) {
    println!(
        "\n{:<20} {:>11} {:>11} {:>16} {:>16}",
        format!("{} × {}", storm.processes, storm.load.command()),
        "starts seen",
        "ends seen",
        "CPU µs per life",
        "BPF µs per life"
    );
    for (tool, seen) in rows {
        match seen {
            Ok(seen) => println!(
                "{tool:<20} {:>11} {:>11} {:>16.2} {:>16.2}",
                share(seen.starts, storm.processes),
                share(seen.exits, storm.processes),
                seen.cpu_us_per_life,
                seen.kernel_us_per_life
            ),
            Err(error) => println!("{tool:<20} could not run here: {error:#}"),
        }
    }
}

fn share(seen: Option<u64>, of: u32) -> String {
    seen.map_or_else(
        || "none".to_owned(),
        |seen| format!("{:.2} %", seen as f64 * 100.0 / f64::from(of)),
    )
}

pub(super) fn slowdown(turns: &[Turns]) {
    let cpu = Summary::of(turns.iter().map(Turns::cpu_ratio));
    let wall = Summary::of(turns.iter().map(Turns::wall_ratio));
    let plain = Summary::of(turns.iter().map(Turns::plain_us));
    println!(
        "\nfork + exec + exit with the agent / without, {} pairs in turns",
        turns.len()
    );
    let line = |what: &str, ratio: Summary| {
        println!(
            "{what:<28} {:.3} (lowest {:.3}, highest {:.3})",
            ratio.median, ratio.low, ratio.high
        );
    };
    line("CPU time", cpu);
    line("wall time", wall);
    println!(
        "{:<28} {:.0} µs of CPU",
        "a life without the agent", plain.median
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_cannot_know_is_not_zero() {
        assert_eq!(share(None, 10), "none");
        assert_eq!(share(Some(9), 10), "90.00 %");
    }
}
