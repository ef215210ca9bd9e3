//! `GET /live`: the stream that the web UI follows.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Message, Sse};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AgentStatus;
use super::follow::{Follower, Step};
use super::stream::LiveBody;
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::hosts;
use crate::metrics::Stream as StreamKind;
use crate::page::Query;

/// A client is sent changes no more often than that.
const PACE: Duration = Duration::from_secs(1);
/// And so seldom that it takes no more than this part of a processor.
const SHARE: u32 = 20;
/// Hosts grow stale with time alone: that is looked for more seldom.
const STALE_PACE: Duration = Duration::from_secs(3);

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Parameters {
    /// One host; all of them when left out.
    agent_id: Option<String>,
}

/// All processes and how they change (server-sent events)
///
/// `snapshot` replaces everything the client holds, `delta` has rows that are new or changed and the identities of rows
/// that are gone, `agents` is the body of `GET /agents`. With `more` the next message is a part of the same; otherwise about
/// one comes in a second. Nothing is queued for a client: one that reads slowly gets fewer messages with more in them, and one
/// that has missed too much gets a new `snapshot`.
#[utoipa::path(
    get, path = "/live", tag = "processes",
    params(Parameters),
    responses(
        (status = 200, body = LiveBody, content_type = "text/event-stream"),
        (status = 400, description = "A parameter that is not known", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn live(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
) -> Result<impl IntoResponse, Problem> {
    let permit = app.admit_stream()?;
    let client = Client {
        agent_id: parameters.agent_id,
        view: View::default(),
        next: Instant::now(),
        changed: app.live.watch(),
        looked: None,
        waiting: VecDeque::new(),
        app,
        _permit: permit,
    };
    let messages = stream::unfold(client, |mut client| async move {
        let message = client.next().await?;
        Some((Ok::<_, Infallible>(message), client))
    });
    Ok(Sse::new(messages).keep_alive(crate::app::keep_alive()))
}

struct Client {
    app: App,
    agent_id: Option<String>,
    view: View,
    next: Instant,
    changed: watch::Receiver<u64>,
    /// When all hosts were last looked at.
    looked: Option<Instant>,
    waiting: VecDeque<Message>,
    _permit: OwnedSemaphorePermit,
}

/// What the client has been sent.
#[derive(Debug, Default)]
struct View {
    follower: Follower,
    /// Who was known, and in what state, when the agents were last sent.
    agents: Option<Vec<(Arc<str>, AgentStatus)>>,
    sent: u64,
}

impl Client {
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            let shutdown = self.app.shutdown.clone();
            tokio::select! {
                () = tokio::time::sleep_until(self.next) => {}
                () = shutdown.cancelled() => return None,
            }
            let started = Instant::now();
            if !self.may_have_changed(started) {
                self.next = started + PACE;
                continue;
            }
            self.looked = Some(started);
            self.changed.mark_unchanged();
            let view = std::mem::take(&mut self.view);
            let (app, agent_id) = (self.app.clone(), self.agent_id.clone());
            let looked = self
                .app
                .look_at_live(move || view.look(&app, agent_id.as_deref()));
            let (view, waiting) = looked.await?;
            let now = Instant::now();
            self.next = if view.follower.has_more() {
                now
            } else {
                now.max(started + PACE).max(now + (now - started) * SHARE)
            };
            self.view = view;
            self.waiting = waiting;
        }
    }
}

impl Client {
    fn may_have_changed(&self, now: Instant) -> bool {
        self.view.follower.has_more()
            || self.looked.is_none_or(|looked| now - looked >= STALE_PACE)
            // An error says that the server ends.
            || self.changed.has_changed().unwrap_or(true)
    }
}

impl View {
    fn look(mut self, app: &App, agent_id: Option<&str>) -> (Self, VecDeque<Message>) {
        let mut messages = VecDeque::new();
        self.look_at_agents(app, &mut messages);
        let now_ms = app.clock.now_ms();
        let entries = app.live.hosts(agent_id);
        let first = self.sent == 0;
        let (name, body) = match self.follower.step(&entries, now_ms, first) {
            Step::Snapshot { body, resync } => {
                if resync {
                    app.metrics.stream_resync(StreamKind::Live);
                }
                ("snapshot", body)
            }
            Step::Delta(body) => ("delta", body),
            Step::Nothing => return (self, messages),
        };
        self.sent += 1;
        let data = serde_json::to_string(&body).unwrap_or_default();
        let message = Message::default().event(name).id(self.sent.to_string());
        messages.push_back(message.data(data));
        (self, messages)
    }

    fn look_at_agents(&mut self, app: &App, messages: &mut VecDeque<Message>) {
        let now_ms = app.clock.now_ms();
        let hosts = app.live.hosts(None);
        let known: Vec<_> = hosts
            .iter()
            .map(|entry| {
                let status = entry.read().agent.status(now_ms);
                (Arc::clone(&entry.agent_id), status)
            })
            .collect();
        if self.agents.as_ref() != Some(&known) {
            let data = serde_json::to_string(&hosts::list(app)).unwrap_or_default();
            messages.push_back(Message::default().event("agents").data(data));
            self.agents = Some(known);
        }
    }
}
