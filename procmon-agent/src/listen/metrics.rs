//! The agent's metrics in the words of OpenMetrics: base units, small closed sets of labels, nothing of any process.

use std::fmt::Error;

use procmon_common::wire::AgentHealth;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Told;
use crate::limits::{own_rss_bytes, process_cpu};
use crate::privileges::denied;
use crate::ship::Link;

/// What can be given up, whether it is or not.
const DEGRADATIONS: [&str; 3] = ["argv", "sample_rate", "processes"];

pub(super) fn encode(told: Told) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("procmon_agent");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "Version of the agent", Info::new(version));
    registry.register_collector(Box::new(VitalsCollector(told)));
    let mut text = String::new();
    encode_text(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct VitalsCollector(Told);

impl Collector for VitalsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let health = self.0.vitals.health();
        let out = &mut Out(&mut encoder);
        seen(out, &health)?;
        self.sampling(out, &health)?;
        own_cost(out, &health)?;
        self.shipping(out, &health)?;
        self.hardening(out)
    }
}

/// Events, and what was not seen.
fn seen(out: &mut Out<'_, '_>, health: &AgentHealth) -> Result<(), Error> {
    let level = [("level", &*health.probe)];
    out.gauges("probe", "How processes are seen.", &[(&level, 1.0)])?;
    let labels: Vec<_> = sorted(&health.events)
        .map(|(kind, count)| ([("kind", kind)], count as f64))
        .collect();
    out.counters("events", "Events by kind.", &borrowed(&labels))?;
    let labels: Vec<_> = sorted(&health.drops)
        .map(|(what, count)| {
            let (kind, reason) = what.split_once('.').unwrap_or((what, ""));
            ([("kind", kind), ("reason", reason)], count as f64)
        })
        .collect();
    let help = "What was not seen or not kept, by kind and reason.";
    out.counters("drops", help, &borrowed(&labels))?;
    let help = "Argument values replaced because they look like secrets.";
    out.counter("redactions", help, None, health.redactions as f64)?;
    let help = "Highest fill of the kernel's ring since the last report.";
    out.gauge(
        "ring_used",
        help,
        Some(&Unit::Bytes),
        health.ring_used_bytes as f64,
    )?;
    let help = "Size of the kernel's ring; 0 where there is none.";
    out.gauge(
        "ring_size",
        help,
        Some(&Unit::Bytes),
        health.ring_bytes as f64,
    )
}

/// What the agent itself costs, and what it gave up.
fn own_cost(out: &mut Out<'_, '_>, health: &AgentHealth) -> Result<(), Error> {
    let rss = own_rss_bytes() as f64;
    out.gauge(
        "resident_memory",
        "Resident memory.",
        Some(&Unit::Bytes),
        rss,
    )?;
    let help = "Memory that the agent may use; 0 is no limit.";
    let limit = health.mem_limit_bytes as f64;
    out.gauge("memory_limit", help, Some(&Unit::Bytes), limit)?;
    let cpu = process_cpu().as_secs_f64();
    out.counter("cpu", "CPU time, all threads.", Some(&Unit::Seconds), cpu)?;
    let degraded = DEGRADATIONS.map(|what| {
        let given_up = health.degraded.iter().any(|name| name == what);
        ([("what", what)], f64::from(u8::from(given_up)))
    });
    let help = "Whether something is given up to keep the agent's limits.";
    out.gauges("degraded", help, &borrowed(&degraded))
}

impl VitalsCollector {
    fn sampling(&self, out: &mut Out<'_, '_>, health: &AgentHealth) -> Result<(), Error> {
        let vitals = &self.0.vitals;
        out.counter("samples", "Samples taken.", None, vitals.samples() as f64)?;
        let last = health.sample_ns as f64 / 1e9;
        let help = "Time that the last sample took.";
        out.gauge("last_sample_duration", help, Some(&Unit::Seconds), last)?;
        let wall = vitals.sample_wall().as_secs_f64();
        out.counter("sample", "Time spent sampling.", Some(&Unit::Seconds), wall)?;
        let cpu = vitals.sample_cpu().as_secs_f64();
        let help = "CPU time spent sampling.";
        out.counter("sample_cpu", help, Some(&Unit::Seconds), cpu)?;
        let interval = vitals.interval().as_secs_f64();
        let help = "Time between two samples that is in force.";
        out.gauge("interval", help, Some(&Unit::Seconds), interval)
    }

