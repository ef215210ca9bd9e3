//! Hosts themselves: which of them can be believed, and which are down.

use super::{Found, Moment, Plan, Sighting, Subject};
use crate::alerts::labels::LabelSet;
use crate::alerts::rule::Kind;
use crate::alerts::state::Sight;
use crate::live::{AgentStatus, Host};

/// Whether what is known of a host is how it is now: it is heard, and its newest sample is not an old one that was waiting to be
/// sent.
pub(super) fn is_current(host: &Host, now_ms: i64) -> bool {
    if host.agent.status(now_ms) == AgentStatus::Stale {
        return false;
    }
    let Some(frame_ns) = host.frame_ns else {
        return true;
    };
    let sampled_ms = host.agent.server_time_ns(frame_ns) / 1_000_000;
    now_ms.saturating_sub(sampled_ms) <= host.agent.patience_ms()
}

/// Whether all of its processes are known: not while it lists them anew.
pub(super) fn is_complete(host: &Host) -> bool {
    host.synced && !host.span_open && host.frame_ns.is_some()
}

/// What the alert of a silent host is labelled with.
pub(in crate::alerts) fn down_labels(host: &Host) -> LabelSet {
    let hostname = host.agent.health.hostname.as_deref();
    let mut labels = LabelSet::default().with("agent_id", &*host.agent_id);
    labels.insert_known("hostname", hostname);
    labels
}

/// For how long it was silent although it could have been heard: while the server was away nobody could.
pub(super) fn unheard_ms(host: &Host, moment: Moment) -> i64 {
    let heard_ms = host.agent.last_seen_ms.max(moment.quiet_since_ms);
    moment.now_ms.saturating_sub(heard_ms)
}

/// The dead-man rules of a host.
pub(super) fn find_down(plan: &Plan, host: &Host, moment: Moment, found: &mut Found) {
    for (index, rule) in plan.rules().iter().enumerate() {
        let Kind::HostDown { after_ms } = rule.kind else {
            continue;
        };
        if !rule.hosts.takes(&host.agent_id, &host.agent) {
            continue;
        }
        let since = |from_ms: i64| moment.now_ms.saturating_sub(from_ms);
        let silent_ms = since(host.agent.last_seen_ms);
        // Before a host is stale it is only between two batches.
        if silent_ms <= after_ms.max(host.agent.patience_ms()) {
            continue;
        }
        // While the server was away nobody could be heard.
        let waited = since(moment.quiet_since_ms) > after_ms;
        let sight = if waited {
            Sight::Present
        } else {
            Sight::Frozen
        };
        found.sightings.push(Sighting {
            rule: index,
            subject: Subject::host(&host.agent_id),
            sight,
            value: silent_ms as f64 / 1000.0,
            labels: down_labels(host),
        });
    }
}
