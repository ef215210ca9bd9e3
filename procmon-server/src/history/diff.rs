//! Two instants of a host, compared.

use std::collections::HashMap;
use std::ops::ControlFlow;

use procmon_common::ids::ProcessId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::host::PastHost;
use super::life_events::{About, for_each_event};
use super::past::{host_at, not_known};
use super::range::Range;
use crate::app::App;
use crate::batch::{EventKind, KindSet};
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::events::EventBody;
use crate::live::Host;
use crate::processes::ProcessBody;

/// What two processes are compared by: what they are, not what they use.
const COMPARED: [&str; 14] = [
    "ppid",
    "name",
    "exe",
    "cmdline",
    "args",
    "username",
    "uid",
    "euid",
    "ports",
    "cgroup",
    "container_id",
    "systemd_unit",
    "pid_namespace",
    "namespace_pid",
];

/// What is different on a host at a later instant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Diff)]
pub(super) struct DiffBody {
    pub agent_id: String,
    pub from: String,
    pub to: String,
    /// There at the later instant only, by pid.
    pub started: Vec<ProcessBody>,
    /// There at the earlier instant only, as they were then.
    pub exited: Vec<ExitedBody>,
    /// There at both, and not the same.
    pub changed: Vec<ChangedBody>,
    /// There at both.
    pub unchanged: usize,
    /// Ends seen in between of processes that are at neither instant; null when they could not all be counted in a second.
    pub began_and_ended: Option<usize>,
}

/// A process that was there at the earlier instant only.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExitedProcess)]
pub(super) struct ExitedBody {
    pub process: ProcessBody,
    /// How it ended, when that was seen.
    pub exit: Option<EventBody>,
}

/// A process at both instants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedProcess)]
pub(super) struct ChangedBody {
    pub process_id: String,
    /// Which fields differ: what it is, not what it uses; `status` only when it became a zombie or was stopped.
    pub fields: Vec<&'static str>,
    pub before: ProcessBody,
    pub after: ProcessBody,
}

type Table = HashMap<ProcessId, ProcessBody>;

pub(super) async fn diff(app: &App, host: &PastHost, range: Range) -> Result<DiffBody, Problem> {
    let mut before = table(app, host, range.from_ms).await?;
    let after = table(app, host, range.to_ms).await?;
    let mut body = DiffBody {
        agent_id: host.agent_id.to_string(),
        from: rfc3339_ms(range.from_ms),
        to: rfc3339_ms(range.to_ms),
        started: Vec::new(),
        exited: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
        began_and_ended: None,
    };
    let mut after: Vec<_> = after.into_iter().collect();
    after.sort_by_key(|(id, _)| *id);
    for (id, after) in after {
        let Some(before) = before.remove(&id) else {
            body.started.push(after);
            continue;
        };
        let fields = differences(&before, &after);
        if fields.is_empty() {
            body.unchanged += 1;
        } else {
            body.changed.push(ChangedBody {
                process_id: id.to_string(),
                fields,
                before,
                after,
            });
        }
    }
    let (mut exits, began_and_ended) = exits(app, host, range, &before).await?;
    body.began_and_ended = began_and_ended;
    let mut gone: Vec<_> = before.into_iter().collect();
    gone.sort_by_key(|(id, _)| *id);
    let exited = gone.into_iter().map(|(id, process)| ExitedBody {
        process,
        exit: exits.remove(&id),
    });
    body.exited = exited.collect();
    Ok(body)
}

async fn table(app: &App, host: &PastHost, at_ms: i64) -> Result<Table, Problem> {
    let past: Host = host_at(app, host, at_ms)
        .await?
        .map_err(|reason| not_known(&host.agent_id, at_ms, reason))?;
    let views = past.views(at_ms);
    Ok(views
        .map(|view| (view.id, ProcessBody::new(&view)))
        .collect())
}

fn differences(before: &ProcessBody, after: &ProcessBody) -> Vec<&'static str> {
    let fields = |body: &ProcessBody| serde_json::to_value(body).unwrap_or(Value::Null);
    let (earlier, later) = (fields(before), fields(after));
    let mut differ: Vec<_> = COMPARED
        .into_iter()
        .filter(|field| earlier[field] != later[field])
        .collect();
    // Running and sleeping is what every process does.
    let notable = |status: Option<&str>| matches!(status, Some("Z" | "T"));
    let (status, status_after) = (before.status.as_deref(), after.status.as_deref());
    if status != status_after && (notable(status) || notable(status_after)) {
        differ.push("status");
    }
    differ
}

/// How those that are gone ended, and how many came and went in between.
async fn exits(
    app: &App,
    host: &PastHost,
    range: Range,
    gone: &Table,
) -> Result<(HashMap<ProcessId, EventBody>, Option<usize>), Problem> {
    let there = Range {
        from_ms: range.from_ms.saturating_add(host.ahead_ms),
        to_ms: range.to_ms.saturating_add(host.ahead_ms),
    };
    let about = About {
        kinds: KindSet::EMPTY.with(&EventKind::Exit(Box::default())).0,
        life: None,
    };
    let mut exits = HashMap::new();
    let mut others = 0;
    let all = for_each_event(
        app,
        &host.agent_id,
        about,
        there,
        |stored, position, event| {
            if let (EventKind::Exit(_), Some(life)) = (&event.kind, &event.life) {
                let started_ms = life.started_ns.map(|ns| ns.div_euclid(1_000_000));
                match life.id {
                    Some(id) if gone.contains_key(&id) => {
                        exits.insert(id, EventBody::new(stored, position, event));
                    }
                    Some(_) if started_ms.is_some_and(|ms| ms >= there.from_ms) => others += 1,
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        },
    )
    .await?;
    Ok((exits, all.then_some(others)))
}
