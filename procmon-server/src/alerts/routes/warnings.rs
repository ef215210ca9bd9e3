//! What is accepted in a rule, and probably not meant.

use crate::alerts::rule::{Kind, Rule};
use crate::app::App;

/// Hosts named in one warning.
const NAMED: usize = 3;

pub(super) fn warnings(app: &App, rule: &Rule) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut slow = Vec::new();
    let mut hosts = 0_usize;
    for entry in app.live.hosts(None) {
        let host = entry.read();
        if rule.hosts.takes(&host.agent_id, &host.agent) {
            hosts += 1;
            let interval_ms = i64::from(host.agent.interval_ms);
            if interval_ms > rule.for_ms {
                slow.push((host.agent_id.to_string(), interval_ms));
            }
        }
    }
    if rule.for_ms > 0 && rule.is_about_processes() {
        if !slow.is_empty() {
            let longest = slow.iter().map(|(_, interval_ms)| *interval_ms).max();
            let names: Vec<_> = slow
                .iter()
                .take(NAMED)
                .map(|(name, _)| name.as_str())
                .collect();
            warnings.push(format!(
                "for is {}, shorter than the sampling interval ({}) of {}{}: a single sample makes it fire",
                seconds(rule.for_ms),
                seconds(longest.unwrap_or(0)),
                names.join(", "),
                if slow.len() > NAMED { " and others" } else { "" }
            ));
        }
        let eval_ms = app.alerts.eval_interval_ms;
        if rule.for_ms < eval_ms {
            warnings.push(format!(
                "for is {}, shorter than eval_interval ({}): it fires at the second evaluation",
                seconds(rule.for_ms),
                seconds(eval_ms)
            ));
        }
    }
    if let Kind::HostDown { after_ms } = rule.kind {
        let patience_ms = patience_ms(app, rule);
        if after_ms < patience_ms {
            warnings.push(format!(
                "after is {}, shorter than {}, for which hosts may be silent between two batches: it fires after that",
                seconds(after_ms),
                seconds(patience_ms)
            ));
        }
    }
    if app.alerts.shown().is_hidden(rule) {
        warnings.push(
            "a rule of the API has the same id; this one counts as long as its file has it"
                .to_owned(),
        );
    }
    if hosts == 0 && (rule.body.agent_id.is_some() || !rule.body.agent_labels.is_empty()) {
        warnings
            .push("no host that was heard so far is meant by agent_id and agent_labels".to_owned());
    }
    if matches!(rule.kind, Kind::Absence) && rule.body.agent_id.is_none() {
        let all = rule.body.agent_labels.is_empty();
        if all && hosts > 1 {
            warnings.push(format!(
                "without agent_id or agent_labels it fires on each of the {hosts} hosts that has no such process"
            ));
        }
    }
    warnings
}

/// The longest that a host of the rule may be silent before it is stale.
fn patience_ms(app: &App, rule: &Rule) -> i64 {
    let hosts = app.live.hosts(None);
    let hosts = hosts.iter().filter_map(|entry| {
        let host = entry.read();
        let takes = rule.hosts.takes(&host.agent_id, &host.agent);
        takes.then(|| host.agent.patience_ms())
    });
    hosts.max().unwrap_or(0)
}

fn seconds(ms: i64) -> String {
    format!("{}s", ms as f64 / 1000.0)
}
