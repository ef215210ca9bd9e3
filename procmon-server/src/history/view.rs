//! Past values of a process as the API shows them.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use super::gaps::GapBody;
use crate::batch::{Life, lossy};
use crate::clock::{rfc3339_ms, rfc3339_ns};
use crate::store::history::{HostSamples, LifeSamples};

/// Metrics of a process over time, a point for each step.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Series)]
pub(super) struct SeriesBody {
    pub agent_id: String,
    pub pid: u32,
    pub from: String,
    pub to: String,
    /// As in the request, or what was chosen.
    pub step: String,
    pub metrics: Vec<&'static str>,
    /// By time. A step in which two processes had the pid has a point for each.
    pub points: Vec<PointBody>,
    pub gaps: Vec<GapBody>,
    /// Whose points these are.
    pub lives: Vec<LifeBody>,
}

/// Samples of a process as they were taken.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryBody {
    pub agent_id: String,
    pub pid: u32,
    pub from: String,
    pub to: String,
    /// In order of arrival.
    pub points: Vec<PointBody>,
    pub gaps: Vec<GapBody>,
    /// Whose points these are.
    pub lives: Vec<LifeBody>,
}

/// A process that had the pid.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = LifeOfPid)]
pub(super) struct LifeBody {
    pub process_id: Option<String>,
    pub name: Option<String>,
    pub start_time: Option<String>,
    /// Its first and last sample in the range.
    pub first_sample: Option<String>,
    pub last_sample: Option<String>,
}

/// `ts` (of a step: when it begins), `process_id`, and each metric under its name.
#[derive(Clone, Debug)]
pub(super) struct PointBody {
    pub(super) ts_ms: i64,
    pub(super) process_id: Option<String>,
    pub(super) values: Vec<(Cow<'static, str>, Figure)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Unknown,
    Real(f64),
    Whole(i64),
    Letter(char),
}

impl Figure {
    /// A metric's value; whole numbers are written as such.
    pub(super) fn new(value: Option<f64>, whole: bool) -> Self {
        match value {
            None => Self::Unknown,
            Some(value) if whole => Self::Whole(value.round() as i64),
            Some(value) => Self::Real((value * 1e4).round() / 1e4),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Whole(value) => serializer.serialize_i64(*value),
            Self::Letter(letter) => serializer.serialize_char(*letter),
        }
    }
}

impl Serialize for PointBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len() + 2))?;
        map.serialize_entry("ts", &rfc3339_ms(self.ts_ms))?;
        if let Some(process_id) = &self.process_id {
            map.serialize_entry("process_id", process_id)?;
        }
        for (name, value) in &self.values {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl utoipa::PartialSchema for PointBody {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let metric = ObjectBuilder::new().schema_type(SchemaType::from_iter([
            Type::Number,
            Type::String,
            Type::Null,
        ]));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(
                "`ts` (of a step: when it begins), `process_id`, and each metric under its name.",
            ))
            .property("ts", text())
            .required("ts")
            .property("process_id", text())
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(
                metric.build(),
            )))))
            .into()
    }
}

impl ToSchema for PointBody {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Point")
    }
}

impl LifeBody {
    /// `ahead_ms`: how far the host's clock is ahead of the one to show.
    pub(super) fn new(samples: &HostSamples, life: &LifeSamples, ahead_ms: i64) -> Self {
        let time_of = |index: usize| {
            let ms = samples.sample_ms.get(index)?;
            Some(rfc3339_ms(ms.saturating_sub(ahead_ms)))
        };
        let described: &Life = &life.life;
        Self {
            process_id: described.id.map(|id| id.to_string()),
            name: described.name().map(lossy),
            start_time: described.started_ns.map(rfc3339_ns),
            first_sample: time_of(life.first),
            last_sample: time_of(life.last),
        }
    }
}
