//! What a running server's /metrics says about the processes of its hosts, and one line for people about it.

use anyhow::Result;

use crate::http;

const AGENTS: &str = "procmon_agents";
const PROCESSES: &str = "procmon_processes";
const STARTS: &str = "procmon_process_starts_total";
const EXITS: &str = "procmon_process_exits_total";
const DROPS: &str = "procmon_agent_drops_total";

/// Sums over every agent of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    pub(crate) agents: u64,
    pub(crate) processes: u64,
    pub(crate) starts: u64,
    pub(crate) exits: u64,
    pub(crate) drops: u64,
}

impl Activity {
    pub(crate) fn of_server(url: &str) -> Result<Self> {
        Ok(Self::of_metrics(&http::get(url, "/metrics")?))
    }

    fn of_metrics(metrics: &str) -> Self {
        let sum = |name| metrics.lines().filter_map(|line| value(line, name)).sum();
        Self {
            agents: sum(AGENTS),
            processes: sum(PROCESSES),
            starts: sum(STARTS),
            exits: sum(EXITS),
            drops: sum(DROPS),
        }
    }

    /// A line when something happened, and another when something was lost.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let (starts, exits) = (self.starts - before.starts, self.exits - before.exits);
        if starts > 0 || exits > 0 || self.processes != before.processes {
            lines.push(format!(
                "{starts} started, {exits} ended, {} processes",
                self.processes
            ));
        }
        if self.drops > before.drops {
            lines.push(format!(
                "WARNING: {} records were lost; see the agent's page for where",
                self.drops - before.drops
            ));
        }
        lines
    }
}

/// The value of a line `name{labels} value [time]` or `name value`.
fn value(line: &str, name: &str) -> Option<u64> {
    let rest = line.strip_prefix(name)?;
    let rest = if rest.starts_with('{') {
        rest.rsplit_once('}')?.1
    } else {
        rest
    };
    let value: f64 = rest.strip_prefix(' ')?.split(' ').next()?.parse().ok()?;
    Some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_metric_are_summed_over_its_labels() {
        let metrics = "# TYPE procmon_process_starts counter\n\
            procmon_process_starts_total{agent_id=\"a}b\"} 3\n\
            procmon_process_starts_total{agent_id=\"c\"} 4 1700000000.5\n\
            procmon_process_starts_created{agent_id=\"c\"} 9\n\
            procmon_agents{status=\"live\"} 1\n";
        let activity = Activity::of_metrics(metrics);
        assert_eq!((activity.starts, activity.agents), (7, 1));
    }

    #[test]
    fn silence_makes_no_line_and_loss_makes_its_own() {
        let before = Activity {
            processes: 90,
            ..Activity::default()
        };
        assert!(before.since(&before).is_empty());
        let now = Activity {
            starts: 12,
            exits: 11,
            drops: 2,
            processes: 91,
            ..before
        };
        let lines = now.since(&before);
        assert_eq!(lines[0], "12 started, 11 ended, 91 processes");
        assert!(lines[1].contains("2 records were lost"));
    }
}
