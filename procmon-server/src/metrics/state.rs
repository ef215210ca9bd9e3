//! Metrics that are read from the state when asked.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families as of;
use super::family::Family;
use super::figures::{Figures, Group};
use super::own::Own;
use crate::app::App;
use crate::batch::{BUCKETS, Histogram};

#[derive(Debug)]
pub(super) struct StateCollector {
    pub(super) app: App,
    pub(super) groups: usize,
}

pub(super) type Encoded = std::fmt::Result;

impl Collector for StateCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let encoder = &mut encoder;
        let shown = &self.app.metrics.shown;
        let hosts = super::figures::collect(&self.app, shown, self.groups);
        agents(encoder, &hosts)?;
        drops(encoder, &hosts)?;
        processes(encoder, &hosts)?;
        totals(encoder, &hosts)?;
        self.block_latency(encoder)?;
        groups(encoder, &hosts)?;
        self.store(encoder)?;
        super::store::encode(&self.app.store, encoder)?;
        super::compaction::encode(&self.app.compaction, encoder)?;
        super::alerts::encode(&self.app.alerts.shown(), encoder)?;
        super::delivery::encode(&self.app.delivery.stats, encoder)?;
        self.queues(encoder)?;
        own(encoder, self.app.metrics.started_ms)
    }
}

