//! The tables that `bench agent` prints.

use super::super::statistics::{Summary, median};
use super::whole::Whole;
use super::{Cost, Row};

const MIB: f64 = (1 << 20) as f64;

/// Budgets by the size of the population; other sizes have none.
const SNAPSHOT_BUDGETS_MS: [(u32, f64); 2] = [(1000, 2.5), (5000, 14.0)];
const WHOLE_BUDGETS_MS: [(u32, f64); 1] = [(1000, 3.5)];
/// Up to so many processes, so many MiB.
const RSS_BUDGETS_MIB: [(u32, f64); 2] = [(300, 20.0), (5000, 40.0)];

/// The first row is ours, to which the others are compared.
pub(super) fn snapshots(processes: u32, rows: &[Row]) {
    println!(
        "{:<22} {:>10} {:>18} {:>8} {:>9}",
        "one scan", "CPU ms", "lowest..highest", "RSS MiB", "× ours"
    );
    let ours = rows.first().and_then(|row| row.cost.as_ref().ok());
    let ours_ms = ours.map(cpu_ms);
    for row in rows {
        match &row.cost {
            Ok(cost) => println!("{}", line(row.tool, cost, ours_ms)),
            Err(error) => println!("{:<22} could not be measured here: {error:#}", row.tool),
        }
    }
    if let Some(seen) = ours.and_then(|cost| cost.processes) {
        println!(
            "{:<22} looked at {seen} processes: those of the whole host",
            ""
        );
    }
    if let (Some(ms), Some(budget)) = (ours_ms, exactly(&SNAPSHOT_BUDGETS_MS, processes)) {
        println!("{}", verdict("snapshot", ms, budget, "ms"));
    }
}

fn line(tool: &str, cost: &Cost, ours_ms: Option<f64>) -> String {
    let scan = Summary::of(cost.scans_ms.iter().copied());
    let ratio = ours_ms.map_or(String::new(), |ours| format!("{:.1}", scan.median / ours));
    format!(
        "{tool:<22} {:>10.2} {:>18} {:>8.1} {ratio:>9}",
        scan.median,
        format!("{:.2}..{:.2}", scan.low, scan.high),
        cost.rss_bytes as f64 / MIB
    )
}

pub(super) fn whole(processes: u32, whole: &Whole) {
    let cpu = Summary::of(whole.seconds_ms.iter().copied());
    println!(
        "whole agent, 1 s interval, probe {}, {} processes: {:.2} ms of CPU per second ({:.2}..{:.2}), and {:.3} ms of its \
         programs in the time of others; server {:.2} ms",
        whole.probe,
        whole.processes,
        cpu.median,
        cpu.low,
        cpu.high,
        whole.hooks_ms_per_s,
        whole.server_ms_per_s
    );
    if let Some(budget) = exactly(&WHOLE_BUDGETS_MS, processes) {
        println!("{}", verdict("agent", cpu.median, budget, "ms per s"));
    }
    let rss = whole.rss_bytes as f64 / MIB;
    match RSS_BUDGETS_MIB.iter().find(|(most, _)| processes <= *most) {
        Some((_, budget)) => println!("{}", verdict("agent RSS", rss, *budget, "MiB")),
        None => println!("agent RSS {rss:.1} MiB"),
    }
}

fn cpu_ms(cost: &Cost) -> f64 {
    median(cost.scans_ms.iter().copied())
}

fn exactly(budgets: &[(u32, f64)], processes: u32) -> Option<f64> {
    let found = budgets.iter().find(|(size, _)| *size == processes);
    found.map(|(_, budget)| *budget)
}

fn verdict(what: &str, value: f64, budget: f64, unit: &str) -> String {
    let verdict = if value <= budget { "ok" } else { "OVER BUDGET" };
    format!("{what} {value:.2} {unit}, budget {budget} {unit}: {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_budget_is_said() {
        assert!(verdict("snapshot", 2.4, 2.5, "ms").ends_with("ok"));
        assert!(verdict("snapshot", 2.6, 2.5, "ms").ends_with("OVER BUDGET"));
        assert_eq!(exactly(&SNAPSHOT_BUDGETS_MS, 150), None);
    }

    #[test]
    fn a_line_has_the_ratio_to_ours() {
        let cost = Cost {
            scans_ms: vec![64.0, 60.0, 70.0],
            rss_bytes: 11 << 20,
            processes: None,
        };
        let line = line("netdata", &cost, Some(2.0));
        assert!(line.contains("64.00") && line.ends_with("32.0"), "{line}");
    }
}
