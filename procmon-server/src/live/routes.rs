//! `GET /live`: the stream that the web UI follows.
#![expect(
    unused_qualifications,
    reason = "written by the macros that describe the routes"
)]

use std::convert::Infallible;
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

use super::stream::{Follower, LiveBody, Step};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::hosts;
use crate::page::Query;

/// A client gets no more than one message of changes in that time.
const PACE: Duration = Duration::from_secs(1);

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
/// that are gone, `agents` is the body of `GET /agents`. About one message a second at most.
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
        changed: app.live.watch(),
        agent_id: parameters.agent_id,
        follower: Follower::default(),
        agents: None,
        sent: 0,
        next: Instant::now(),
        waiting: Vec::new(),
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
    changed: watch::Receiver<u64>,
    follower: Follower,
    /// Who was known, and in what state, when the agents were last sent.
    agents: Option<Vec<(String, super::AgentStatus)>>,
    sent: u64,
    next: Instant,
    /// Last first.
    waiting: Vec<Message>,
    _permit: OwnedSemaphorePermit,
}

impl Client {
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.waiting.pop() {
                return Some(message);
            }
            let shutdown = self.app.shutdown.clone();
            tokio::select! {
                () = tokio::time::sleep_until(self.next) => {}
                () = shutdown.cancelled() => return None,
            }
            self.next = Instant::now() + PACE;
            // Staleness comes with time alone, so every tick looks; it is cheap when nothing changed.
            self.changed.mark_unchanged();
            self.look();
        }
    }

    fn look(&mut self) {
        let now_ms = self.app.clock.now_ms();
        let entries = self.app.live.hosts(self.agent_id.as_deref());
        let first = self.sent == 0;
        let (name, body) = match self.follower.step(&entries, now_ms, first) {
            Step::Snapshot(body) => {
                if !first {
                    self.app.metrics.stream_resync("live");
                }
                ("snapshot", Some(body))
            }
            Step::Delta(body) => ("delta", Some(body)),
            Step::Nothing => ("", None),
        };
        if let Some(body) = body {
            self.sent += 1;
            let data = serde_json::to_string(&body).unwrap_or_default();
            let message = Message::default().event(name).id(self.sent.to_string());
            self.waiting.push(message.data(data));
        }
        self.look_at_agents();
    }

    fn look_at_agents(&mut self) {
        let list = hosts::list(&self.app);
        let known: Vec<_> = list
            .agents
            .iter()
            .map(|agent| (agent.agent_id.clone(), agent.status))
            .collect();
        if self.agents.as_ref() != Some(&known) {
            let data = serde_json::to_string(&list).unwrap_or_default();
            self.waiting
                .push(Message::default().event("agents").data(data));
            self.agents = Some(known);
        }
    }
}
