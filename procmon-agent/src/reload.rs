//! SIGHUP: the configuration is read again. What can change while the agent runs does; the rest is named.

use anyhow::Result;

use crate::config::{AgentConfig, Flags};
use crate::redact::Redactor;

/// What reading the configuration again led to.
#[derive(Debug)]
pub struct Reloaded {
    /// What is in force now.
    pub config: AgentConfig,
    /// Keys that changed.
    pub changed: Vec<&'static str>,
    /// Keys whose new value is for the next start.
    pub waiting: Vec<&'static str>,
}

impl Reloaded {
    /// Whether batches go elsewhere, or with another token.
    pub fn has_new_target(&self) -> bool {
        self.changed
            .iter()
            .any(|key| matches!(*key, "server_url" | "token"))
    }

    /// Says what became of each key.
    pub fn log(&self) {
        if self.changed.is_empty() {
            tracing::info!(
                "SIGHUP: the configuration was read again, nothing changed that applies now"
            );
        } else {
            tracing::info!("SIGHUP: in force now: {}", self.changed.join(", "));
        }
        if !self.waiting.is_empty() {
            tracing::warn!(
                "SIGHUP: {} changed too, and applies when the agent is restarted",
                self.waiting.join(", ")
            );
        }
    }
}

/// Whether a key can change while the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Now,
    AtStart,
}

/// Reads all layers again, and the rules of redaction, which may be others in the same file. On an error nothing has
/// changed.
pub fn reload(flags: &Flags, running: &AgentConfig, redactor: &Redactor) -> Result<Reloaded> {
    let reloaded = merge(running, AgentConfig::load(flags)?);
    let config = &reloaded.config;
    redactor.reload(config.redact, config.redact_rules.as_deref())?;
    Ok(reloaded)
}

fn merge(running: &AgentConfig, read: AgentConfig) -> Reloaded {
    let (mut changed, mut waiting) = (Vec::new(), Vec::new());
    for (key, effect, differs) in differences(running, &read) {
        match effect {
            _ if !differs => {}
            Effect::Now => changed.push(key),
            Effect::AtStart => waiting.push(key),
        }
    }
    let config = AgentConfig {
        server_url: read.server_url,
        interval: read.interval,
        token: read.token,
        labels: read.labels,
        fork_events: read.fork_events,
        redact: read.redact,
        redact_rules: read.redact_rules,
        mem_limit_bytes: read.mem_limit_bytes,
        cpu_limit_percent: read.cpu_limit_percent,
        ..running.clone()
    };
    Reloaded {
        config,
        changed,
        waiting,
    }
}

/// Every key, when it takes effect, and whether it differs.
fn differences(a: &AgentConfig, b: &AgentConfig) -> [(&'static str, Effect, bool); 17] {
    use Effect::{AtStart, Now};
    let cpu_limit_differs = (a.cpu_limit_percent - b.cpu_limit_percent).abs() > f64::EPSILON;
    [
        ("agent_id", AtStart, a.agent_id != b.agent_id),
        ("server_url", Now, a.server_url != b.server_url),
        ("interval", Now, a.interval != b.interval),
        ("token", Now, a.token != b.token),
        ("labels", Now, a.labels != b.labels),
        ("probe", AtStart, a.probe != b.probe),
        ("spool_dir", AtStart, a.spool_dir != b.spool_dir),
        (
            "spool_max_bytes",
            AtStart,
            a.spool_max_bytes != b.spool_max_bytes,
        ),
        ("fork_events", Now, a.fork_events != b.fork_events),
        (
            "io_slow_threshold",
            AtStart,
            a.io_slow_threshold != b.io_slow_threshold,
        ),
        ("redact", Now, a.redact != b.redact),
        ("redact_rules", Now, a.redact_rules != b.redact_rules),
        ("pin", AtStart, a.pin != b.pin),
        ("listen", AtStart, a.listen != b.listen),
        ("mem_limit", Now, a.mem_limit_bytes != b.mem_limit_bytes),
        ("cpu_limit", Now, cpu_limit_differs),
        ("hardening", AtStart, a.hardening != b.hardening),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Host, KEY_NAMES};

    fn config(arguments: &Flags) -> AgentConfig {
        let host = Host {
            name: "web-1".to_owned(),
            is_root: true,
        };
        AgentConfig::resolve(arguments, Vec::new(), &host).expect("valid")
    }

    #[test]
    fn every_key_has_its_time() {
        let config = config(&Flags::default());
        let keys = differences(&config, &config).map(|(key, ..)| key);
        assert_eq!(keys[..], *KEY_NAMES);
    }

    #[test]
    fn what_can_change_does_and_the_rest_waits() {
        let running = config(&Flags::default());
        let read = config(&Flags {
            interval: Some("2s".to_owned()),
            cpu_limit: Some("1%".to_owned()),
            agent_id: Some("other".to_owned()),
            ..Flags::default()
        });
        let reloaded = merge(&running, read);
        assert_eq!(reloaded.changed, ["interval", "cpu_limit"]);
        assert_eq!(reloaded.waiting, ["agent_id"]);
        assert_eq!(reloaded.config.interval, Duration::from_secs(2));
        assert_eq!(reloaded.config.agent_id, "web-1");
        assert!(!reloaded.has_new_target());
    }

    #[test]
    fn another_token_is_another_target() {
        let read = config(&Flags {
            token: Some("t".to_owned()),
            ..Flags::default()
        });
        assert!(merge(&config(&Flags::default()), read).has_new_target());
    }
}