    fn shipping(&self, out: &mut Out<'_, '_>, health: &AgentHealth) -> Result<(), Error> {
        let (vitals, ship) = (&self.0.vitals, &self.0.ship);
        out.counter("batches", "Batches built.", None, vitals.batches() as f64)?;
        let bytes = vitals.batch_bytes() as f64;
        let help = "Compressed size of the batches built.";
        out.counter("batch", help, Some(&Unit::Bytes), bytes)?;
        let spooled = health.spool_bytes as f64;
        out.gauge(
            "spool",
            "Size of the spool on disk: what waits, and what is acknowledged in segments that are not finished.",
            Some(&Unit::Bytes),
            spooled,
        )?;
        let help = "Size that the spool may have.";
        let limit = health.spool_max_bytes as f64;
        out.gauge("spool_limit", help, Some(&Unit::Bytes), limit)?;
        let shipped = ship.shipped_batches() as f64;
        let help = "Batches that the server has stored.";
        out.counter("shipped_batches", help, None, shipped)?;
        let bytes = ship.shipped_bytes() as f64;
        let help = "Compressed size of the batches that the server has stored.";
        out.counter("shipped", help, Some(&Unit::Bytes), bytes)?;
        out.counter(
            "ship_retries",
            "Requests sent again.",
            None,
            ship.retries() as f64,
        )?;
        let quarantined = ship.quarantined() as f64;
        let help = "Batches that the server refused for good.";
        out.counter("quarantined_batches", help, None, quarantined)?;
        let connected = f64::from(u8::from(ship.link() == Link::Connected));
        let help = "Whether the server took the last batch.";
        out.gauge("connected", help, None, connected)?;
        // Unknown until a batch was stored: then nothing is said, not zero.
        if let Some(latency) = ship.latency() {
            let help = "From request to answer, of the last batch that was stored.";
            out.gauge(
                "ship_latency",
                help,
                Some(&Unit::Seconds),
                latency.as_secs_f64(),
            )?;
        }
        if let Some(offset_ms) = ship.clock_offset_ms() {
            let offset = offset_ms as f64 / 1000.0;
            let help = "The server's clock minus this host's.";
            out.gauge("clock_offset", help, Some(&Unit::Seconds), offset)?;
        }
        Ok(())
    }

    fn hardening(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let left = self.0.privileges.as_ref();
        let is_filtered = left.is_some_and(|left| left.unfiltered.is_none());
        let parts = [
            (
                [("part", "capabilities")],
                f64::from(u8::from(left.is_some())),
            ),
            ([("part", "seccomp")], f64::from(u8::from(is_filtered))),
        ];
        let help = "Whether privileges were given up, and system calls are filtered.";
        out.gauges("hardened", help, &borrowed(&parts))?;
        let denied: Vec<_> = denied()
            .into_iter()
            .map(|denied| (denied.number.to_string(), f64::from(denied.count)))
            .collect();
        let labels: Vec<_> = denied
            .iter()
            .map(|(number, count)| ([("number", &**number)], *count))
            .collect();
        let help = "System calls that the filter denied, by number.";
        out.counters("denied_syscalls", help, &borrowed(&labels))
    }
}

type Labels<'a> = &'a [(&'static str, &'a str)];

/// A family with one value for each set of labels.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> Result<(), Error> {
        self.single(name, help, unit, &ConstCounter::new(value))
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> Result<(), Error> {
        self.single(name, help, unit, &ConstGauge::new(value))
    }

    fn single(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric: &impl EncodeMetric,
    ) -> Result<(), Error> {
        let kind = metric.metric_type();
        metric.encode(self.0.encode_descriptor(name, help, unit, kind)?)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: &[(Labels<'_>, f64)],
    ) -> Result<(), Error> {
        self.family(name, help, values, ConstCounter::new)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        values: &[(Labels<'_>, f64)],
    ) -> Result<(), Error> {
        self.family(name, help, values, ConstGauge::new)
    }

    fn family<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        values: &[(Labels<'_>, f64)],
        metric: impl Fn(f64) -> M,
    ) -> Result<(), Error> {
        let kind = metric(0.0).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            metric(*value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

fn borrowed<'a, const N: usize>(
    values: &'a [([(&'static str, &'a str); N], f64)],
) -> Vec<(Labels<'a>, f64)> {
    values
        .iter()
        .map(|(labels, value)| (&labels[..], *value))
        .collect()
}

/// In an order that does not change between scrapes.
fn sorted(counts: &std::collections::HashMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
    let mut counts: Vec<_> = counts
        .iter()
        .map(|(name, count)| (&**name, *count))
        .collect();
    counts.sort_unstable();
    counts.into_iter()
}
