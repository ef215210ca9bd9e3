//! A whole server: opens the store, starts the tasks, and stops them in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::live::Live;
use crate::store::Store;
use crate::{alerts, compaction, delivery, http, retention};

/// For requests under way to end.
const REQUESTS_DEADLINE: Duration = Duration::from_secs(3);
/// For what was accepted to be stored.
const STORE_DEADLINE: Duration = Duration::from_secs(2);

/// Serves until `shutdown`. An error when a task ends before.
pub async fn run(
    config: Config,
    listener: TcpListener,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let place = config.place()?;
    let (store, writer) = Store::open_within(place, clock.clone(), config.limits()).await?;
    let live = Arc::new(Live::new(clock.clone(), config.ingest_limits));
    live.restore(&store)
        .await
        .context("cannot read back what was stored before")?;
    let directory = delivery::Directory::open(
        store.clone(),
        clock.clone(),
        delivery::KeyFile::new(config.key_file.clone()),
        config.webhook_allow.clone(),
    );
    let directory = directory
        .await
        .context("cannot read back who is told of alerts")?;
    let app = App::new(
        store,
        live,
        Arc::new(directory),
        clock,
        &config,
        shutdown.clone(),
    );
    alerts::engine::restore(&app)
        .await
        .context("cannot read back the alerts")?;

    let mut tasks = JoinSet::new();
    // The writer outlives the requests: what they hand over is still to be stored.
    let writer_shutdown = CancellationToken::new();
    let writer_token = writer_shutdown.clone();
    tasks.spawn(async move { ("writer", writer.run(writer_token).await) });
    let maintenance = retention::run(app.clone(), shutdown.clone());
    tasks.spawn(async move { ("maintenance", maintenance.await) });
    let evaluation = alerts::engine::run(app.clone(), shutdown.clone());
    tasks.spawn(async move { ("alerts", evaluation.await) });
    let stats = Arc::clone(&app.compaction);
    let compaction = compaction::run(app.store.clone(), stats, shutdown.clone());
    tasks.spawn(async move { ("compaction", compaction.await) });
    let sender = delivery::run_sender(Arc::clone(&app.delivery), shutdown.clone());
    tasks.spawn(async move { ("delivery", sender.await) });
    let subscriptions = delivery::run_subscriptions(Arc::clone(&app.delivery), shutdown.clone());
    tasks.spawn(async move { ("subscription", subscriptions.await) });
    let http = http::run(app.clone(), listener, shutdown.clone());
    tasks.spawn(async move { ("http", http.await) });

    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => match ended {
            // It heard of the shutdown before this one did.
            Ok((_, Ok(()))) if shutdown.is_cancelled() => Ok(()),
            ended => Err(unexpected(ended)),
        },
    };
    shutdown.cancel();
    stop(&app, tasks, &writer_shutdown).await;
    ended
}

fn unexpected(
    ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>,
) -> anyhow::Error {
    match ended {
        Ok((task, Ok(()))) => anyhow!("the {task} task ended although nothing asked it to"),
        Ok((task, Err(error))) => error.context(format!("the {task} task failed")),
        Err(error) => anyhow::Error::new(error).context("a task panicked"),
    }
}

type Tasks = JoinSet<(&'static str, anyhow::Result<()>)>;

/// First the requests end, then the writer stores what they left, then the files are closed.
async fn stop(app: &App, mut tasks: Tasks, writer_shutdown: &CancellationToken) {
    app.uploads.close();
    let requests = async {
        while tasks.len() > 1 && tasks.join_next().await.is_some() {}
        app.uploads.wait().await;
    };
    if timeout(REQUESTS_DEADLINE, requests).await.is_err() {
        tracing::warn!("some requests did not end in time; they are cut off");
    }
    writer_shutdown.cancel();
    let store = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok((task, Err(error))) = ended {
                tracing::error!("the {task} task failed while stopping: {error:#}");
            }
            if tasks.len() <= 1 && !app.store.writer_alive() {
                break;
            }
        }
        if let Err(error) = app.live.save(&app.store).await {
            tracing::warn!(%error, "what agents last said could not be written down");
        }
        app.store.close().await;
    };
    if timeout(STORE_DEADLINE, store).await.is_err() {
        tracing::warn!(
            "the store did not close in time; what was acknowledged is durable all the same"
        );
    }
    tasks.abort_all();
}
