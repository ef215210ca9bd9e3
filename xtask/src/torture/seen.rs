//! What the API says of a storm: which lives it has, what it says was not seen, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;

use super::arena::AGENT_ID;
use crate::http;

/// How long the last events may take to appear, and for how long nothing new may come before that is believed.
const ARRIVAL_LIMIT: Duration = Duration::from_mins(1);
const QUIET: Duration = Duration::from_secs(6);

/// Events of one kind, of the storm's command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The numbers among the arguments.
    pub(super) numbers: BTreeSet<u64>,
    /// Lives, with or without arguments.
    pub(super) lives: u64,
    /// Events beyond one for each life.
    pub(super) repeated: u64,
    /// Deduced from two samples.
    pub(super) sampled: u64,
}

/// A time in which something was not seen.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub(super) from_ns: i64,
    pub(super) until_ns: i64,
    pub(super) kind: String,
    pub(super) reason: String,
    pub(super) count: u64,
    /// Whose records they were, where that is known.
    pub(super) command: Option<String>,
}

pub(super) struct Seen {
    pub(super) starts: Told,
    pub(super) exits: Told,
    pub(super) gaps: Vec<Gap>,
    /// As the agent counts them, by kind and reason.
    pub(super) drops: BTreeMap<String, u64>,
}

impl Seen {
    /// Waits until all is there, or nothing new comes any more.
    pub(super) fn wait(url: &str, name: &str, expected: usize) -> Result<Self> {
        let deadline = Instant::now() + ARRIVAL_LIMIT;
        let mut latest = Told::default();
        let mut changed_at = Instant::now();
        loop {
            let exits = told(url, "exit", name)?;
            if exits != latest {
                (latest, changed_at) = (exits, Instant::now());
            }
            let complete = latest.lives >= expected as u64;
            if complete || changed_at.elapsed() > QUIET || Instant::now() > deadline {
                break;
            }
            thread::sleep(Duration::from_millis(500));
        }
        let agent = agent(url)?;
        let mut gaps = gaps_of(&agent)?;
        gaps.extend(losses(url)?);
        Ok(Self {
            starts: told(url, "exec", name)?,
            exits: told(url, "exit", name)?,
            gaps,
            drops: serde_json::from_value(agent["drops"].clone()).unwrap_or_default(),
        })
    }

    /// Records of a kind that the kernel's programs could not hand over, of this command where that is told.
    pub(super) fn lost(&self, kind: &str, name: &str) -> Lost {
        let of_kind = || self.gaps.iter().filter(|gap| gap.kind == kind);
        let by_command = of_kind().filter(|gap| gap.command.as_deref() == Some(name));
        let anybody = of_kind().filter(|gap| gap.command.is_none());
        Lost {
            of_command: by_command.map(|gap| gap.count).sum(),
            of_unknown: anybody.map(|gap| gap.count).sum(),
        }
    }
}

/// Lost records by what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) of_command: u64,
    /// Of anybody on this host.
    pub(super) of_unknown: u64,
}

/// The agent as the API describes it.
pub(super) fn agent(url: &str) -> Result<Value> {
    let text = http::get(url, &format!("/api/v1/agents/{AGENT_ID}"))?;
    serde_json::from_str(&text).context("the agent in the API is not JSON")
}

fn told(url: &str, kind: &str, name: &str) -> Result<Told> {
    let mut told = Told::default();
    let mut lives = BTreeSet::new();
    for event in events(url, &format!("type={kind}&name={name}"))? {
        let argument = event["args"][1].as_str();
        told.numbers
            .extend(argument.and_then(|text| text.parse::<u64>().ok()));
        told.sampled += u64::from(event["observed"] == "sample");
        let id = event["process_id"].as_str().unwrap_or_default();
        told.repeated += u64::from(!lives.insert(id.to_owned()));
    }
    told.lives = lives.len() as u64;
    Ok(told)
}

fn losses(url: &str) -> Result<Vec<Gap>> {
    let events = events(url, "type=loss")?;
    let gaps = events.iter().map(|event| {
        Ok(Gap {
            from_ns: unix_ns(&event["from"])?,
            until_ns: unix_ns(&event["until"])?,
            kind: text(&event["loss_kind"]),
            reason: text(&event["loss_reason"]),
            count: event["loss_count"].as_u64().unwrap_or_default(),
            command: event["command"].as_str().map(str::to_owned),
        })
    });
    gaps.collect()
}

/// Those that are no events: times without an agent.
fn gaps_of(agent: &Value) -> Result<Vec<Gap>> {
    let gaps = agent["coverage"]["gaps"].as_array();
    let gaps = gaps.into_iter().flatten();
    let down = gaps.filter(|gap| gap["reason"] == "agent_down");
    down.map(|gap| {
        Ok(Gap {
            from_ns: unix_ns(&gap["from"])?,
            until_ns: unix_ns(&gap["to"])?,
            kind: text(&gap["kind"]),
            reason: text(&gap["reason"]),
            count: gap["count"].as_u64().unwrap_or_default(),
            command: None,
        })
    })
    .collect()
}

/// All pages of a query.
fn events(url: &str, query: &str) -> Result<Vec<Value>> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = http::get(url, &format!("/api/v1/events?{query}&limit=10000{cursor}"))?;
        let mut page: Value = serde_json::from_str(&page).context("/api/v1/events is not JSON")?;
        if let Some(found) = page["events"].as_array_mut() {
            events.append(found);
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(events),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn unix_ns(value: &Value) -> Result<i64> {
    let time: Timestamp = value.as_str().context("a gap without a time")?.parse()?;
    Ok(i64::try_from(time.as_nanosecond())?)
}
