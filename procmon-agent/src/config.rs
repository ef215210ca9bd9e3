//! The agent's command line and configuration: which keys there are, their defaults and their ranges.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand};
use procmon_common::config::{ByteSize, KeySet, Labels, Layers, Secret, Setting, Value};
use procmon_common::ids::valid_agent_id;

use crate::ship::base_url;

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
    ],
    unsupported: &["pin", "listen", "mem_limit", "redact"],
};

/// Sees every process of this host from its exec to its exit, and sends it to a procmon server.
#[derive(Debug, Parser)]
#[command(name = "procmon-agent", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Without a command, the agent runs until it is told to stop (Ctrl-C or SIGTERM).
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub flags: Flags,
}

const AFTER_HELP: &str = "Every flag but --config is also a key of the configuration file (agent_id) and an environment \
variable (PROCMON_AGENT_ID). A flag wins over the environment, and that over the file. Nothing is required.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Say what would keep the agent from working here, and how to fix it
    Check,
    /// Print events as JSON lines; needs no server
    Events,
}

/// Flags are text here: all sources are read and checked in the same way.
#[expect(clippy::doc_markdown, reason = "the comments are the text of --help")]
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Configuration file (YAML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this host at the server [default: the host name]
    #[arg(long, global = true, value_name = "NAME")]
    pub agent_id: Option<String>,
    /// Where the server is [default: http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub server_url: Option<String>,
    /// Time between two samples of all processes, from 1s to 1h [default: 5s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub interval: Option<String>,
    /// Token for the server; better in PROCMON_TOKEN or the file: other users can see flags
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A label for this host; can be repeated
    #[arg(
        long = "label",
        visible_alias = "labels",
        global = true,
        value_name = "NAME=VALUE"
    )]
    pub labels: Vec<String>,
    /// How to see processes: auto, ebpf, tracepoint, procnet or sample [default: auto, the best that works]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub probe: Option<String>,
    /// Where batches wait for the server [default: /var/lib/procmon-agent/spool for root]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub spool_dir: Option<PathBuf>,
    /// Size of all that waits; beyond it the oldest is dropped and counted [default: 256MiB]
    #[arg(long, global = true, value_name = "SIZE")]
    pub spool_max_bytes: Option<String>,
    /// Send forks as events, too [default: false]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub fork_events: Option<String>,
    /// Report block requests that take at least this long; 0 reports all [default: 100ms]
    #[arg(long, global = true, value_name = "DURATION")]
    pub io_slow_threshold: Option<String>,
}

impl Flags {
    fn values(&self) -> Vec<(&'static str, Value)> {
        let texts = [
            ("agent_id", &self.agent_id),
            ("server_url", &self.server_url),
            ("interval", &self.interval),
            ("token", &self.token),
            ("probe", &self.probe),
            ("spool_max_bytes", &self.spool_max_bytes),
            ("fork_events", &self.fork_events),
            ("io_slow_threshold", &self.io_slow_threshold),
        ];
        let mut values: Vec<_> = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, Value::Text(text.clone()?))))
            .collect();
        if let Some(folder) = &self.spool_dir {
            values.push(("spool_dir", folder.to_string_lossy().into_owned().into()));
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().cloned().map(Value::Text).collect();
            values.push(("labels", Value::List(labels)));
        }
        values
    }
}

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
            places: KEYS
                .supported
                .iter()
                .map(|key| (*key, layers.place(key)))
                .collect(),
        })
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

fn check_agent_id(agent_id: &str) -> Result<(), String> {
    if valid_agent_id(agent_id) {
        return Ok(());
    }
    Err(
        "is not a valid name; use 1 to 128 letters, digits and . _ - :, for example web-1"
            .to_owned(),
    )
}

fn check_token(token: &Secret) -> Result<(), String> {
    if token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(
        "has a space, a line break or another character that no token has; copy it again"
            .to_owned(),
    )
}

fn check_interval(interval: &Duration) -> Result<(), String> {
    if *interval < Duration::from_secs(1) {
        Err("is too short; the shortest interval is 1s".to_owned())
    } else if *interval > Duration::from_hours(1) {
        Err("is too long; the longest interval is 1h".to_owned())
    } else {
        Ok(())
    }
}

fn check_spool_size(size: ByteSize) -> Result<(), String> {
    if size.0 < 1 << 20 {
        return Err("is too small; the smallest spool is 1MiB".to_owned());
    }
    Ok(())
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
