//! An agent as the API shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::clock::{rfc3339_ms, rfc3339_ns};
use crate::live::{Agent, AgentStatus, Gap, Host};

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub struct AgentList {
    pub agents: Vec<AgentBody>,
}

/// An agent and its health. What is not known is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentBody {
    pub agent_id: String,
    pub hostname: Option<String>,
    pub boot_id: Option<String>,
    pub version: Option<String>,
    pub kernel: Option<String>,
    /// How it sees processes: ebpf, tracepoint, procnet, sample or upload; and why not better.
    pub probe: Option<String>,
    pub probe_reason: Option<String>,
    /// Silent agents are stale.
    pub status: AgentStatus,
    pub first_seen: String,
    pub last_seen: String,
    pub interval_ms: u32,
    /// The interval in force: longer when the agent slowed down to keep its budget.
    pub effective_interval_ms: u32,
    /// From the building of the newest batch until it arrived.
    pub lag_ms: Option<i64>,
    /// How far the host's clock is ahead of the server's.
    pub clock_offset_ms: i64,
    /// The clock is more than 5 s off.
    pub skewed: bool,
    /// What was not seen since the agent started, by kind and reason.
    pub drops: BTreeMap<String, u64>,
    /// What was seen since the agent started, by kind.
    pub events: BTreeMap<String, u64>,
    pub labels: BTreeMap<String, String>,
    pub spool_bytes: Option<u64>,
    pub spool_max_bytes: Option<u64>,
    /// Argument values that the agent replaced since it started, because they look like secrets.
    pub redactions: Option<u64>,
    /// What the agent gave up to keep its limits: argv, `sample_rate`, processes.
    pub degraded: Vec<String>,
    /// Null: no limit.
    pub mem_limit_bytes: Option<u64>,
    /// Highest fill of the kernel's ring since the report before.
    pub ring_used_bytes: Option<u64>,
    pub ring_bytes: Option<u64>,
    pub coverage: Coverage,
    /// Number of processes now.
    pub processes: usize,
    pub cpus: Option<u32>,
    pub memory_total: Option<u64>,
    pub memory_available: Option<u64>,
    /// Percent of one core, summed over all.
    pub cpu_percent: Option<f64>,
    /// Over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    pub boot_time: Option<String>,
    /// Cost of the agent itself.
    pub agent_rss_bytes: Option<u64>,
    pub agent_cpu_time_ms: Option<f64>,
    pub sample_ms: Option<f64>,
}

/// Since when the agent has seen everything, but for the gaps.
#[derive(Debug, Serialize, ToSchema)]
pub struct Coverage {
    pub since: Option<String>,
    /// When the host was watched, oldest first: between them no agent ran (gaps with the reason `agent_down`). What was lost while
    /// one ran is in the other gaps.
    pub windows: Vec<CoverageWindow>,
    /// The newest 100, oldest first.
    pub gaps: Vec<CoverageGap>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CoverageWindow {
    pub from: String,
    /// When it was last heard.
    pub to: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CoverageGap {
    pub from: String,
    pub to: String,
    /// Of what: exec, exit, fork, `io_slow`, sample, batch.
    pub kind: String,
    pub reason: String,
    pub count: u64,
}

/// All agents, by id.
pub fn list(app: &App) -> AgentList {
    let now_ms = app.clock.now_ms();
    let hosts = app.live.hosts(None);
    AgentList {
        agents: hosts
            .iter()
            .map(|entry| AgentBody::new(&entry.read(), now_ms))
            .collect(),
    }
}

impl AgentBody {
    pub fn new(host: &Host, now_ms: i64) -> Self {
        let agent = &host.agent;
        let health = &agent.health;
        let totals = agent.totals;
        let ms = |ns: u64| ns as f64 / 1e6;
        Self {
            agent_id: host.agent_id.to_string(),
            hostname: health.hostname.clone(),
            boot_id: agent.boot_id.map(|boot| boot.to_string()),
            version: health.version.clone(),
            kernel: health.kernel.clone(),
            probe: health.probe.clone(),
            probe_reason: health.probe_reason.clone(),
            status: agent.status(now_ms),
            first_seen: rfc3339_ms(agent.first_seen_ms),
            last_seen: rfc3339_ms(agent.last_seen_ms),
            interval_ms: agent.interval_ms,
            effective_interval_ms: health.effective_interval_ms.unwrap_or(agent.interval_ms),
            lag_ms: agent.lag_ms,
            clock_offset_ms: agent.clock_offset_ms,
            skewed: agent.skewed(),
            drops: health.drops.clone(),
            events: health.events.clone(),
            labels: health.labels.clone(),
            spool_bytes: health.spool_bytes,
            spool_max_bytes: health.spool_max_bytes,
            redactions: health.redactions,
            degraded: health.degraded.clone(),
            mem_limit_bytes: health.mem_limit_bytes,
            ring_used_bytes: health.ring_used_bytes,
            ring_bytes: health.ring_bytes,
            coverage: Coverage {
                since: health.covered_since_ns.map(rfc3339_ns),
                windows: windows(agent),
                gaps: agent.gaps.iter().map(CoverageGap::new).collect(),
            },
            processes: host.process_count(),
            cpus: totals.map(|totals| totals.cpus),
            memory_total: totals.map(|totals| totals.memory_total_bytes),
            memory_available: totals.map(|totals| totals.memory_available_bytes),
            cpu_percent: totals
                .and_then(|totals| totals.cpu_centipercent)
                .map(|centi| f64::from(centi) / 100.0),
            load: totals.map(|totals| totals.load_centi.map(|centi| f64::from(centi) / 100.0)),
            boot_time: totals
                .filter(|totals| totals.boot_ns != 0)
                .map(|totals| rfc3339_ns(totals.boot_ns)),
            agent_rss_bytes: health.rss_bytes,
            agent_cpu_time_ms: health.cpu_time_ns.map(ms),
            sample_ms: health.sample_ns.map(ms),
        }
    }
}

/// The time since the agent was first heard, without the times when none ran.
fn windows(agent: &Agent) -> Vec<CoverageWindow> {
    let first_seen_ns = agent.first_seen_ms.saturating_mul(1_000_000);
    let mut from_ns = agent.health.covered_since_ns.unwrap_or(first_seen_ns);
    let ahead_ms = if agent.skewed() {
        agent.clock_offset_ms
    } else {
        0
    };
    let last_heard_ms = agent.last_seen_ms.saturating_add(ahead_ms);
    let until_ns = last_heard_ms.saturating_mul(1_000_000);
    let mut down: Vec<(i64, i64)> = agent
        .gaps
        .iter()
        .filter(|gap| gap.is_agent_down())
        .map(|gap| (gap.loss.from_ns, gap.until_ns))
        .collect();
    down.sort_unstable();
    down.push((until_ns, i64::MAX));
    let mut windows = Vec::new();
    for (down_ns, up_ns) in down {
        if down_ns >= from_ns {
            windows.push(CoverageWindow {
                from: rfc3339_ns(from_ns),
                to: rfc3339_ns(down_ns),
            });
        }
        from_ns = from_ns.max(up_ns);
    }
    windows
}

impl CoverageGap {
    fn new(gap: &Gap) -> Self {
        Self {
            from: rfc3339_ns(gap.loss.from_ns),
            to: rfc3339_ns(gap.until_ns),
            kind: gap.loss.kind.to_string(),
            reason: gap.loss.reason.to_string(),
            count: gap.loss.count,
        }
    }
}
