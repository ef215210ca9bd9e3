//! `/channels` and `/channels/{channel_id}`.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ring::rand::SecureRandom;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::request::ChannelRequest;
use super::view::{ChannelBody, ChannelList};
use crate::app::App;
use crate::delivery::channel::{Channel, Target};
use crate::delivery::directory::MAX_CHANNELS;
use crate::error::{Problem, ProblemBody};
use crate::json_body::JsonBody;
use crate::page::Query;
use crate::store::{ChannelRow, StoreError};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_channels, create_channel))
        .routes(routes!(get_channel, replace_channel, delete_channel))
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

pub(super) fn find(app: &App, channel_id: &str) -> Result<Arc<Channel>, Problem> {
    app.delivery.find(channel_id).ok_or_else(|| {
        Problem::not_found(
            "there is no channel with this id; GET /api/v1/channels lists those there are",
        )
    })
}

/// Who is told of alerts and events
#[utoipa::path(
    get, path = "/channels", tag = "channels",
    responses((status = 200, body = ChannelList)))]
async fn list_channels(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Json<ChannelList> {
    let channels = app.delivery.channels();
    let channels = channels.iter().map(|channel| ChannelBody::new(channel));
    Json(ChannelList {
        channels: channels.collect(),
    })
}

/// A new channel
#[utoipa::path(
    post, path = "/channels", tag = "channels",
    request_body = ChannelRequest,
    responses(
        (status = 201, body = ChannelBody),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A key that is not known, or a value that cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn create_channel(
    State(app): State<App>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBody(request): JsonBody<ChannelRequest>,
) -> Result<impl IntoResponse, Problem> {
    let channel = app.to_its_end(create(app.clone(), request)).await?;
    let place = format!("/api/v1/channels/{}", channel.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(channel),
    ))
}

async fn create(app: App, request: ChannelRequest) -> Result<ChannelBody, Problem> {
    let _changing = app.delivery.changing.lock().await;
    if app.delivery.channels().len() >= MAX_CHANNELS {
        return Err(Problem::conflict(format!(
            "there are {MAX_CHANNELS} channels already, and no more may be; delete one first"
        )));
    }
    let channel_id = new_id().map_err(|error| failed(&error))?;
    let target = request.target(None)?;
    save(&app, channel_id, &request, target, None).await
}

/// One channel
#[utoipa::path(
    get, path = "/channels/{channel_id}", tag = "channels",
    params(("channel_id" = String, Path)),
    responses(
        (status = 200, body = ChannelBody),
        (status = 404, description = "No such channel", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn get_channel(
    State(app): State<App>,
    Path(channel_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<ChannelBody>, Problem> {
    Ok(Json(ChannelBody::new(&*find(&app, &channel_id)?)))
}

/// Changes a channel
///
/// What is left out gets its default, but for `url` and `secret`, which stay as they are.
#[utoipa::path(
    put, path = "/channels/{channel_id}", tag = "channels",
    params(("channel_id" = String, Path)),
    request_body = ChannelRequest,
    responses(
        (status = 200, body = ChannelBody),
        (status = 400, description = "The body is not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such channel", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too long", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A key that is not known, or a value that cannot be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn replace_channel(
    State(app): State<App>,
    Path(channel_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
    JsonBody(request): JsonBody<ChannelRequest>,
) -> Result<Json<ChannelBody>, Problem> {
    let replaced = replace(app.clone(), channel_id, request);
    app.to_its_end(replaced).await.map(Json)
}

async fn replace(
    app: App,
    channel_id: String,
    request: ChannelRequest,
) -> Result<ChannelBody, Problem> {
    let changing = app.delivery.changing.lock().await;
    let before = find(&app, &channel_id)?;
    let known = before.target.as_ref().ok();
    let known = known.map(|ready| (&ready.target, ready.shown_url(before.kind)));
    let target = request.target(known)?;
    let body = save(&app, channel_id.clone(), &request, target, Some(&before)).await?;
    drop(changing);
    if before.row.enabled && !request.enabled {
        app.delivery.disable(&channel_id, "").await?;
    }
    Ok(body)
}

/// Removes a channel and its deliveries
#[utoipa::path(
    delete, path = "/channels/{channel_id}", tag = "channels",
    params(("channel_id" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No such channel", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn delete_channel(
    State(app): State<App>,
    Path(channel_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<StatusCode, Problem> {
    app.to_its_end(delete(app.clone(), channel_id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete(app: App, channel_id: String) -> Result<(), Problem> {
    let _changing = app.delivery.changing.lock().await;
    find(&app, &channel_id)?;
    app.store.delivery().delete_channel(&channel_id).await?;
    app.delivery.forget(&channel_id);
    app.delivery.reload().await?;
    Ok(())
}

async fn save(
    app: &App,
    channel_id: String,
    request: &ChannelRequest,
    target: Target,
    before: Option<&Channel>,
) -> Result<ChannelBody, Problem> {
    let ready = target.ready().map_err(Problem::invalid)?;
    let refused = app.delivery.http.check(&ready.url);
    refused.map_err(|refused| Problem::invalid(format!("url: {refused}")))?;
    let now_ms = app.clock.now_ms();
    let mut settings = request.settings(now_ms)?;
    let was_enabled = before.filter(|before| before.row.enabled);
    if let Some(before) = was_enabled {
        settings.enabled_ms = before.settings.enabled_ms;
    }
    let row = before.map(|before| &before.row);
    // A subscription begins now, and one that goes on is not told twice.
    let event_cursor = match (
        &settings.filter,
        was_enabled.filter(|it| it.filter.is_some()),
    ) {
        (None, _) => None,
        (Some(_), Some(_)) => event_cursor(app, &channel_id).await?,
        (Some(_), None) => Some(app.store.newest().borrow().to_cursor()),
    };
    let target = serde_json::to_vec(&ready.target).context("a channel cannot be written");
    let sealed = target.and_then(|target| app.delivery.key.seal(&channel_id, &target));
    let settings = serde_json::to_string(&settings).context("a channel cannot be written");
    let row = ChannelRow {
        name: request.name()?.to_owned(),
        kind: request.kind.name().to_owned(),
        enabled: request.enabled,
        disabled_reason: String::new(),
        settings: settings.map_err(|error| failed(&error))?,
        sealed: sealed.map_err(|error| failed(&error))?,
        event_cursor,
        created_ms: row.map_or(now_ms, |row| row.created_ms),
        updated_ms: now_ms,
        channel_id,
    };
    match app.store.delivery().save_channel(&row).await {
        Err(StoreError::Exists) => {
            return Err(Problem::conflict(format!(
                "another channel is called {}; choose another name, or change that one with PUT",
                row.name
            )));
        }
        saved => saved?,
    }
    app.delivery.reload().await?;
    Ok(ChannelBody::new(&*find(app, &row.channel_id)?))
}

/// Where a subscription is: it moves on without the list of channels.
async fn event_cursor(app: &App, channel_id: &str) -> Result<Option<String>, Problem> {
    let rows = app.store.delivery().channels().await?;
    let row = rows.into_iter().find(|row| row.channel_id == channel_id);
    Ok(row.and_then(|row| row.event_cursor))
}

fn failed(error: &anyhow::Error) -> Problem {
    tracing::error!("a channel cannot be stored: {error:#}");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the channel cannot be encrypted or stored; see the server's log",
    )
}

fn new_id() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(format!("ch_{:016x}", u64::from_be_bytes(bytes)))
}
