//! Groups of processes over time: what all processes of one name, user, container or cgroup use together.
//!
//! A range is read a part at a time, so that the memory this takes depends on what runs at once, and not on how far one
//! looks back.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::gaps::{GapBody, Outages, explain};
use super::group_sums::Sums;
use super::host::PastHost;
use super::metric::{self, Metric};
use super::range::{Grid, Range, show_ms};
use super::view::PointBody;
use crate::app::App;
use crate::batch::{Life, ShortLived};
use crate::clock::rfc3339_ms;
use crate::error::Problem;
use crate::store::history::{HostSamples, LifeFilter};

/// Time of samples in memory at once.
const PART_MS: i64 = 1_800_000;
/// Parts that are read without a look at when the host was sampled: a day.
const MOST_PARTS_UNSEEN: i64 = 49;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupBy {
    Name,
    User,
    Container,
    Cgroup,
}

/// What is asked of groups.
pub(super) struct GroupsRequest {
    pub(super) grid: Grid,
    pub(super) group_by: GroupBy,
    pub(super) metric: &'static Metric,
    /// Groups that are shown each for itself.
    pub(super) top: usize,
}

/// What groups of processes used, step by step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupSeries)]
pub(super) struct GroupSeriesBody {
    pub agent_id: String,
    pub group_by: &'static str,
    pub metric: &'static str,
    pub from: String,
    pub to: String,
    pub step: String,
    /// Those with most of it over the range, most first.
    pub groups: Vec<GroupBody>,
    /// All other groups together; null when there are none.
    pub other: Option<GroupBody>,
    /// When the host was not sampled.
    pub gaps: Vec<GapBody>,
}

/// One group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupOverTime)]
pub(super) struct GroupBody {
    /// The name, user, container or cgroup; null for processes that have none, or whose is not known, and for the others.
    pub group: Option<String>,
    /// A point has under the metric's name the sum over the group's processes, as the average over the samples of the step; with
    /// `_max` the highest value of one process; `processes`, how many there were on average. With `cpu_percent` the sum includes
    /// `short_lived_cpu_percent`: what processes used that began or ended between two samples.
    pub points: Vec<PointBody>,
}

impl GroupBy {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Name, "name"),
        (Self::User, "user"),
        (Self::Container, "container"),
        (Self::Cgroup, "cgroup"),
    ];

    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known.map(|(group_by, _)| *group_by).ok_or_else(|| {
            Problem::bad_request(format!(
                "group_by={text} is not known; one of: name, user, container, cgroup"
            ))
        })
    }

    fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(group_by, _)| *group_by == self);
        named.map_or("", |(_, name)| name)
    }

    pub(super) fn of(self, life: &Life) -> Option<Cow<'_, [u8]>> {
        let text = |text: Option<&Arc<str>>| text.map(|text| text.as_bytes().to_vec().into());
        match self {
            Self::Name => life.name().map(Cow::Borrowed),
            Self::User => {
                let credentials = life.credentials.as_ref();
                let uid = credentials.and_then(|known| known.uid);
                user(life.username(), uid)
            }
            Self::Container => text(life.container_id.as_ref()),
            Self::Cgroup => text(life.cgroup.as_ref()),
        }
    }

    pub(super) fn of_short_lived(self, lives: &ShortLived) -> Option<Cow<'_, [u8]>> {
        let text = |text: Option<&Box<str>>| text.map(|text| text.as_bytes().to_vec().into());
        match self {
            Self::Name => lives.name.as_deref().map(Cow::Borrowed),
            Self::User => user(lives.username.as_deref(), lives.uid),
            Self::Container => text(lives.container_id.as_ref()),
            Self::Cgroup => text(lives.cgroup.as_ref()),
        }
    }
}

/// A user without a name has a number.
fn user(name: Option<&str>, uid: Option<u32>) -> Option<Cow<'_, [u8]>> {
    match (name, uid) {
        (Some(name), _) => Some(Cow::Borrowed(name.as_bytes())),
        (None, Some(uid)) => Some(uid.to_string().into_bytes().into()),
        (None, None) => None,
    }
}

pub(super) async fn groups(
    app: &App,
    host: &PastHost,
    request: &GroupsRequest,
) -> Result<GroupSeriesBody, Problem> {
    let grid = request.grid.shifted(host.ahead_ms);
    let mut sums = Sums::new(grid);
    for part in parts(app, host, grid.range).await? {
        let samples = load(app, host, request, part).await?;
        sums.add(host, request, &samples, part)?;
    }
    let gaps = gaps(app, host, &sums).await?;
    let (groups, other) = sums.finish(host, request);
    Ok(GroupSeriesBody {
        agent_id: host.agent_id.to_string(),
        group_by: request.group_by.name(),
        metric: request.metric.name,
        from: rfc3339_ms(request.grid.range.from_ms),
        to: rfc3339_ms(request.grid.range.to_ms),
        step: show_ms(grid.step_ms),
        groups,
        other,
        gaps,
    })
}

/// The parts of a range to be read, in order. Of a long one those in which the host was never sampled are left out: it may begin
/// centuries ago.
async fn parts(app: &App, host: &PastHost, range: Range) -> Result<Vec<Range>, Problem> {
    let count = range.length_ms() / PART_MS + 1;
    let sampled: BTreeSet<i64> = if count <= MOST_PARTS_UNSEEN {
        (0..count).collect()
    } else {
        // Of no process: when there was a sample is all that is asked for.
        let query = host.query(range, LifeFilter::Pid(u32::MAX));
        let samples = app.store.samples(&query).await?;
        let parts = samples.sample_ms.iter();
        parts
            .map(|ms| ms.saturating_sub(range.from_ms).div_euclid(PART_MS))
            .collect()
    };
    let parts = sampled.into_iter().map(|part| {
        let from_ms = range.from_ms.saturating_add(part.saturating_mul(PART_MS));
        Range {
            from_ms,
            to_ms: from_ms.saturating_add(PART_MS).min(range.to_ms),
        }
    });
    Ok(parts.filter(|part| part.from_ms < part.to_ms).collect())
}

/// The samples of a part, and of a little before, which only serves rates.
async fn load(
    app: &App,
    host: &PastHost,
    request: &GroupsRequest,
    part: Range,
) -> Result<HostSamples, Problem> {
    let wider = Range {
        from_ms: part.from_ms.saturating_sub(host.patience_ms),
        ..part
    };
    let mut query = host.query(wider, LifeFilter::All);
    query.columns = metric::columns(&[request.metric]);
    query.short_lived = request.charges_cpu();
    Ok(app.store.samples(&query).await?)
}

impl GroupsRequest {
    /// CPU of lives that no sample shows is added to that of those that are there.
    pub(super) fn charges_cpu(&self) -> bool {
        self.metric.name == "cpu_percent"
    }
}

/// Steps in which the host was not sampled.
async fn gaps(app: &App, host: &PastHost, sums: &Sums) -> Result<Vec<GapBody>, Problem> {
    let grid = &sums.grid;
    let holes = grid.holes(host.now_ms, |bucket| sums.samples[bucket] > 0);
    let outages = if holes.is_empty() {
        Outages::default()
    } else {
        host.outages(app, grid.range).await?
    };
    let explained = explain(&holes, &[], &outages, host.patience_ms);
    Ok(explained
        .iter()
        .map(|hole| GapBody::new(hole, host.ahead_ms))
        .collect())
}
