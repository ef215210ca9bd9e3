//! `GET /processes`: what is asked for, and how it is answered.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ProcessBody;
use super::export::{self, Format, Selection};
use super::filter::Parameters;
use super::groups::{GroupBody, GroupBy, GroupSort};
use super::json::{ProcessWriter, write_value};
use super::rows::{Page, Rows};
use super::sort::Sort;
use super::table;
use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::page;
use crate::query::Condition;

/// A page of processes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProcessList {
    pub processes: Vec<ProcessBody>,
    /// On all pages together.
    pub total: usize,
    /// The instant that the list shows.
    pub at: String,
    pub next_cursor: Option<String>,
}

/// A page of groups, with `group_by`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupList {
    pub groups: Vec<GroupBody>,
    /// Groups on all pages together.
    pub total: usize,
    /// The instant that the list shows.
    pub at: String,
    pub next_cursor: Option<String>,
}

/// Processes, or groups of them with `group_by`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes the answer; each kind is written by itself"
)]
pub(super) enum ProcessAnswer {
    Processes(ProcessList),
    Groups(GroupList),
}

/// Answers from the rows that exist at an instant.
pub(super) async fn answer(
    app: &App,
    rows: Rows,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let condition = parameters.condition()?;
    let format = parameters
        .format
        .as_deref()
        .map(Format::parse)
        .transpose()?;
    if format.is_some() && parameters.cursor.is_some() {
        return Err(Problem::bad_request(
            "an export has everything at once, and no cursor; leave format or cursor out",
        ));
    }
    if let Some(by) = &parameters.group_by {
        let groups = Groups {
            by: GroupBy::parse(by)?,
            condition,
            format,
        };
        return groups.answer(app, rows, parameters).await;
    }
    let sort = Sort::parse(parameters.sort.as_deref())?;
    if let Some(format) = format {
        let selection = Selection {
            rows,
            condition,
            sort: parameters.sort.is_some().then_some(sort),
            limit: export_limit(parameters.limit)?,
        };
        return export::respond(app, selection, format).await;
    }
    let limit = page::limit(parameters.limit)?;
    let after = match &parameters.cursor {
        Some(cursor) => Some(sort.read_cursor(cursor)?),
        None => None,
    };
    let list = app.scan(move || {
        let page = rows.page(&condition, &sort, after.as_ref(), limit)?;
        let last = page.places.last().filter(|_| page.more);
        let next_cursor = last.map(|last| sort.to_cursor(last));
        Ok(write_page(&rows, &page, next_cursor.as_deref()))
    });
    Ok(Format::Json.answer(list.await?))
}

/// As [`ProcessList`] describes it.
fn write_page(rows: &Rows, page: &Page, next_cursor: Option<&str>) -> Vec<u8> {
    let mut writer = ProcessWriter::default();
    let shown = rows.show(&page.places, |view| {
        let mut row = Vec::new();
        writer.write(view, &mut row);
        row
    });
    let mut json = b"{\"processes\":[".to_vec();
    for (index, row) in shown.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(row);
    }
    json.extend_from_slice(b"],\"total\":");
    write_value(&mut json, page.total);
    json.extend_from_slice(b",\"at\":");
    write_value(&mut json, rfc3339_ms(rows.now_ms()));
    json.extend_from_slice(b",\"next_cursor\":");
    write_value(&mut json, next_cursor);
    json.push(b'}');
    json
}

fn export_limit(limit: Option<usize>) -> Result<Option<usize>, Problem> {
    match limit {
        Some(0) => Err(Problem::bad_request(
            "limit=0 is not valid; it must be at least 1",
        )),
        limit => Ok(limit),
    }
}

struct Groups {
    by: GroupBy,
    condition: Condition,
    format: Option<Format>,
}

impl Groups {
    async fn answer(
        self,
        app: &App,
        rows: Rows,
        parameters: Parameters,
    ) -> Result<Response, Problem> {
        let sort = GroupSort::parse(parameters.sort.as_deref(), &self.by)?;
        let limit = if self.format.is_some() {
            export_limit(parameters.limit)?.unwrap_or(usize::MAX)
        } else {
            page::limit(parameters.limit)?
        };
        let after = match &parameters.cursor {
            Some(cursor) => Some(sort.read_cursor(cursor, &self.by)?),
            None => None,
        };
        let work = move || {
            let mut groups = self.by.collect(&rows, &self.condition)?;
            let total = groups.len();
            if let Some(after) = &after {
                groups.retain(|group| sort.is_after(group, after));
            }
            groups.sort_unstable_by(|a, b| sort.compare(a, b));
            let more = groups.len() > limit;
            groups.truncate(limit);
            if self.format == Some(Format::Csv) {
                return Ok(Format::Csv.answer(table::groups(&self.by, &groups)));
            }
            let last = groups.last().filter(|_| more && self.format.is_none());
            let groups_page = GroupList {
                total,
                at: rfc3339_ms(rows.now_ms()),
                next_cursor: last.map(|last| sort.to_cursor(last)),
                groups: groups.iter().map(|group| self.by.show(group)).collect(),
            };
            if self.format != Some(Format::Ndjson) {
                return Ok(axum::Json(groups_page).into_response());
            }
            let mut lines = Vec::new();
            for group in &groups_page.groups {
                lines.extend(serde_json::to_vec(group).unwrap_or_default());
                lines.push(b'\n');
            }
            Ok(Format::Ndjson.answer(lines))
        };
        app.scan(work).await
    }
}
