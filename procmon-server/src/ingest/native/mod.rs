//! Batches of procmon's own agent.

pub(super) mod interval;
pub(super) mod text;

use std::sync::Arc;

use procmon_common::ids::BootId;
use procmon_common::wire::{self, Ack};
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;

use super::limits::IngestLimits;
use super::prepare::{AgentNews, Prepared, prepare};
use super::{Admitted, aside, body, commit};
use crate::app::App;
use crate::error::Problem;
use crate::live::apply::Place;
use crate::live::{Agent, AgentStatus, HostEntry};
use crate::metrics::Reject;
use crate::store::Door;

/// For agents that do not say how often they sample.
const DEFAULT_INTERVAL_MS: u32 = 5_000;
const MAX_INTERVAL_MS: u32 = 3_600_000;
/// A request body with what its headers say of it.
pub(super) struct Request {
    pub(super) admitted: Admitted,
    pub(super) sent_ms: Option<i64>,
}

pub(super) async fn take(app: App, agent_id: String, request: Request) -> Result<Ack, Problem> {
    let sent_ms = request.sent_ms;
    let (batch, heavy) = decode(&app, &request.admitted).await?;
    let boot = check_head(&agent_id, &batch)?;
    let entry = app
        .live
        .entry(&agent_id)
        .ok_or_else(super::routes::too_many_agents)?;
    let mut restored = entry.order.lock().await;
    entry.restore(&mut restored, &app.store).await?;
    // Read after the wait for the batches before: times of receipt only grow within an agent.
    let received_ms = app.clock.now_ms();
    check_machine(&entry.read().agent, &batch, boot, received_ms)?;
    let place = Place {
        epoch: batch.epoch,
        seq: batch.seq,
        received_ms,
    };
    if let Some(ack) = repeated(&app, &entry, place).await? {
        return Ok(ack);
    }
    check_epoch(&entry, place)?;
    let limits = *app.live.limits();
    let host = Arc::clone(&entry);
    let work = move || prepare_native(&host, batch, boot, sent_ms, &limits);
    let prepared = if heavy.is_some() {
        aside(work).await?
    } else {
        work()?
    };
    // What is left of it is small.
    drop(heavy);
    commit(&app, &entry, prepared, place).await
}

/// The batch of a body. A large one takes a turn, which its caller keeps for as long as it works on it.
async fn decode(
    app: &App,
    admitted: &Admitted,
) -> Result<(wire::Batch, Option<OwnedSemaphorePermit>), Problem> {
    let (body, encoding) = (&admitted.body, admitted.encoding);
    if let Some(plain) = body::decompress_small(body, encoding) {
        admitted.charge_content(plain.len());
        return Ok((parse(plain)?, None));
    }
    let turn = app.heavy_turn().await?;
    let limit = app.live.limits().content_bytes;
    let body = body.clone();
    let decoded = aside(move || {
        let plain = body::decompress(body, encoding, limit)?;
        let bytes = plain.len();
        Ok((parse(plain)?, bytes))
    })
    .await;
    match decoded {
        Ok((batch, bytes)) => {
            admitted.charge_content(bytes);
            Ok((batch, Some(turn)))
        }
        Err(problem) => {
            // It was decompressed up to the limit for nothing.
            if problem.reject() == Reject::ContentSize {
                admitted.charge_content(limit as usize);
            }
            Err(problem)
        }
    }
}

fn parse(plain: axum::body::Bytes) -> Result<wire::Batch, Problem> {
    wire::Batch::decode(plain).map_err(|error| {
        Problem::bad_request(format!("the body is not a procmon.v1.Batch: {error}"))
    })
}

fn check_head(agent_id: &str, batch: &wire::Batch) -> Result<BootId, Problem> {
    if batch.agent_id.is_empty() {
        return Err(Problem::bad_request(
            "the batch has no agent_id: is the body empty, or no procmon.v1.Batch?",
        ));
    }
    if batch.agent_id != agent_id {
        return Err(Problem::conflict(format!(
            "the path names agent {agent_id}, the batch another; send it to /api/v1/agents/<its agent_id>/batches"
        )));
    }
    if batch.epoch == 0 || batch.epoch > i64::MAX as u64 {
        return Err(Problem::invalid(
            "epoch must be the agent's start in Unix nanoseconds",
        ));
    }
    if batch.seq == 0 || batch.seq > i64::MAX as u64 {
        return Err(Problem::invalid("seq must count from 1"));
    }
    if !matches!(batch.machine_id.len(), 0 | 16) {
        return Err(Problem::invalid("machine_id must have 16 bytes, or none"));
    }
    BootId::from_bytes(&batch.boot_id).ok_or_else(|| Problem::invalid("boot_id must have 16 bytes"))
}

/// Refuses a second machine under a name that is in use.
fn check_machine(
    agent: &Agent,
    batch: &wire::Batch,
    boot: BootId,
    now_ms: i64,
) -> Result<(), Problem> {
    let in_use =
        agent.heard() && agent.door == Door::Native && agent.status(now_ms) == AgentStatus::Live;
    let other = if agent.machine_id.is_empty() || batch.machine_id.is_empty() {
        agent.boot_id.is_some_and(|known| known != boot)
    } else {
        agent.machine_id != *batch.machine_id
    };
    if in_use && other {
        return Err(Problem::conflict(format!(
            "another live machine uses the agent_id {}; give each host its own with --agent-id, or stop the other agent \
             and wait {} s",
            batch.agent_id,
            agent.patience_ms() / 1000
        )));
    }
    Ok(())
}

/// Refuses a second agent of the same machine: it shows itself by a batch of an epoch that another one replaced.
fn check_epoch(entry: &HostEntry, place: Place) -> Result<(), Problem> {
    let host = entry.read();
    if host.is_superseded(place.epoch) && host.agent.status(place.received_ms) == AgentStatus::Live
    {
        return Err(Problem::conflict(format!(
            "another agent on this machine reports as {} since; stop one of them, or give each its own --agent-id",
            entry.agent_id
        )));
    }
    Ok(())
}

/// The answer to a batch that is stored already.
async fn repeated(app: &App, entry: &HostEntry, place: Place) -> Result<Option<Ack>, Problem> {
    let (epoch, durable_seq, synced) = {
        let host = entry.read();
        (host.epoch, host.durable_seq, host.synced)
    };
    let (watermark, resync) = if epoch == place.epoch {
        (Some(durable_seq), !synced)
    } else {
        let stored = app.store.watermark(&entry.agent_id, place.epoch).await?;
        (stored, false)
    };
    Ok(watermark
        .filter(|watermark| place.seq <= *watermark)
        .map(|durable_seq| Ack {
            epoch: place.epoch,
            durable_seq,
            resync,
            received_unix_ms: place.received_ms,
        }))
}

fn prepare_native(
    entry: &HostEntry,
    batch: wire::Batch,
    boot: BootId,
    sent_ms: Option<i64>,
    limits: &IngestLimits,
) -> Result<Prepared, Problem> {
    let news = AgentNews {
        door: Door::Native,
        machine_id: batch.machine_id.to_vec(),
        boot_id: Some(boot),
        interval_ms: match batch.interval_ms {
            0 => DEFAULT_INTERVAL_MS,
            given => given.min(MAX_INTERVAL_MS),
        },
        built_ms: batch.built_unix_ns.div_euclid(1_000_000),
        sent_ms,
        health: batch.health.as_ref().map(text::health),
    };
    let (batch, departed, resync) = prepare(batch, boot, &entry.read(), limits)?;
    Ok(Prepared::new(batch, departed, resync, news))
}
