//! Agents that are stopped and killed in a storm of processes, with pinned rings: every life is told once.

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;

use crate::agents::{Host, PROBE};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("storm_during_agent_restarts", storm_during_agent_restarts),
        trial(
            "storm_during_changes_of_version",
            storm_during_changes_of_version,
        ),
        trial(
            "without_pin_a_killed_agent_leaves_a_gap",
            without_pin_a_killed_agent_leaves_a_gap,
        ),
        trial("unpin_removes_everything", unpin_removes_everything),
        trial(
            "records_of_another_abi_are_counted",
            records_of_another_abi_are_counted,
        ),
    ]
}

fn storm_during_agent_restarts() -> Result<()> {
    let host = Host::new()?;
    let told = host.storm(
        |restart, agent| {
            // Most ends are sudden; some are orderly.
            if restart % 3 == 2 {
                agent.stop()
            } else {
                agent.kill()
            }
        },
        |_| Vec::new(),
    )?;
    told.ensure_complete()
}

/// Another threshold is frozen into other programs: as far as pins go, another version.
fn storm_during_changes_of_version() -> Result<()> {
    let host = Host::new()?;
    let told = host.storm(
        |_, agent| agent.kill(),
        |restart| vec![format!("--io-slow-threshold={}s", 100 + restart % 2)],
    )?;
    told.ensure_complete()?;
    ensure!(host.versions()?.len() == 1, "old versions are removed");
    Ok(())
}

fn without_pin_a_killed_agent_leaves_a_gap() -> Result<()> {
    let host = Host::new()?;
    let mut agent = host.start(&["--pin=false".into()])?;
    agent.until_spooled(&host)?;
    agent.kill()?;
    let mut unseen = host.probe(0).spawn()?;
    unseen.wait()?;
    let mut agent = host.start(&["--pin=false".into()])?;
    agent.until_spooled(&host)?;
    agent.stop()?;
    ensure!(host.versions()?.is_empty(), "nothing is pinned");
    let told = host.told()?;
    ensure!(told.lives.of(PROBE).is_empty(), "it lived in the gap");
    let [first, second] = &told.runs[..] else {
        bail!("two runs, not {:?}", told.runs)
    };
    // The server derives the gap from these two times.
    ensure!(
        first.last_built < second.covered_since && !second.continued,
        "{first:?} {second:?}"
    );
    Ok(())
}

fn unpin_removes_everything() -> Result<()> {
    let host = Host::new()?;
    let mut agent = host.start(&[])?;
    agent.until_spooled(&host)?;
    let in_use = host.agent(&["unpin".into()]).output()?;
    let text = String::from_utf8_lossy(&in_use.stderr).into_owned();
    ensure!(
        !in_use.status.success() && text.contains("in use by another procmon-agent"),
        "{text}"
    );
    agent.kill()?;
    ensure!(host.versions()?.len() == 1, "pinned");
    let check = host.agent(&["check".into()]).output()?;
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    ensure!(
        text.contains("1 version of the programs is pinned"),
        "{text}"
    );
    let unpinned = host.agent(&["unpin".into()]).output()?;
    ensure!(unpinned.status.success(), "{unpinned:?}");
    ensure!(host.versions()?.is_empty(), "nothing is left");
    Ok(())
}

fn records_of_another_abi_are_counted() -> Result<()> {
    let host = Host::new()?;
    let mut agent = host.start(&[])?;
    agent.until_spooled(&host)?;
    agent.kill()?;
    for _ in 0..10 {
        host.probe(0).spawn()?.wait()?;
    }
    let version = host.versions()?.remove(0);
    std::fs::rename(&version, version.with_file_name("abi999-0000000000000000"))?;
    let mut agent = host.start(&[])?;
    agent.until_spooled(&host)?;
    agent.stop()?;
    let told = host.told()?;
    ensure!(
        told.losses
            .get("record.other_abi")
            .is_some_and(|lost| *lost >= 30),
        "{:?}",
        told.losses
    );
    ensure!(!told.runs[1].continued, "{:?}", told.runs);
    ensure!(host.versions()?.len() == 1, "the other version is removed");
    Ok(())
}
