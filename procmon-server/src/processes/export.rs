//! Lists without an end: rows are read, written and sent a chunk at a time, so that memory does not grow with their number. No
//! host is locked while a chunk travels.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::json::ProcessWriter;
use super::rows::Rows;
use super::sort::{Place, Sort};
use super::table;
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::live::ProcessView;
use crate::query::Condition;

/// Rows found at a time. In an order of its own every chunk looks at all rows again: fewer, bigger chunks are cheaper.
const HOST_CHUNK: usize = 1_000;
const SORTED_CHUNK: usize = 10_000;
/// Bytes of small hosts that are sent together.
const CHUNK_BYTES: usize = 64 * 1024;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
    /// A JSON object per line.
    Ndjson,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(Problem::bad_request(format!(
                "format={text} is not valid; it must be csv, json or ndjson"
            ))),
        }
    }

    pub(super) fn answer(self, body: impl Into<Body>) -> Response {
        let (content_type, disposition) = match self {
            Self::Csv => (
                "text/csv; charset=utf-8; header=present",
                "attachment; filename=\"processes.csv\"",
            ),
            Self::Json => ("application/json", "inline"),
            Self::Ndjson => ("application/x-ndjson", "inline"),
        };
        let headers = [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        (headers, body.into()).into_response()
    }
}

/// What is exported.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) rows: Rows,
    pub(super) condition: Condition,
    /// By host and process when there is none.
    pub(super) sort: Option<Sort>,
    pub(super) limit: Option<usize>,
}

/// All rows of a selection, in a format, as they are found.
pub(super) async fn respond(
    app: &App,
    selection: Selection,
    format: Format,
) -> Result<Response, Problem> {
    let permit = app.admit_stream()?;
    let export = Export {
        app: app.clone(),
        order: match &selection.sort {
            Some(sort) => Order::Sorted(sort.clone(), None),
            None => Order::ByHost {
                sort: Sort::parse(Some("agent_id"))?,
                host: 0,
                after: None,
            },
        },
        left: selection.limit.unwrap_or(usize::MAX),
        selection: Arc::new(selection),
        format,
        written: 0,
        state: State::Begins,
        _permit: permit,
    };
    // The first chunk is made before the answer begins, so that what is wrong with the request is still said properly.
    let (first, export) = export.next().await?;
    let rest = stream::try_unfold(export, |export| async move {
        if export.state == State::Ended {
            return Ok(None);
        }
        let (chunk, export) = export.next().await.map_err(|problem| {
            tracing::warn!(reason = %problem.detail, "an export ends early");
            std::io::Error::other(problem.detail)
        })?;
        Ok::<_, std::io::Error>(Some((chunk, export)))
    });
    let chunks = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
    Ok(format.answer(Body::from_stream(chunks)))
}

/// An export under way.
struct Export {
    app: App,
    selection: Arc<Selection>,
    order: Order,
    format: Format,
    written: usize,
    left: usize,
    state: State,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begins,
    GoesOn,
    Ended,
}

enum Order {
    ByHost {
        sort: Sort,
        host: usize,
        after: Option<Place>,
    },
    Sorted(Sort, Option<Place>),
}

impl Export {
    async fn next(mut self) -> Result<(Bytes, Self), Problem> {
        let app = self.app.clone();
        app.scan(move || {
            let mut chunk = Vec::new();
            if self.state == State::Begins {
                self.begin(&mut chunk);
                self.state = State::GoesOn;
            }
            while chunk.len() < CHUNK_BYTES {
                if self.left == 0 || !self.write_rows(&mut chunk)? {
                    self.end(&mut chunk);
                    self.state = State::Ended;
                    break;
                }
            }
            Ok((chunk.into(), self))
        })
        .await
    }

    fn begin(&self, chunk: &mut Vec<u8>) {
        match self.format {
            Format::Csv => table::write_head(chunk),
            Format::Json => {
                let at = rfc3339_ms(self.selection.rows.now_ms());
                chunk.extend_from_slice(format!("{{\"at\":\"{at}\",\"processes\":[").as_bytes());
            }
            Format::Ndjson => {}
        }
    }

    fn end(&self, chunk: &mut Vec<u8>) {
        if self.format == Format::Json {
            let end = format!("],\"total\":{},\"next_cursor\":null}}\n", self.written);
            chunk.extend_from_slice(end.as_bytes());
        }
    }

    /// Writes what comes next; false when nothing does.
    fn write_rows(&mut self, chunk: &mut Vec<u8>) -> Result<bool, Problem> {
        let selection = Arc::clone(&self.selection);
        let condition = &selection.condition;
        match &mut self.order {
            Order::Sorted(sort, after) => {
                let limit = SORTED_CHUNK.min(self.left);
                let page = selection
                    .rows
                    .page(condition, sort, after.as_ref(), limit)?;
                *after = page.places.last().cloned().or(after.take());
                let more = page.more;
                self.write(&selection.rows, &page.places, chunk);
                Ok(more)
            }
            Order::ByHost { sort, host, after } => {
                let Some(entry) = selection.rows.hosts().get(*host) else {
                    return Ok(false);
                };
                let rows = Rows::new(vec![Arc::clone(entry)], selection.rows.now_ms());
                let limit = HOST_CHUNK.min(self.left);
                let page = rows.page(condition, sort, after.as_ref(), limit)?;
                if page.more {
                    *after = page.places.last().cloned();
                } else {
                    *host += 1;
                    *after = None;
                }
                self.write(&rows, &page.places, chunk);
                Ok(true)
            }
        }
    }

    fn write(&mut self, rows: &Rows, places: &[Place], chunk: &mut Vec<u8>) {
        let format = self.format;
        self.left -= places.len();
        for row in rows.show(places, |view| write_row(format, view)) {
            if format == Format::Json && self.written > 0 {
                chunk.push(b',');
            }
            chunk.extend_from_slice(&row);
            self.written += 1;
        }
    }
}

fn write_row(format: Format, view: &ProcessView<'_>) -> Vec<u8> {
    if format == Format::Csv {
        let mut line = Vec::new();
        table::write_row(view, &mut line);
        return line;
    }
    let mut json = Vec::new();
    ProcessWriter::default().write(view, &mut json);
    json.push(b'\n');
    json
}
