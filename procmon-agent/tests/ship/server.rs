//! A server that answers as it is told, and remembers what it stored.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use procmon_common::wire::{self, Ack};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    Problem(u16, &'static str),
    RetryAfter(u16, &'static str),
    Text(&'static str),
    Resync,
    /// Stored, and so are later ones, it says.
    Ahead,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Answers in order; then every batch is stored.
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) requests: u64,
    /// (agent, epoch, seq) in the order in which they were stored.
    pub(crate) stored: Vec<(String, u64, u64)>,
    pub(crate) authorization: Option<String>,
    /// What it says to have; nothing, as a server that knows of none.
    pub(crate) dictionaries: Option<String>,
    /// Whether each batch that was stored came with a dictionary.
    pub(crate) with_dictionary: Vec<bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Server(pub(crate) Arc<Mutex<Script>>);

impl Server {
    pub(crate) fn answering(replies: &[Reply]) -> Self {
        let server = Self::default();
        server.script().replies = replies.iter().cloned().collect();
        server
    }

    pub(crate) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().expect("no panic while held")
    }

    pub(crate) fn stored(&self) -> Vec<u64> {
        self.script()
            .stored
            .iter()
            .map(|(_, _, seq)| *seq)
            .collect()
    }

    /// Listens on a port of its own, or on a given one.
    pub(crate) async fn start(&self, port: u16) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new()
            .route("/api/v1/agents/{agent_id}/batches", post(take))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

async fn take(
    State(server): State<Server>,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let needed = wire::dictionary_of(&body);
    let known = server.script().dictionaries.clone();
    let list = known.clone().unwrap_or_default();
    let unknown = needed.is_some_and(|id| !list.split(',').any(|known| known == id.to_string()));
    let mut response = if unknown {
        server.script().requests += 1;
        // A server that knows of dictionaries says so; to another it is not zstd.
        status(if known.is_some() { 415 } else { 400 }).into_response()
    } else {
        take_readable(&server, agent_id, &headers, &body)
    };
    if known.is_some() {
        let value = list.parse().expect("a header");
        response
            .headers_mut()
            .insert(wire::DICTIONARIES_HEADER, value);
    }
    response
}

fn take_readable(server: &Server, agent_id: String, headers: &HeaderMap, body: &[u8]) -> Response {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["content-encoding"], "zstd");
    let batch = wire::decode(body, wire::MAX_DECODED_BYTES).expect("a batch");
    let mut script = server.script();
    script.requests += 1;
    script.authorization = headers
        .get("authorization")
        .map(|value| value.to_str().expect("text").to_owned());
    let reply = script.replies.pop_front();
    let resync = matches!(reply, Some(Reply::Resync));
    let durable_seq = match reply {
        Some(Reply::Ahead) => u64::MAX,
        _ => batch.seq,
    };
    match reply {
        None | Some(Reply::Resync | Reply::Ahead) => {}
        Some(Reply::Status(code)) => return status(code).into_response(),
        Some(Reply::Text(text)) => return text.into_response(),
        Some(Reply::RetryAfter(code, value)) => {
            return (status(code), [("retry-after", value)]).into_response();
        }
        Some(Reply::Problem(code, detail)) => {
            let body = serde_json::json!({"title": "No", "status": code, "detail": detail});
            return (status(code), axum::Json(body)).into_response();
        }
    }
    let id = (agent_id, batch.epoch, batch.seq);
    assert_eq!(id.0, batch.agent_id, "the path and the batch agree");
    script.stored.push(id);
    script
        .with_dictionary
        .push(wire::dictionary_of(body).is_some());
    axum::Json(Ack {
        epoch: batch.epoch,
        durable_seq,
        resync,
        received_unix_ms: 5_000_000_000_000,
    })
    .into_response()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("a status")
}
