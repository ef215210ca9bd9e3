//! The two ways in. Both end in the same internal batch, which is checked, stored, and only then applied: a batch that is
//! refused at any point has changed nothing. No SQL lives here.

mod body;
pub mod limits;
mod native;
mod prepare;
pub mod routes;
mod upload;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use procmon_common::wire::Ack;

use crate::app::App;
use crate::error::Problem;
use crate::live::apply::Place;
use crate::live::{CHANGED, Host, HostEntry, NEWS};
use crate::store::Append;
use prepare::Prepared;

/// A span of handles older than that is renewed, so that a restart finds one within reach.
const RENEW_SPAN_MS: i64 = 600_000;

/// Stores a prepared batch, and then applies it. The order of the agent's batches is held by the caller.
async fn commit(
    app: &App,
    entry: &HostEntry,
    mut prepared: Prepared,
    place: Place,
) -> Result<Ack, Problem> {
    let append = to_append(entry, &mut prepared, place);
    app.store.append(append).await?;
    if let Some(frame) = &prepared.batch.frame {
        let taken_ms = frame.ts_ns.div_euclid(1_000_000);
        app.store
            .note_snapshot(&entry.agent_id, taken_ms, place.received_ms);
    }
    let (resync, unsaved) = {
        let mut host = entry.write();
        let unsaved = if is_news(&host, &prepared.agent, place) {
            NEWS
        } else {
            CHANGED
        };
        let had_key = prepared.batch.key;
        host.apply(&prepared.batch, place, prepared.departed);
        note_agent(&mut host.agent, prepared.agent, place.received_ms);
        let renew = host.synced
            && !host.span_open
            && place.received_ms.saturating_sub(host.key_ms) > RENEW_SPAN_MS;
        let resync = prepared.resync || renew || (!host.synced && !had_key);
        (resync, unsaved)
    };
    entry.unsaved.fetch_max(unsaved, Ordering::Release);
    app.live.notify();
    Ok(Ack {
        epoch: place.epoch,
        durable_seq: place.seq,
        resync,
        received_unix_ms: place.received_ms,
    })
}

fn to_append(entry: &HostEntry, prepared: &mut Prepared, place: Place) -> Append {
    let body = std::mem::take(&mut prepared.body);
    Append::new(
        Arc::clone(&entry.agent_id),
        (place.epoch, place.seq),
        place.received_ms,
        &prepared.batch,
        body,
    )
}

/// Whether the table of agents has to know of it soon.
fn is_news(host: &Host, news: &prepare::AgentNews, place: Place) -> bool {
    let agent = &host.agent;
    agent.first_seen_ms == 0
        || host.epoch != place.epoch
        || agent.door != news.door
        || agent.machine_id != news.machine_id
        || agent.boot_id != news.boot_id
}

fn note_agent(agent: &mut crate::live::Agent, news: prepare::AgentNews, received_ms: i64) {
    if agent.first_seen_ms == 0 {
        agent.first_seen_ms = received_ms;
    }
    agent.last_seen_ms = received_ms;
    agent.door = news.door;
    agent.machine_id = news.machine_id;
    agent.boot_id = news.boot_id;
    agent.interval_ms = news.interval_ms;
    if let Some(health) = news.health {
        agent.note_health(health);
    }
    agent.last_built_ms = news.built_ms;
    agent.note_times(news.built_ms, news.sent_ms, received_ms);
}

/// Runs an upload to its end even if the client goes away in the middle, so that what is stored is also applied.
async fn detached<T: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let finished = app.uploads.spawn(work).await;
    finished.unwrap_or_else(|error| Err(failed(&error)))
}

/// Runs computation that may take long where it delays nobody.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let finished = tokio::task::spawn_blocking(work).await;
    finished.unwrap_or_else(|error| Err(failed(&error)))
}

fn failed(error: &tokio::task::JoinError) -> Problem {
    tracing::error!(%error, "an upload ended unexpectedly");
    Problem::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "the server failed at this batch; please report it with the server's log",
    )
}

/// Counts a request under its way in and its outcome.
fn count<T>(
    app: &App,
    door: crate::store::Door,
    started: Instant,
    bytes: usize,
    outcome: &Result<T, Problem>,
) {
    let reject = outcome.as_ref().err().map(Problem::reject);
    app.metrics.ingest(door, reject, bytes, started.elapsed());
}

/// A body that was read within its agent's limits. It holds what it took of them until it was worked on.
struct Admitted {
    body: axum::body::Bytes,
    encoding: body::Encoding,
    /// None for an agent that is not known yet.
    turn: Option<limits::Turn>,
    _memory: limits::Held,
}

impl Admitted {
    /// Charges what the body was when decompressed, beyond what was charged when it arrived.
    fn charge_content(&self, content_bytes: usize) {
        if let Some(turn) = &self.turn {
            turn.charge_bytes(content_bytes.saturating_sub(self.body.len()));
        }
    }
}

/// Reads a body within the limits of its agent.
async fn admit(
    app: &App,
    agent_id: &str,
    headers: &axum::http::HeaderMap,
    body: &mut axum::body::Body,
) -> Result<Admitted, Problem> {
    let encoding = body::encoding(headers)?;
    let gate = app.live.gate(agent_id);
    let turn = gate
        .map(|gate| gate.enter(app.clock.now_ms()))
        .transpose()?;
    let mut memory = app.body_memory.hold_nothing();
    let limit = app.live.limits().body_bytes;
    let body = body::read(headers, body, limit, &mut memory).await?;
    if let Some(turn) = &turn {
        turn.charge_bytes(body.len());
    }
    Ok(Admitted {
        body,
        encoding,
        turn,
        _memory: memory,
    })
}
