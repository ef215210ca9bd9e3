//! `GET /events` and `GET /events/stream`.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::filter::{Filter, Parameters};
use super::{EventBody, stream};
use crate::app::App;
use crate::error::{Problem, ProblemBody};
use crate::page::{self, Query};
use crate::query::Meter;
use crate::store::Position;

/// Batches read at a time.
const CHUNK: u32 = 64;
/// How long one request may look for events that match. Then it answers with what it found and a cursor to go on.
const PATIENCE: Duration = Duration::from_millis(500);

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_events))
        .routes(routes!(stream_events))
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    pub events: Vec<EventBody>,
    /// Null when there are no older ones. A page may be short, even empty, and still have a next one.
    pub next_cursor: Option<String>,
}

/// Past events, newest first
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(Parameters),
    responses(
        (status = 200, body = EventList),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many requests at a time", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn list_events(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<EventList>, Problem> {
    let limit = page::limit(parameters.limit)?;
    let mut before = match &parameters.cursor {
        Some(cursor) => Position::from_cursor(cursor).ok_or_else(wrong_cursor)?,
        None => *app.store.newest().borrow(),
    };
    let filter = Filter::new(&parameters)?;
    let _turn = app.past_turn().await?;
    let query = filter.query();
    let started = Instant::now();
    let mut page = Page {
        limit,
        ..Page::default()
    };
    let meter = Meter::default();
    loop {
        let (batches, next) = app.store.events_before(&query, before, CHUNK).await?;
        for stored in &batches {
            for (index, event) in stored.events.iter().enumerate().rev() {
                let position = Position {
                    slice: stored.slice,
                    batch: stored.batch,
                    index: index as u32,
                };
                if position < before
                    && filter.matches(stored, event, &meter)
                    && page.is_full_with(position, || EventBody::new(stored, position, event))
                {
                    return Ok(Json(page.into_list(None)));
                }
            }
        }
        if meter.exhausted() {
            return Err(Problem::too_costly());
        }
        let Some(next) = next else {
            return Ok(Json(page.into_list(None)));
        };
        before = next;
        if started.elapsed() > PATIENCE {
            return Ok(Json(page.into_list(Some(before))));
        }
    }
}

#[derive(Default)]
struct Page {
    limit: usize,
    events: Vec<EventBody>,
    last: Option<Position>,
    more: bool,
}

impl Page {
    /// Adds an event; true when the page was full before it.
    fn is_full_with(&mut self, position: Position, body: impl FnOnce() -> EventBody) -> bool {
        if self.events.len() == self.limit {
            self.more = true;
            return true;
        }
        self.events.push(body());
        self.last = Some(position);
        false
    }

    fn into_list(self, interrupted_at: Option<Position>) -> EventList {
        let last = self.last.filter(|_| self.more);
        EventList {
            events: self.events,
            next_cursor: last.or(interrupted_at).map(Position::to_cursor),
        }
    }
}

fn wrong_cursor() -> Problem {
    Problem::bad_request(
        "this is not a cursor of events; take next_cursor of a page, or leave it out",
    )
}

/// New events as they come (server-sent events)
///
/// Each message has an event as `data` and its cursor as `id`. With `Last-Event-ID` or `cursor` the stream goes on after
/// that event; without, it begins now. A message of type `reset` says that events in between are no longer kept, or that
/// `Last-Event-ID` is not a cursor: browsers would give up on an error.
#[utoipa::path(
    get, path = "/events/stream", tag = "events",
    params(Parameters, ("Last-Event-ID" = Option<String>, Header, description = "Cursor of the last event seen")),
    responses(
        (status = 200, body = EventBody, content_type = "text/event-stream"),
        (status = 400, description = "A parameter that is not known or not valid", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams", body = ProblemBody, content_type = "application/problem+json"),
    ))]
async fn stream_events(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    if parameters.limit.is_some() {
        return Err(Problem::bad_request("a stream has no limit; leave it out"));
    }
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let resume = match (last, &parameters.cursor) {
        (Some(last), _) => stream::Resume::After(last),
        (None, Some(cursor)) => {
            Position::from_cursor(cursor).ok_or_else(wrong_cursor)?;
            stream::Resume::After(cursor.clone())
        }
        (None, None) => stream::Resume::Now,
    };
    let filter = Filter::new(&parameters)?;
    stream::open(app, filter, &resume)
}
