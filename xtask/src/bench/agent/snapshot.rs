//! Snapshots alone: a release program of the agent's package takes them, ours on the host, sysinfo's in the namespace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cost, Stage};
use crate::check::cargo;
use crate::command;

/// The benchmark in procmon-agent.
const TARGET: &str = "snapshot";

/// Builds the program; cargo says where it put it.
pub(super) fn build() -> Result<PathBuf> {
    let messages = command::capture(cargo()?.args([
        "build",
        "--release",
        "--quiet",
        "--message-format=json",
        "--package",
        "procmon-agent",
        "--bench",
        TARGET,
    ]))?;
    program_in(&messages).with_context(|| format!("cargo built no benchmark `{TARGET}`"))
}

fn program_in(messages: &str) -> Option<PathBuf> {
    let mut messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = messages
        .find(|message| message["target"]["name"] == TARGET && message["executable"].is_string())?;
    ours["executable"].as_str().map(PathBuf::from)
}

/// On the host: what the kernel's iterators see.
pub(super) fn ours(program: &Path, stage: &Stage) -> Result<Cost> {
    measure(&mut scanner(program, "procmon", stage))
}

/// In the namespace, as the other peers.
pub(super) fn sysinfo(program: &Path, stage: &Stage) -> Result<Cost> {
    let scanner = scanner(program, "sysinfo", stage);
    measure(&mut stage.sandbox.command(&scanner))
}

fn scanner(program: &Path, sampler: &str, stage: &Stage) -> Command {
    let mut command = Command::new(program);
    command.args([sampler, "--scans", &stage.scans.to_string()]);
    command
}

fn measure(command: &mut Command) -> Result<Cost> {
    cost(&command::capture(command)?)
}

/// Reads lines `scan CPU_NS PROCESSES`, and one `rss BYTES`.
fn cost(printed: &str) -> Result<Cost> {
    let mut cost = Cost {
        scans_ms: Vec::new(),
        rss_bytes: 0,
        processes: None,
    };
    for line in printed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["scan", cpu_ns, processes] => {
                cost.scans_ms.push(cpu_ns.parse::<f64>()? / 1e6);
                cost.processes = Some(processes.parse()?);
            }
            ["rss", bytes] => cost.rss_bytes = bytes.parse()?,
            _ => {}
        }
    }
    if cost.scans_ms.is_empty() {
        anyhow::bail!("the scanner printed no scan: {printed}");
    }
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scanners_lines_are_read() {
        let cost = cost("scan 2500000 1100\nscan 2000000 1101\nrss 4096\n").unwrap();
        assert_eq!(cost.scans_ms, [2.5, 2.0]);
        assert_eq!((cost.rss_bytes, cost.processes), (4096, Some(1101)));
        assert!(super::cost("nothing\n").is_err());
    }

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let messages = r#"{"target":{"name":"procmon_agent"},"executable":null}
{"target":{"name":"snapshot"},"executable":"/t/snapshot-1"}"#;
        assert_eq!(program_in(messages), Some(PathBuf::from("/t/snapshot-1")));
    }
}
