//! Which events a request is about.

use procmon_common::config::parse_duration;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::batch::{Event, EventKind, KIND_NAMES, KindSet};
use crate::error::Problem;
use crate::page::instant_ns;
use crate::processes::{LifeFilter, life_matches};
use crate::store::EventQuery;

/// Parameters of `GET /events` and `GET /events/stream`. All that are given must hold.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// One host; all of them when left out.
    pub agent_id: Option<String>,
    /// exec, exit, fork, `io_slow`, oom or loss; several separated by commas.
    pub r#type: Option<String>,
    /// Part of the process' name, in any case.
    pub name: Option<String>,
    /// User name or uid.
    pub user: Option<String>,
    /// Beginning of the container's id.
    pub container: Option<String>,
    /// Exits with this code.
    pub exit_code: Option<u32>,
    /// Exits by this signal's number.
    pub signal: Option<u32>,
    /// Exits of processes that lived at least so long: 250ms, 15s, 1h.
    pub min_duration: Option<String>,
    /// Event time, RFC 3339 or Unix seconds; included.
    pub since: Option<String>,
    /// Event time, RFC 3339 or Unix seconds; included.
    pub until: Option<String>,
    /// 1 to 10 000; not for the stream.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before; for the stream, the `cursor` of the last event seen.
    pub cursor: Option<String>,
}

/// The parameters, understood.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    parameters: Parameters,
    kinds: Option<KindSet>,
    min_duration_ns: Option<i64>,
    since_ns: Option<i64>,
    until_ns: Option<i64>,
}

impl Filter {
    pub(super) fn new(parameters: Parameters) -> Result<Self, Problem> {
        let min_duration = parameters.min_duration.as_deref().map(|text| {
            parse_duration(text).ok_or_else(|| {
                Problem::bad_request("min_duration must be a duration such as 250ms, 15s or 1h")
            })
        });
        let instant =
            |name, text: Option<&String>| text.map(|text| instant_ns(name, text)).transpose();
        Ok(Self {
            kinds: parameters.r#type.as_deref().map(kinds).transpose()?,
            min_duration_ns: min_duration
                .transpose()?
                .map(|duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)),
            since_ns: instant("since", parameters.since.as_ref())?,
            until_ns: instant("until", parameters.until.as_ref())?,
            parameters,
        })
    }

    /// What the store can tell without reading the events.
    pub(super) fn query(&self) -> EventQuery {
        let exits_only = self.parameters.exit_code.is_some()
            || self.parameters.signal.is_some()
            || self.min_duration_ns.is_some();
        let exits = KindSet::of_name("exit").map_or(0, |set| set.0);
        let kinds = self.kinds.map_or(0, |set| set.0);
        let kinds = match (exits_only, kinds) {
            (false, kinds) => kinds,
            (true, 0) => exits,
            // Both must hold. A bit that no event has keeps an empty set from meaning all.
            (true, kinds) => (kinds & exits) | 1 << 31,
        };
        EventQuery {
            agent_id: self.parameters.agent_id.clone(),
            kinds,
            since_ms: self.since_ns.map(|ns| ns.div_euclid(1_000_000)),
            until_ms: self.until_ns.map(|ns| ns.div_euclid(1_000_000)),
        }
    }

    pub(super) fn matches(&self, event: &Event) -> bool {
        let parameters = &self.parameters;
        let life = LifeFilter {
            name: parameters.name.as_deref(),
            user: parameters.user.as_deref(),
            container: parameters.container.as_deref(),
        };
        self.kinds.is_none_or(|kinds| kinds.contains(&event.kind))
            && self.since_ns.is_none_or(|since| event.ts_ns >= since)
            && self.until_ns.is_none_or(|until| event.ts_ns <= until)
            && self.exit_matches(event)
            && life_matches(&life, event.life.as_deref())
    }

    fn exit_matches(&self, event: &Event) -> bool {
        let parameters = &self.parameters;
        let exit = match &event.kind {
            EventKind::Exit(exit) => Some(exit),
            _ => None,
        };
        let is = |wanted: Option<u32>, value: Option<u32>| wanted.is_none() || wanted == value;
        is(parameters.exit_code, exit.and_then(|exit| exit.code))
            && is(parameters.signal, exit.and_then(|exit| exit.signal))
            && self.min_duration_ns.is_none_or(|bound| {
                exit.is_some() && duration_ns(event).is_some_and(|lived| lived >= bound)
            })
    }
}

/// From the start of the process until the event.
pub(super) fn duration_ns(event: &Event) -> Option<i64> {
    let started_ns = event.life.as_ref()?.started_ns?;
    Some(event.ts_ns.saturating_sub(started_ns).max(0))
}

fn kinds(text: &str) -> Result<KindSet, Problem> {
    text.split(',').try_fold(KindSet::EMPTY, |set, name| {
        let kind = KindSet::of_name(name.trim()).ok_or_else(|| {
            Problem::bad_request(format!("type must be one of {}", KIND_NAMES.join(", ")))
        })?;
        Ok(set.union(kind))
    })
}
