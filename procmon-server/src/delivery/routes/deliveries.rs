//! What channels were told, and the proof that they can be.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::channels::{NoParameters, find};
use super::request::DeliveryParameters;
use super::view::{AttemptBody, DeliveryBody, DeliveryDetail, DeliveryList, TestResult};
use crate::app::App;
use crate::delivery::proof;
use crate::error::{Problem, ProblemBody};
use crate::keyset::{from_cursor, to_cursor};
use crate::page::{self, Query};
use crate::store::{MessageState, OutboxRow};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(test_channel))
        .routes(routes!(list_deliveries))
        .routes(routes!(get_delivery))
        .routes(routes!(replay_delivery))
}

/// Sends a message through a channel now, and tells how it went
///
/// It is sent once, also when the channel is disabled, and listed among the deliveries.
#[utoipa::path(
    post, path = "/channels/{channel_id}/test", tag = "channels",
    params(("channel_id" = String, Path)),
    responses(
        (status = 200, description = "How it went, also when it was not delivered", body = TestResult),
        (status = 404, description = "No such channel", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many tests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn test_channel(
    State(app): State<App>,
    Path(channel_id): Path<String>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<TestResult>, Problem> {
    let channel = find(&app, &channel_id)?;
    let Ok(_place) = app.delivery.proving.try_acquire() else {
        return Err(Problem::unavailable(
            "too many channels are tested at a time; come back when others have ended",
        ));
    };
    let (message_id, result) = proof::test(&app.delivery, &channel).await;
    Ok(Json(TestResult {
        delivered: result.error.is_empty(),
        message_id,
        status: result.status,
        latency_ms: result.latency_ms,
        error: Some(result.error).filter(|error| !error.is_empty()),
        response: Some(result.response).filter(|response| !response.is_empty()),
    }))
}

/// What a channel was told, newest first
#[utoipa::path(
    get, path = "/channels/{channel_id}/deliveries", tag = "channels",
    params(("channel_id" = String, Path), DeliveryParameters),
    responses(
        (status = 200, body = DeliveryList),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such channel", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn list_deliveries(
    State(app): State<App>,
    Path(channel_id): Path<String>,
    Query(parameters): Query<DeliveryParameters>,
) -> Result<Json<DeliveryList>, Problem> {
    find(&app, &channel_id)?;
    let limit = page::limit(parameters.limit)?;
    let state = parameters.state.as_deref().map(|name| {
        MessageState::of_name(name).ok_or_else(|| {
            Problem::bad_request(format!(
                "state is {name}; it must be grouping, pending, delivered or dead"
            ))
        })
    });
    let state = state.transpose()?;
    let before = match &parameters.cursor {
        None => i64::MAX,
        Some(cursor) => from_cursor(cursor).ok_or_else(|| {
            Problem::bad_request(
                "this is not a cursor of deliveries; take next_cursor of a page, or leave it out",
            )
        })?,
    };
    let rows = app.store.delivery();
    // One more than asked for says whether there are others.
    let wanted = limit as i64 + 1;
    let mut found = rows.deliveries(&channel_id, state, before, wanted).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    Ok(Json(DeliveryList {
        next_cursor: last.map(|last| to_cursor(&last.number)),
        deliveries: found.iter().map(DeliveryBody::new).collect(),
    }))
}

async fn delivery(app: &App, channel_id: &str, message_id: &str) -> Result<OutboxRow, Problem> {
    find(app, channel_id)?;
    let rows = app.store.delivery();
    let found = rows.delivery(channel_id, message_id).await?;
    found.ok_or_else(|| {
        Problem::not_found(
            "this channel has no such delivery; those of the last seven days are kept, at most 2000",
        )
    })
}

/// One delivery with its body and every attempt
#[utoipa::path(
    get, path = "/channels/{channel_id}/deliveries/{message_id}", tag = "channels",
    params(("channel_id" = String, Path), ("message_id" = String, Path)),
    responses(
        (status = 200, body = DeliveryDetail),
        (status = 404, description = "No such channel or delivery", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn get_delivery(
    State(app): State<App>,
    Path((channel_id, message_id)): Path<(String, String)>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<DeliveryDetail>, Problem> {
    let row = delivery(&app, &channel_id, &message_id).await?;
    let attempts = app.store.delivery().attempts(&message_id).await?;
    Ok(Json(DeliveryDetail {
        delivery: DeliveryBody::new(&row),
        body: serde_json::from_str(&row.body).unwrap_or_default(),
        attempt_list: attempts.iter().map(AttemptBody::new).collect(),
    }))
}

/// Sends a message again, with the id that it had
#[utoipa::path(
    post, path = "/channels/{channel_id}/deliveries/{message_id}/replay", tag = "channels",
    params(("channel_id" = String, Path), ("message_id" = String, Path)),
    responses(
        (status = 202, description = "It is sent, and listed with what comes of it", body = DeliveryBody),
        (status = 404, description = "No such channel or delivery", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It waits to be sent already, or the channel is disabled", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It cannot be stored now: see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn replay_delivery(
    State(app): State<App>,
    Path((channel_id, message_id)): Path<(String, String)>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<(StatusCode, Json<DeliveryBody>), Problem> {
    delivery(&app, &channel_id, &message_id).await?;
    if !find(&app, &channel_id)?.row.enabled {
        return Err(Problem::conflict(
            "the channel is disabled: enable it with PUT, and replay then",
        ));
    }
    let replayed = replay(app.clone(), channel_id.clone(), message_id.clone());
    app.to_its_end(replayed).await?;
    let row = delivery(&app, &channel_id, &message_id).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryBody::new(&row))))
}

async fn replay(app: App, channel_id: String, message_id: String) -> Result<(), Problem> {
    let rows = app.store.delivery();
    let now_ms = app.clock.now_ms();
    if !rows.replay(&channel_id, &message_id, now_ms).await? {
        return Err(Problem::conflict("it waits to be sent already"));
    }
    app.delivery.wake(std::iter::once(&*channel_id));
    Ok(())
}
