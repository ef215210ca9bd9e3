//! The agent's own `/metrics` and `/healthz`, for scrapers and orchestrators. They tell how the agent is doing, and nothing
//! of any process: no name, no argv, no pid.

mod connection;
mod metrics;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use procmon_common::exposition;
use tokio_util::sync::CancellationToken;

use crate::privileges::Privileges;
use crate::ship::{Link, ShipState};
use crate::vitals::Vitals;
use connection::Bounded;

/// What is told.
#[derive(Clone, Debug)]
pub struct Told {
    pub vitals: Arc<Vitals>,
    pub ship: Arc<ShipState>,
    /// `None` when hardening is off.
    pub privileges: Option<Privileges>,
}

/// Takes the address, which may need a privilege: a port below 1024 does.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {address}; is it in use, or not of this host? Change --listen")
    })?;
    listener.set_nonblocking(true)?;
    // Port 0 is any that is free.
    let address = listener.local_addr()?;
    tracing::info!("metrics at http://{address}/metrics");
    if !address.ip().is_loopback() {
        tracing::info!(
            "they are served to everyone who can reach {address}, and hold numbers of the agent only"
        );
    }
    Ok(listener)
}

/// Serves until `shutdown`.
pub async fn run(listener: TcpListener, told: Told, shutdown: CancellationToken) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let routes = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(health_page))
        .with_state(told);
    tokio::select! {
        result = axum::serve(Bounded::new(listener), routes) => result?,
        () = shutdown.cancelled() => {}
    }
    Ok(())
}

async fn metrics_page(State(told): State<Told>, headers: HeaderMap) -> Response {
    let Ok(text) = metrics::encode(told) else {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written; please report it with the agent's log\n",
        )
            .into_response();
    };
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let (content_type, text) = exposition::negotiate(accept, text);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// 503 when the agent cannot do its work and somebody has to act. A server that is away for a while is neither: the spool
/// is for that, and a restart would not help.
async fn health_page(State(told): State<Told>) -> Response {
    let mut reasons = told.vitals.failures();
    if let Link::Held(reason) = told.ship.link() {
        reasons.push(format!(
            "the server takes nothing from this agent: {reason}"
        ));
    }
    let (status, word) = if reasons.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "failing")
    };
    let body = serde_json::json!({ "status": word, "reasons": reasons });
    (status, Json(body)).into_response()
}
