//! What the agents' table keeps of an agent besides its health: without it, a restart of the server would forget when nobody
//! had looked at a host.

use serde::{Deserialize, Serialize};

use super::agent::{AGENT_DOWN, Agent, Gap, Health, UNSENT_NS};
use crate::batch::Loss;

/// The column `health`. Rows of earlier versions have nothing but the health.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    #[serde(flatten)]
    health: Health,
    last_built_ms: i64,
    /// Times without an agent, each from and until. Other gaps are in the events of type `loss`.
    down_ns: Vec<(i64, i64)>,
}

pub(super) fn to_text(agent: &Agent) -> String {
    let down = agent
        .gaps
        .iter()
        .filter(|gap| &*gap.loss.reason == AGENT_DOWN);
    let kept = Kept {
        health: agent.health.clone(),
        last_built_ms: agent.last_built_ms,
        down_ns: down.map(|gap| (gap.loss.from_ns, gap.until_ns)).collect(),
    };
    serde_json::to_string(&kept).unwrap_or_default()
}

/// A row that cannot be read tells nothing.
pub(super) fn from_text(text: &str, agent: &mut Agent) {
    let kept: Kept = serde_json::from_str(text).unwrap_or_default();
    agent.health = kept.health;
    agent.last_built_ms = kept.last_built_ms;
    let gaps = kept.down_ns.into_iter();
    agent.gaps = gaps
        .map(|(from_ns, until_ns)| down(from_ns, until_ns))
        .collect();
}

fn down(from_ns: i64, until_ns: i64) -> Gap {
    Gap {
        until_ns,
        loss: Loss {
            kind: "agent".into(),
            reason: AGENT_DOWN.into(),
            count: 1,
            from_ns,
            command: None,
            cgroup: None,
        },
    }
}

/// After a replay of what was stored until `newest_ns`, in the run of the agent that began at `epoch_ns`. When the row was
/// written before that run, it lacks the gap between the two, and the replay does not tell when it ended: then all until
/// `newest_ns` is one, which is too much by a second or so, or none at all: what the agent says next of itself takes it back
/// when its rings went on.
pub(super) fn replayed(agent: &mut Agent, epoch_ns: u64, newest_ns: i64) {
    let written_ns = agent.last_built_ms.saturating_mul(1_000_000);
    if written_ns != 0 && written_ns < epoch_ns as i64 {
        let from_ns = written_ns.saturating_sub(UNSENT_NS);
        let gap = down(from_ns, newest_ns.max(epoch_ns as i64));
        agent.gaps.push_back(gap);
    }
    agent.last_built_ms = agent.last_built_ms.max(newest_ns / 1_000_000);
    let gaps = agent.gaps.make_contiguous();
    gaps.sort_by_key(|gap| gap.until_ns);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn since(second: i64) -> Health {
        Health {
            covered_since_ns: Some(second * SECOND_NS),
            ..Health::default()
        }
    }

    /// As after a restart of the server.
    fn restored(agent: &Agent) -> Agent {
        let mut restored = Agent::default();
        from_text(&to_text(agent), &mut restored);
        restored
    }

    fn restarted_once() -> Agent {
        let mut agent = Agent::default();
        agent.note_health(since(1));
        agent.last_built_ms = 5_000;
        agent.note_health(since(9));
        agent.last_built_ms = 10_000;
        agent
    }

    #[test]
    fn a_restart_of_the_server_forgets_no_gap() {
        let agent = restarted_once();
        let mut restored = restored(&agent);
        assert_eq!(restored.gaps, agent.gaps);
        assert_eq!(restored.health, agent.health);
        replayed(&mut restored, 9_000_000_000, 12 * SECOND_NS);
        assert_eq!(restored.last_built_ms, 12_000);
        restored.note_health(since(9));
        assert_eq!(restored.gaps.len(), 1, "the same run goes on");
        restored.note_health(since(15));
        assert_eq!(restored.gaps.len(), 2, "both were restarted");
    }

    #[test]
    fn a_gap_that_was_not_written_is_found_again() {
        let mut restored = restored(&restarted_once());
        replayed(&mut restored, 20_000_000_000, 21 * SECOND_NS);
        restored.note_health(since(20));
        assert_eq!(restored.gaps.len(), 2);
        let gap = restored.gaps.back().expect("a gap");
        assert!(gap.loss.from_ns <= 10 * SECOND_NS && gap.until_ns >= 20 * SECOND_NS);
    }

    #[test]
    fn a_run_that_went_on_meanwhile_takes_its_gap_back() {
        let mut restored = restored(&restarted_once());
        replayed(&mut restored, 20_000_000_000, 21 * SECOND_NS);
        restored.note_health(Health {
            continued: true,
            ..since(9)
        });
        let gaps: Vec<i64> = restored.gaps.iter().map(|gap| gap.until_ns).collect();
        assert_eq!(gaps, [9 * SECOND_NS], "before the rings there is one");
    }

    #[test]
    fn rows_of_earlier_versions_are_read() {
        let mut agent = Agent::default();
        from_text(r#"{"version":"0.1.0","covered_since_ns":7}"#, &mut agent);
        assert_eq!(agent.health.version.as_deref(), Some("0.1.0"));
        assert_eq!((agent.last_built_ms, agent.gaps.len()), (0, 0));
    }
}
