//! What the API shows of a run, read with a deserializer of the few fields that are counted.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use procmon_load::connection::Connection;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Attempts at a page, while a server catches up.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
pub(super) struct EventPage<'a> {
    #[serde(borrow)]
    pub(super) events: Vec<Event<'a>>,
    #[serde(borrow)]
    pub(super) next_cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) agent_id: Cow<'a, str>,
    pub(super) pid: Option<u32>,
    pub(super) exit_code: Option<u32>,
    pub(super) signal: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
}

#[derive(Deserialize)]
pub(super) struct Agent {
    pub(super) agent_id: String,
    pub(super) processes: usize,
}

#[derive(Deserialize)]
pub(super) struct Processes {
    pub(super) processes: Vec<Process>,
}

#[derive(Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) cpu_time_ms: Option<u64>,
    pub(super) memory_rss: Option<u64>,
    pub(super) voluntary_switches: Option<u64>,
    pub(super) minor_faults: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct History {
    pub(super) points: Vec<serde_json::Value>,
}

/// The body of a page below /api/v1; `None` when there is no such page.
pub(super) async fn page(connection: &mut Connection, path: &str) -> Result<Option<Vec<u8>>> {
    let mut attempt = 1;
    loop {
        let answer = connection.get(&format!("/api/v1{path}")).await;
        match answer {
            Ok(answer) if answer.status == 200 => return Ok(Some(answer.body)),
            Ok(answer) if answer.status == 404 => return Ok(None),
            Ok(answer) => {
                let body = String::from_utf8_lossy(&answer.body);
                bail!("{path}: {} {body}", answer.status);
            }
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error).with_context(|| path.to_owned()),
        }
    }
}

pub(super) async fn read<T: DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
) -> Result<Option<T>> {
    let Some(body) = page(connection, path).await? else {
        return Ok(None);
    };
    let read =
        serde_json::from_slice(&body).with_context(|| format!("{path} is not what it was"))?;
    Ok(Some(read))
}
