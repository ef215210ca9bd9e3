//! What the API of a server has recorded of a storm.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::http;

/// More than the last events of a storm take to appear in the API. Nothing more after it: nothing is to come.
const ARRIVAL: Duration = Duration::from_secs(5);

const DESCRIBED_LIVES: usize = 3;

/// Waits until the last events of a storm have arrived: counting many of them takes longer than that, and whatever comes while
/// it counts is not in what it counted.
pub(crate) fn wait_for_exits(
    url: &str,
    command: &str,
    marker: &str,
    expected: u64,
) -> Result<BTreeSet<String>> {
    let mut before = 0;
    loop {
        thread::sleep(ARRIVAL);
        let exits = lives_with(url, "exit", command, marker)?;
        if exits.len() as u64 >= expected || exits.len() == before {
            return Ok(exits);
        }
        before = exits.len();
    }
}

/// Lives of this command, by `process_id`, that have such an event in the API and the marker as their second argument; an
/// exit must say code 0.
pub(crate) fn lives_with(
    url: &str,
    kind: &str,
    command: &str,
    marker: &str,
) -> Result<BTreeSet<String>> {
    let mut lives = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = http::get(
            url,
            &format!("/api/v1/events?type={kind}&name={command}&limit=10000{cursor}"),
        )?;
        let page: Value = serde_json::from_str(&page).context("/api/v1/events is not JSON")?;
        let events = page["events"]
            .as_array()
            .context("/api/v1/events has no events")?;
        let ours = events.iter().filter(|event| event["args"][1] == marker);
        let ours = ours.filter(|event| kind != "exit" || event["exit_code"] == 0);
        let found = lives.len();
        lives.extend(ours.filter_map(|event| event["process_id"].as_str().map(str::to_owned)));
        // Newest first: a page without ours, after some with them, is older than the round. An empty one says nothing.
        let past = found > 0 && lives.len() == found && !events.is_empty();
        match page["next_cursor"].as_str() {
            Some(next) if !past => cursor = format!("&cursor={next}"),
            _ => return Ok(lives),
        }
    }
}

/// Says of the first few lives that started what the API has of them in place of an end.
pub(crate) fn describe_unended(
    url: &str,
    starts: &BTreeSet<String>,
    exits: &BTreeSet<String>,
) -> Result<()> {
    let agents: Value = serde_json::from_str(&http::get(url, "/api/v1/agents")?)?;
    let agent_id = agents["agents"][0]["agent_id"]
        .as_str()
        .context("there is no agent")?;
    for life in starts.difference(exits).take(DESCRIBED_LIVES) {
        let path = format!("/api/v1/processes/by-id/{life}?agent_id={agent_id}");
        let whole = http::get(url, &path)?;
        println!("no end with code 0: {whole}");
    }
    Ok(())
}

/// Records lost, by every agent and for every reason.
pub(crate) fn drops(url: &str) -> Result<u64> {
    let agents: Value = serde_json::from_str(&http::get(url, "/api/v1/agents")?)?;
    let agents = agents["agents"]
        .as_array()
        .context("/api/v1/agents has no agents")?;
    let kinds = agents
        .iter()
        .filter_map(|agent| agent["drops"].as_object())
        .flat_map(|drops| drops.values());
    Ok(kinds.filter_map(Value::as_u64).sum())
}
