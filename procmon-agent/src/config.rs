//! The agent's command line and configuration: which keys there are, their defaults and their ranges.

mod flags;
mod ranges;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use procmon_common::config::{KeySet, Labels, Layers, Secret, Setting, Value};
use procmon_common::ids::valid_agent_id;

use crate::limits::Allowance;
use crate::ship::base_url;
pub use flags::{Cli, Command, Flags, TopFlags};
use ranges::{Listen, MemoryLimit, Percent};
use ranges::{
    check_agent_id, check_cpu_limit, check_interval, check_mem_limit, check_spool_size, check_token,
};

const KEYS: KeySet = KeySet {
    supported: &[
        "agent_id",
        "server_url",
        "interval",
        "token",
        "labels",
        "probe",
        "spool_dir",
        "spool_max_bytes",
        "fork_events",
        "io_slow_threshold",
        "redact",
        "redact_rules",
        "pin",
        "listen",
        "mem_limit",
        "cpu_limit",
        "hardening",
    ],
    unsupported: &[],
};

/// Every key there is.
#[cfg(test)]
pub(crate) const KEY_NAMES: &[&str] = KEYS.supported;

/// The level of the probe ladder that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// The best that works here.
    #[default]
    Auto,
    Ebpf,
    Tracepoint,
    Procnet,
    Sample,
}

impl Probe {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ebpf => "ebpf",
            Self::Tracepoint => "tracepoint",
            Self::Procnet => "procnet",
            Self::Sample => "sample",
        }
    }
}

impl Setting for Probe {
    const EXPECTED: &'static str = "auto, ebpf, tracepoint, procnet or sample";

    fn from_value(value: &Value) -> Option<Self> {
        [
            Self::Auto,
            Self::Ebpf,
            Self::Tracepoint,
            Self::Procnet,
            Self::Sample,
        ]
        .into_iter()
        .find(|probe| value.scalar() == Some(probe.name()))
    }
}

/// What the agent runs with.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct AgentConfig {
    pub agent_id: String,
    /// Without a slash at its end.
    pub server_url: String,
    pub interval: Duration,
    pub token: Option<Secret>,
    pub labels: BTreeMap<String, String>,
    pub probe: Probe,
    pub spool_dir: PathBuf,
    pub spool_max_bytes: u64,
    pub fork_events: bool,
    /// Zero: every block request is reported.
    pub io_slow_threshold: Duration,
    /// Whether what looks like a secret in argv is replaced before anything leaves this host.
    pub redact: bool,
    /// Rules of the operator's own for what is a secret.
    pub redact_rules: Option<PathBuf>,
    /// Whether programs and rings stay in the kernel while the agent restarts.
    pub pin: bool,
    /// Where the agent serves its own metrics and health.
    pub listen: Option<SocketAddr>,
    /// Zero: no limit.
    pub mem_limit_bytes: u64,
    /// What sampling may use of one core; zero: no limit.
    pub cpu_limit_percent: f64,
    /// Whether privileges that only the start needs are given up, and system calls filtered.
    pub hardening: bool,
    /// Where each key comes from, for `check`.
    pub(crate) places: BTreeMap<&'static str, String>,
}

/// What the defaults depend on.
#[derive(Clone, Debug)]
pub struct Host {
    pub name: String,
    pub is_root: bool,
}

impl Host {
    pub fn this() -> Self {
        Self {
            name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

impl AgentConfig {
    /// Reads all layers for this host and this environment.
    pub fn load(flags: &Flags) -> anyhow::Result<Self> {
        Self::resolve(flags, std::env::vars_os().collect(), &Host::this())
    }

    pub fn resolve(
        flags: &Flags,
        environment: Vec<(OsString, OsString)>,
        host: &Host,
    ) -> anyhow::Result<Self> {
        let state_folder = state_folder(&environment, host);
        let layers = Layers::read(&KEYS, flags.values(), environment, flags.config.as_deref())?;
        for text in layers.misspelt() {
            tracing::warn!("{text}");
        }
        let spool_dir = match layers.get("spool_dir")? {
            Some(folder) => folder,
            None => state_folder
                .context("spool_dir: there is no HOME to derive it from; set --spool-dir")?,
        };
        Ok(Self {
            agent_id: layers
                .get_checked("agent_id", |id: &String| check_agent_id(id))?
                .unwrap_or_else(|| agent_id_of(&host.name)),
            server_url: server_url(&layers)?,
            interval: layers
                .get_checked("interval", check_interval)?
                .unwrap_or(Duration::from_secs(5)),
            token: layers.get_checked("token", check_token)?,
            labels: layers.get::<Labels>("labels")?.unwrap_or_default().0,
            probe: layers.get("probe")?.unwrap_or_default(),
            spool_dir,
            spool_max_bytes: layers
                .get_checked("spool_max_bytes", |size| check_spool_size(*size))?
                .map_or(256 << 20, |size| size.0),
            fork_events: layers.get("fork_events")?.unwrap_or(false),
            io_slow_threshold: layers
                .get("io_slow_threshold")?
                .unwrap_or(Duration::from_millis(100)),
            redact: layers.get("redact")?.unwrap_or(true),
            redact_rules: layers.get("redact_rules")?,
            pin: layers.get("pin")?.unwrap_or(false),
            listen: layers.get("listen")?.unwrap_or(Listen(None)).0,
            mem_limit_bytes: layers
                .get_checked("mem_limit", |limit| check_mem_limit(*limit))?
                .unwrap_or(MemoryLimit(256 << 20))
                .0,
            cpu_limit_percent: layers
                .get_checked("cpu_limit", |limit| check_cpu_limit(*limit))?
                .unwrap_or(Percent(5.0))
                .0,
            hardening: layers.get("hardening")?.unwrap_or(true),
            places: KEYS
                .supported
                .iter()
                .map(|key| (*key, layers.place(key)))
                .collect(),
        })
    }
}

impl AgentConfig {
    /// Whether a key was set anywhere.
    pub fn is_set(&self, key: &str) -> bool {
        self.places.get(key).is_some_and(|place| place != "default")
    }

    /// What the agent may cost.
    pub fn allowance(&self) -> Allowance {
        Allowance {
            interval: self.interval,
            mem_limit_bytes: self.mem_limit_bytes,
            cpu_limit_percent: self.cpu_limit_percent,
        }
    }
}

fn server_url(layers: &Layers) -> anyhow::Result<String> {
    let text = layers
        .get::<String>("server_url")?
        .unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let url = base_url(&text)
        .map_err(|error| anyhow!("{}: the address {error}", layers.place("server_url")))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The host's name, with what an agent id cannot have replaced.
fn agent_id_of(host_name: &str) -> String {
    let replaced: String = host_name
        .chars()
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | ':' => letter,
            _ => '-',
        })
        .take(128)
        .collect();
    if valid_agent_id(&replaced) {
        replaced
    } else {
        "unnamed-host".to_owned()
    }
}

/// Where this user's programs keep their state.
fn state_folder(environment: &[(OsString, OsString)], host: &Host) -> Option<PathBuf> {
    if host.is_root {
        return Some(PathBuf::from("/var/lib/procmon-agent/spool"));
    }
    let folder = |name: &str| {
        let (_, value) = environment.iter().find(|(known, _)| known == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let base = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(base.join("procmon-agent/spool"))
}
