//! Connections: accepted within bounds, given their time, and ended in good order.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::routing::router;
use crate::stall::Impatient;

/// Connections open at a time; more wait to be accepted. Every agent keeps one open, and so one that waits is heard of only
/// when another goes: this is well above the agents that one server is meant for. An idle one takes some 20 KiB.
const CONNECTIONS: usize = 16_384;
/// Files that are not connections: of the store, the log, the listener.
const OTHER_FILES: u64 = 512;
/// For the head of a request, from the first byte or from the end of the answer before.
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
/// With a client that takes nothing of what is sent to it.
const SEND_PATIENCE: Duration = Duration::from_mins(1);
/// After a failed accept, which usually means that this process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lets this process have as many files open as the system allows it, which is far more than it starts with: each connection is
/// one. Returns how many connections fit.
fn raise_file_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = (CONNECTIONS as u64).saturating_add(OTHER_FILES);
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted.min(allowed));
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files (ulimit -n) stays as it is");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(OTHER_FILES).max(files / 2);
    if connections < CONNECTIONS as u64 {
        tracing::warn!(
            "room for {connections} connections only, and every agent keeps one open: raise the limit of open files \
             (LimitNOFILE= of systemd, ulimit -n) above {wanted}"
        );
    }
    usize::try_from(connections).map_or(CONNECTIONS, |connections| connections.min(CONNECTIONS))
}

/// Serves until the shutdown, and then until the last answer is sent.
pub async fn run(
    app: App,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stalled = app.metrics.stalled_connections().clone();
    let service = TowerToHyperService::new(router(app));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(raise_file_limit()));
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            // Ended ones are forgotten as they end.
            Some(_) = connections.join_next() => continue,
            () = shutdown.cancelled() => break,
        };
        let stream = Impatient::new(stream, SEND_PATIENCE, stalled.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Never closed, so there is always a place in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Events are small and urgent.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection stays with delayed sending");
                }
                return (stream, place);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
