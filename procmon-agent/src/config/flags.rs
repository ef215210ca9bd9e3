//! The agent's command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use procmon_common::config::Value;

use crate::top::Sort;

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
    /// Show the processes of this host; needs no server, and no root
    Top(TopFlags),
    /// Detach and remove what an agent with `pin` left in the kernel
    Unpin,
}

/// What `top` can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct TopFlags {
    /// Print one table after one interval, and end
    #[arg(long)]
    pub once: bool,
    /// What to sort by
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub sort: Sort,
    /// At most so many processes [default: as many as fit]
    #[arg(long, value_name = "COUNT")]
    pub rows: Option<usize>,
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
    /// Replace what looks like a secret in command lines before anything leaves this host [default: true]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub redact: Option<String>,
    /// Rules of your own for what is a secret (YAML)
    #[arg(long, global = true, value_name = "FILE")]
    pub redact_rules: Option<PathBuf>,
    /// Keep watching while the agent restarts: programs and rings stay in the kernel [default: false]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub pin: Option<String>,
    /// Where to serve the agent's own /metrics and /healthz, for example 127.0.0.1:9101 [default: off]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Memory the agent may use: near it, it gives up detail; 0 is no limit [default: 256MiB]
    #[arg(long, global = true, value_name = "SIZE")]
    pub mem_limit: Option<String>,
    /// CPU that sampling may use, in percent of one core: beyond it, it samples less often; 0 is no limit [default: 5%]
    #[arg(long, global = true, value_name = "PERCENT")]
    pub cpu_limit: Option<String>,
    /// Give up every privilege that is not needed after the start, and filter system calls [default: true]
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub hardening: Option<String>,
}

impl Flags {
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let texts = [
            ("agent_id", &self.agent_id),
            ("server_url", &self.server_url),
            ("interval", &self.interval),
            ("token", &self.token),
            ("probe", &self.probe),
            ("spool_max_bytes", &self.spool_max_bytes),
            ("fork_events", &self.fork_events),
            ("io_slow_threshold", &self.io_slow_threshold),
            ("redact", &self.redact),
            ("pin", &self.pin),
            ("listen", &self.listen),
            ("mem_limit", &self.mem_limit),
            ("cpu_limit", &self.cpu_limit),
            ("hardening", &self.hardening),
        ];
        let paths = [
            ("spool_dir", &self.spool_dir),
            ("redact_rules", &self.redact_rules),
        ];
        let mut values: Vec<_> = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, Value::Text(text.clone()?))))
            .collect();
        for (key, path) in paths {
            if let Some(path) = path {
                values.push((key, path.to_string_lossy().into_owned().into()));
            }
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().cloned().map(Value::Text).collect();
            values.push(("labels", Value::List(labels)));
        }
        values
    }
}
