//! Every metric that this server exposes, by name: what is exposed and what `docs/metrics.md` lists are made from it.

use std::fmt::Write;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    None,
    Bytes,
    Seconds,
    /// 1 is one core, or all of something.
    Ratio,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Without what its unit and its kind add.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Base,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

impl Base {
    pub(super) fn unit(self) -> Option<Unit> {
        match self {
            Self::None => None,
            Self::Bytes => Some(Unit::Bytes),
            Self::Seconds => Some(Unit::Seconds),
            Self::Ratio => Some(Unit::Other("ratio".to_owned())),
        }
    }
}

impl Family {
    pub(super) const fn new(
        kind: Kind,
        name: &'static str,
        unit: Base,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            labels,
            help,
        }
    }

    /// Writes what each of its samples begins with, and then the samples.
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl FnOnce(&mut MetricEncoder<'_>) -> std::fmt::Result,
    ) -> std::fmt::Result {
        let unit = self.unit.unit();
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        samples(&mut metric)
    }

    /// The name of its samples, in the text format 0.0.4 that of the family too.
    pub(super) fn full_name(&self) -> String {
        let unit = self.unit.unit();
        let unit = unit
            .as_ref()
            .map_or(String::new(), |unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }

    fn unit_name(&self) -> &'static str {
        match self.unit {
            Base::None => "",
            Base::Bytes => "bytes",
            Base::Seconds => "seconds",
            Base::Ratio => "ratio",
        }
    }
}

/// The rows of a table in Markdown.
pub(super) fn table(families: &[Family]) -> String {
    let mut out =
        String::from("| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for family in families {
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            family.full_name(),
            family.kind_name(),
            family.unit_name(),
            labels.join(", "),
            family.help
        );
    }
    out
}
