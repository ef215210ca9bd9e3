//! Which events a request is about.

use procmon_common::config::parse_duration;
use serde::Deserialize;
use utoipa::IntoParams;

use super::fields::EventRow;
use crate::batch::{Event, EventKind, KIND_NAMES, KindSet};
use crate::clock::rfc3339_ns;
use crate::error::Problem;
use crate::page::{self, instant_ns};
use crate::query::{Builder, Condition, Meter, QueryError, compile};
use crate::store::history::LifeFilter;
use crate::store::segment::ExitBounds;
use crate::store::{EventQuery, StoredEvents};

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
    pub pid: Option<u32>,
    /// One life: a `process_id` of `agent_id`, as events and processes have it.
    pub process_id: Option<String>,
    pub ppid: Option<u32>,
    /// Part of the command line, in any case.
    pub cmdline: Option<String>,
    /// User name or uid.
    pub user: Option<String>,
    /// Beginning of the container's id.
    pub container: Option<String>,
    /// Part of the cgroup's path.
    pub cgroup: Option<String>,
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
    /// An expression in CEL over the fields of an event: `type == "exit" && (exit_code != 0 || signal == 11)`. A comparison
    /// with what is not known does not hold.
    pub q: Option<String>,
    /// 1 to 10 000; not for the stream.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before; for the stream, the `cursor` of the last event seen.
    pub cursor: Option<String>,
}

/// The parameters, understood.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    agent_id: Option<String>,
    lives: Option<LifeFilter>,
    name_part: Option<String>,
    exits: ExitBounds,
    kinds: Option<KindSet>,
    min_duration_ns: Option<i64>,
    since_ns: Option<i64>,
    until_ns: Option<i64>,
    condition: Condition,
}

impl Filter {
    pub(super) fn new(parameters: &Parameters) -> Result<Self, Problem> {
        let min_duration = parameters.min_duration.as_deref().map(|text| {
            parse_duration(text).ok_or_else(|| {
                Problem::bad_request(format!(
                    "min_duration={text} is not valid; it must be a duration such as 250ms, 15s or 1h"
                ))
            })
        });
        let instant =
            |name, text: Option<&String>| text.map(|text| instant_ns(name, text)).transpose();
        let process_id = parameters.process_id.as_deref();
        let process_id = process_id.map(page::process_id).transpose()?;
        let expression = match &parameters.q {
            Some(source) => Some(compile::<EventRow<'_>>(source).map_err(Problem::query)?),
            None => None,
        };
        let min_duration_ns = min_duration
            .transpose()?
            .map(|duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
        let (since_ns, until_ns) = (
            instant("since", parameters.since.as_ref())?,
            instant("until", parameters.until.as_ref())?,
        );
        if let (Some(since), Some(until)) = (since_ns, until_ns)
            && since > until
        {
            return Err(Problem::bad_request(format!(
                "since={} is after until={}; exchange them, or leave one out",
                rfc3339_ns(since),
                rfc3339_ns(until)
            )));
        }
        Ok(Self {
            agent_id: parameters.agent_id.clone(),
            lives: process_id
                .map(LifeFilter::Id)
                .or(parameters.pid.map(LifeFilter::Pid)),
            name_part: parameters.name.clone(),
            exits: ExitBounds {
                code: parameters.exit_code,
                signal: parameters.signal,
                min_lived_ms: min_duration_ns.map(|ns| ns as u64 / 1_000_000),
            },
            kinds: parameters.r#type.as_deref().map(kinds).transpose()?,
            min_duration_ns,
            since_ns,
            until_ns,
            condition: Builder::<EventRow<'_>>::default()
                .equals("exit_code", parameters.exit_code)
                .equals("signal", parameters.signal)
                .equals("pid", parameters.pid)
                .equals("ppid", parameters.ppid)
                .contains_folded("name", parameters.name.as_deref())
                .user(parameters.user.as_deref())
                .starts_with("container_id", parameters.container.as_deref())
                .contains("cgroup", parameters.cgroup.as_deref())
                .contains_folded("cmdline", parameters.cmdline.as_deref())
                .also(expression)
                .build(),
        })
    }

    /// What the store can tell without reading the events.
    pub(super) fn query(&self) -> EventQuery {
        let exits = KindSet::of_name("exit").map_or(0, |set| set.0);
        let kinds = self.kinds.map_or(0, |set| set.0);
        let kinds = match (self.exits.any(), kinds) {
            (false, kinds) => kinds,
            (true, 0) => exits,
            // Both must hold. A bit that no event has keeps an empty set from meaning all.
            (true, kinds) => (kinds & exits) | 1 << 31,
        };
        EventQuery {
            agent_id: self.agent_id.clone(),
            kinds,
            since_ms: self.since_ns.map(|ns| ns.div_euclid(1_000_000)),
            until_ms: self.until_ns.map(|ns| ns.div_euclid(1_000_000)),
            exits: self.exits,
            name_part: self.name_part.clone(),
            lives: self.lives,
        }
    }

    /// Whether an event of the batch is asked for. Meaningless once the meter is exhausted.
    pub(super) fn matches(&self, stored: &StoredEvents, event: &Event, meter: &Meter) -> bool {
        self.agent_id
            .as_deref()
            .is_none_or(|agent_id| agent_id == &*stored.agent_id)
            && self.kinds.is_none_or(|kinds| kinds.contains(&event.kind))
            && self.since_ns.is_none_or(|since| event.ts_ns >= since)
            && self.until_ns.is_none_or(|until| event.ts_ns <= until)
            && self.lives.is_none_or(|lives| {
                let life = event.life.as_deref();
                life.and_then(|life| life.id)
                    .is_some_and(|id| lives.takes(id))
            })
            && self.lived_long_enough(event)
            && self.condition.holds(&EventRow { stored, event }, meter)
    }

    fn lived_long_enough(&self, event: &Event) -> bool {
        self.min_duration_ns.is_none_or(|bound| {
            matches!(event.kind, EventKind::Exit(_))
                && duration_ns(event).is_some_and(|lived| lived >= bound)
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
            Problem::bad_request(format!(
                "type={name} is not known; it must be one of {}, or several separated by commas",
                KIND_NAMES.join(", ")
            ))
        })?;
        Ok(set.union(kind))
    })
}

/// An expression over events that something other than a request keeps, compiled.
#[derive(Clone, Debug)]
pub struct EventFilter(Condition);

impl EventFilter {
    pub fn compile(source: &str) -> Result<Self, QueryError> {
        compile::<EventRow<'_>>(source).map(Self)
    }

    /// Meaningless once the meter is exhausted.
    pub fn matches(&self, stored: &StoredEvents, event: &Event, meter: &Meter) -> bool {
        self.0.holds(&EventRow { stored, event }, meter)
    }
}