/// A sample for each host that has one.
fn per_host<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    hosts: &[Figures],
    value: impl Fn(&Figures) -> Option<V>,
) -> Encoded {
    family.encode(encoder, |metric| {
        for host in hosts {
            if let Some(value) = value(host) {
                let labels = [("agent_id", &*host.agent_id)];
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    })
}

fn counted_per_host<V: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    hosts: &[Figures],
    value: impl Fn(&Figures) -> Option<V>,
) -> Encoded {
    family.encode(encoder, |metric| {
        for host in hosts {
            if let Some(value) = value(host) {
                let labels = [("agent_id", &*host.agent_id)];
                counted(&mut metric.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    })
}

fn agents(encoder: &mut DescriptorEncoder<'_>, hosts: &[Figures]) -> Encoded {
    let live = hosts.iter().filter(|host| host.live).count();
    of::AGENTS.encode(encoder, |metric| {
        for (status, count) in [("live", live), ("stale", hosts.len() - live)] {
            let labels = [("status", status)];
            ConstGauge::new(count as u64).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    })?;
    of::AGENT_INFO.encode(encoder, |metric| {
        for host in hosts {
            let health = &host.agent.health;
            let known = |text: &Option<String>| text.clone().unwrap_or_default();
            let labels = [
                ("agent_id", host.agent_id.to_string()),
                ("hostname", known(&health.hostname)),
                ("version", known(&health.version)),
                ("kernel", known(&health.kernel)),
                ("probe", known(&health.probe)),
            ];
            metric.encode_info(&labels.to_vec())?;
        }
        Ok(())
    })?;
    per_host(encoder, &of::AGENT_UP, hosts, |host| {
        Some(i64::from(host.live))
    })?;
    per_host(encoder, &of::AGENT_LAST_SEEN, hosts, |host| {
        Some(host.agent.last_seen_ms as f64 / 1000.0)
    })?;
    per_host(encoder, &of::AGENT_LAG, hosts, |host| {
        host.agent.lag_ms.map(|lag_ms| lag_ms as f64 / 1000.0)
    })?;
    per_host(encoder, &of::AGENT_CLOCK_OFFSET, hosts, |host| {
        Some(host.agent.clock_offset_ms as f64 / 1000.0)
    })?;
    per_host(encoder, &of::AGENT_SPOOL, hosts, |host| {
        host.agent.health.spool_bytes
    })?;
    per_host(encoder, &of::AGENT_MEMORY, hosts, |host| {
        host.agent.health.rss_bytes
    })?;
    counted_per_host(encoder, &of::AGENT_CPU, hosts, |host| {
        host.agent.health.cpu_time_ns.map(seconds)
    })?;
    per_host(encoder, &of::AGENT_SAMPLE, hosts, |host| {
        host.agent.health.sample_ns.map(seconds)
    })
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn drops(encoder: &mut DescriptorEncoder<'_>, hosts: &[Figures]) -> Encoded {
    of::AGENT_DROPS.encode(encoder, |metric| {
        for host in hosts {
            for (key, count) in &host.agent.health.drops {
                let (kind, reason) = key.split_once('.').unwrap_or((key, "unknown"));
                let labels = [
                    ("agent_id", &*host.agent_id),
                    ("kind", kind),
                    ("reason", reason),
                ];
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    })
}

fn processes(encoder: &mut DescriptorEncoder<'_>, hosts: &[Figures]) -> Encoded {
    of::PROCESSES.encode(encoder, |metric| {
        for host in hosts {
            for (state, count) in &host.states {
                let labels = [("agent_id", &*host.agent_id), ("state", state)];
                ConstGauge::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    })?;
    counted_per_host(encoder, &of::STARTS, hosts, |host| Some(host.starts))?;
    counted_per_host(encoder, &of::EXITS, hosts, |host| Some(host.exits))?;
    counted_per_host(encoder, &of::OOM_KILLS, hosts, |host| Some(host.oom_kills))
}

fn totals(encoder: &mut DescriptorEncoder<'_>, hosts: &[Figures]) -> Encoded {
    // Of a host that is silent for long nothing is current.
    let known = |host: &Figures| host.agent.totals.filter(|_| !host.states.is_empty());
    per_host(encoder, &of::HOST_CPUS, hosts, |host| {
        Some(i64::from(known(host)?.cpus))
    })?;
    per_host(encoder, &of::HOST_CPU, hosts, |host| {
        Some(f64::from(known(host)?.cpu_centipercent?) / 1e4)
    })?;
    of::HOST_LOAD.encode(encoder, |metric| {
        for host in hosts {
            let Some(totals) = known(host) else { continue };
            for (window, load) in ["1m", "5m", "15m"].into_iter().zip(totals.load_centi) {
                let labels = [("agent_id", &*host.agent_id), ("window", window)];
                let load = f64::from(load) / 100.0;
                metric.encode_family(&labels)?.encode_gauge(&load)?;
            }
        }
        Ok(())
    })?;
    per_host(encoder, &of::HOST_MEMORY, hosts, |host| {
        Some(known(host)?.memory_total_bytes)
    })?;
    per_host(encoder, &of::HOST_MEMORY_AVAILABLE, hosts, |host| {
        Some(known(host)?.memory_available_bytes)
    })?;
    per_host(encoder, &of::HOST_SWAP, hosts, |host| {
        Some(known(host)?.swap_total_bytes)
    })?;
    per_host(encoder, &of::HOST_SWAP_USED, hosts, |host| {
        Some(known(host)?.swap_used_bytes)
    })?;
    per_host(encoder, &of::HOST_BOOT, hosts, |host| {
        let boot_ns = known(host)?.boot_ns;
        (boot_ns != 0).then_some(boot_ns as f64 / 1e9)
    })
}

fn groups(encoder: &mut DescriptorEncoder<'_>, hosts: &[Figures]) -> Encoded {
    type Value = fn(&Group) -> Option<f64>;
    let families: [(&Family, Value); 5] = [
        (&of::GROUP_PROCESSES, |group| Some(group.processes as f64)),
        (&of::GROUP_CPU, |group| group.cpu_ratio),
        (&of::GROUP_MEMORY, |group| {
            group.memory_bytes.map(|bytes| bytes as f64)
        }),
        (&of::GROUP_THREADS, |group| {
            group.threads.map(|count| count as f64)
        }),
        (&of::GROUP_FDS, |group| {
            group.open_fds.map(|count| count as f64)
        }),
    ];
    for (family, value) in families {
        family.encode(encoder, |metric| {
            for host in hosts {
                for (name, group) in &host.groups {
                    let Some(value) = value(group) else { continue };
                    let labels = [("agent_id", &*host.agent_id), ("name", name.as_str())];
                    metric.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

impl StateCollector {
    /// Every second bucket: a power of four of microseconds.
    fn block_latency(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        of::BLOCK_LATENCY.encode(encoder, |metric| {
            for entry in self.app.live.hosts(None) {
                let host = entry.read();
                for (device, histograms) in &host.block_latencies.devices {
                    for (operation, histogram) in histograms {
                        let labels = [
                            ("agent_id", &*host.agent_id),
                            ("device", &**device),
                            ("op", operation.name()),
                        ];
                        metric
                            .encode_family(&labels)?
                            .encode_histogram::<NoLabelSet>(
                                histogram.latency_sum_ns as f64 / 1e9,
                                histogram.requests(),
                                &exported(histogram),
                                None,
                            )?;
                    }
                }
            }
            Ok(())
        })
    }

    fn store(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let stats = self.app.store.stats();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for (family, value) in [
            (&of::STORE_COMMITS, load(&stats.commits)),
            (&of::STORE_BATCHES, load(&stats.batches)),
            (&of::STORE_WRITTEN, load(&stats.bytes)),
            (&of::STORE_FAILURES, load(&stats.failures)),
        ] {
            family.encode(encoder, |metric| counted(metric, &value))?;
        }
        let spent = seconds(load(&stats.commit_nanos));
        of::STORE_COMMIT.encode(encoder, |metric| counted(metric, &spent))
    }

    fn queues(&self, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
        let queues = self.app.queues();
        for (family, value) in [
            (
                &of::QUEUE_LENGTH,
                (|queue| queue.length) as fn(&Queue) -> u64,
            ),
            (&of::QUEUE_CAPACITY, |queue| queue.capacity),
        ] {
            family.encode(encoder, |metric| {
                for queue in &queues {
                    let labels = [("queue", queue.name)];
                    ConstGauge::new(value(queue)).encode(metric.encode_family(&labels)?)?;
                }
                Ok(())
            })?;
        }
        let memory = &self.app.body_memory;
        for (family, value) in [
            (&of::BODY_MEMORY, memory.held_bytes()),
            (&of::BODY_MEMORY_SIZE, memory.size_bytes()),
            (&of::STREAMS, self.app.open_streams()),
            (&of::SHARED, self.app.live.shared().len()),
        ] {
            gauge(encoder, family, &(value as u64))?;
        }
        Ok(())
    }
}

/// How full something is that is bounded.
pub(crate) struct Queue {
    pub(crate) name: &'static str,
    pub(crate) length: u64,
    pub(crate) capacity: u64,
}

fn own(encoder: &mut DescriptorEncoder<'_>, started_ms: i64) -> Encoded {
    of::BUILD.encode(encoder, |metric| {
        metric.encode_info(&vec![("version", env!("CARGO_PKG_VERSION"))])
    })?;
    let own = Own::read();
    if let Some(seconds) = own.cpu_seconds {
        of::SERVER_CPU.encode(encoder, |metric| counted(metric, &seconds))?;
    }
    if let Some(bytes) = own.resident_bytes {
        gauge(encoder, &of::SERVER_MEMORY, &bytes)?;
    }
    if let Some(fds) = own.open_fds {
        gauge(encoder, &of::SERVER_FDS, &fds)?;
    }
    gauge(encoder, &of::SERVER_START, &(started_ms as f64 / 1000.0))
}

pub(super) fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    value: &V,
) -> Encoded {
    family.encode(encoder, |metric| metric.encode_gauge(value))
}

pub(super) fn counted<V: EncodeCounterValue>(metric: &mut MetricEncoder<'_>, value: &V) -> Encoded {
    metric.encode_counter::<NoLabelSet, V, f64>(value, None)
}

/// Upper bounds in seconds, and what lies between each and the one before.
fn exported(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(BUCKETS / 2 + 1);
    let mut count = 0;
    for (index, more) in histogram.buckets[..BUCKETS - 1].iter().enumerate() {
        count += more;
        if index.is_multiple_of(2) {
            buckets.push(((1_u64 << index) as f64 / 1e6, std::mem::take(&mut count)));
        }
    }
    buckets.push((f64::INFINITY, count + histogram.buckets[BUCKETS - 1]));
    buckets
}
