//! What the operator decides: flags, then `PROCMON_…` variables, then a YAML file, then defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Parser, Subcommand};
use procmon_common::config::{ByteSize, ConfigError, Entries, KeySet, Layers, Secret, Value};

use crate::delivery::address_guard::AllowedNetworks;
use crate::ingest::limits::IngestLimits;
use crate::store::{ARGV_BYTES, Limits, MAX_SNAPSHOTS, Place};

const KEYS: KeySet = KeySet {
    supported: &[
        "bind_addr",
        "retention",
        "eval_interval",
        "max_snapshots",
        "persistence",
        "db_dsn",
        "data_dir",
        "event_retention",
        "alert_retention",
        "insecure_no_auth",
        "max_sample_bytes",
        "max_event_bytes",
        "argv_bytes",
        "ingest_limits",
        "metrics_groups",
        "rules_dir",
        "webhook_allow",
    ],
    unsupported: &["tls_cert", "tls_key", "auth", "public_url"],
};

/// Below this a cap would drop the log while it is written.
const MIN_CAP_BYTES: u64 = 16 << 20;
const MIN_ARGV_BYTES: u64 = 64;
const DEFAULT_GROUPS: usize = 10;
const MOST_GROUPS: u64 = 1_000;
const EVAL_INTERVAL: Duration = Duration::from_secs(15);
const MIN_EVAL_INTERVAL: Duration = Duration::from_millis(100);
const MAX_EVAL_INTERVAL: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Keeps what procmon agents see, and serves it over HTTP.
///
/// Every flag is also a variable (`--bind-addr` is `PROCMON_BIND_ADDR`) and a key of the file (`bind_addr`). No file is
/// needed.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Where to listen; `:8080` is every address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    bind_addr: Option<String>,
    /// Where to keep everything; created when missing [default: procmon-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// How often alert rules are evaluated [default: 15s]
    #[arg(long, value_name = "DURATION")]
    eval_interval: Option<String>,
    /// How long it is known what became of alerts [default: 90d]
    #[arg(long, value_name = "DURATION")]
    alert_retention: Option<String>,
    /// A folder of YAML files with rules of alerts
    #[arg(long, value_name = "FOLDER")]
    rules_dir: Option<String>,
    /// How long samples are kept [default: 24h]
    #[arg(long, value_name = "DURATION")]
    retention: Option<String>,
    /// A PostgreSQL database to keep everything in: `postgres://USER:PASSWORD@HOST:5432/DATABASE`. Others can read the flags
    /// of a process; `PROCMON_DB_DSN` and the file are safer
    #[arg(long, value_name = "DSN")]
    db_dsn: Option<String>,
    /// Whether anything is kept beyond this run [default: true]
    #[arg(long, value_name = "true|false")]
    persistence: Option<String>,
    /// Without persistence, how many snapshots of each host are kept [default: as many as `retention` allows]
    #[arg(long, value_name = "NUMBER")]
    max_snapshots: Option<String>,
    /// How much of the disk samples may take, for example 20GB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_sample_bytes: Option<String>,
    /// How much of the disk events may take, for example 20GB [default: no limit]
    #[arg(long, value_name = "SIZE")]
    max_event_bytes: Option<String>,
    /// How much of each argv events keep once their hour is compacted, for example 4096 [default: 256]
    #[arg(long, value_name = "SIZE")]
    argv_bytes: Option<String>,
    /// How long events are kept [default: 7d]
    #[arg(long, value_name = "DURATION")]
    event_retention: Option<String>,
    /// What one agent may make the server take, as `key=value,…` [default: see docs/operations.md]
    #[arg(long, value_name = "LIMITS")]
    ingest_limits: Option<String>,
    /// How many groups of processes of each host /metrics shows by name [default: 10]
    #[arg(long, value_name = "NUMBER")]
    metrics_groups: Option<String>,
    /// Networks that webhooks may reach although they are not public, such as `10.1.0.0/16,127.0.0.1` [default: none]
    #[arg(long, value_name = "NETWORKS")]
    webhook_allow: Option<String>,
    /// Listen on other addresses than loopback although anybody who reaches them can read and write everything
    #[arg(long)]
    insecure_no_auth: bool,
    /// A YAML file with any of these keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the description of the HTTP API (OpenAPI 3.1)
    Openapi,
    /// Print the list of metrics (Markdown)
    Metrics,
    /// Check files of alert rules, and tell everything that is wrong with them
    CheckRules {
        /// Files, or folders of files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
}

#[derive(Clone, Debug)]
pub struct Config {
    pub bind_addr: SocketAddr,
    /// Answer to any name, not to those of this machine only.
    pub any_host: bool,
    /// Where everything is kept, unless it is in a database. Without either nothing is kept beyond this run.
    pub data_dir: Option<PathBuf>,
    pub db_dsn: Option<Secret>,
    /// The key that secrets are encrypted with; without one it ends with this run.
    pub key_file: Option<PathBuf>,
    /// Networks that webhooks may reach although they are not public.
    pub webhook_allow: AllowedNetworks,
    pub retention: Duration,
    pub event_retention: Duration,
    pub max_sample_bytes: Option<u64>,
    pub max_event_bytes: Option<u64>,
    /// Of each argv, in events of an hour that is compacted.
    pub argv_bytes: usize,
    /// Without persistence alone.
    pub max_snapshots: Option<u64>,
    pub ingest_limits: IngestLimits,
    /// Groups of processes of each host that the metrics show by name.
    pub metrics_groups: usize,
    /// From one evaluation of the rules to the next.
    pub eval_interval: Duration,
    /// How long it is known what became of alerts.
    pub alert_retention: Duration,
    /// Where rules are written as files.
    pub rules_dir: Option<PathBuf>,
}

impl Config {
    /// Reads the layers, and refuses what would not be safe or cannot be done.
    pub fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let layers = Layers::read(
            &KEYS,
            arguments.flags(),
            std::env::vars_os(),
            arguments.config.as_deref(),
        )?;
        for text in layers.misspelt() {
            tracing::warn!("{text}");
        }
        Self::from_layers(&layers)
    }

    fn from_layers(layers: &Layers) -> anyhow::Result<Self> {
        let bind_addr = layers
            .get("bind_addr")?
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let any_host = check_reach(bind_addr, layers)?;
        let persistence = layers.get("persistence")?.unwrap_or(true);
        let data_dir: Option<PathBuf> = layers.get("data_dir")?;
        let db_dsn = database(persistence, layers)?;
        let in_folder = persistence && db_dsn.is_none();
        let data_dir = data_dir.unwrap_or_else(|| "procmon-data".into());
        let retention = kept_for(layers, "retention")?.unwrap_or(DAY);
        let event_retention = kept_for(layers, "event_retention")?;
        Ok(Self {
            bind_addr,
            any_host,
            // Beside a database too: whoever has a copy of that should not have the key.
            key_file: persistence.then(|| data_dir.join("secret.key")),
            data_dir: in_folder.then_some(data_dir),
            webhook_allow: webhook_allow(layers)?,
            db_dsn,
            retention,
            // What ends with the server is to stay small.
            event_retention: event_retention.unwrap_or(if persistence {
                7 * DAY
            } else {
                retention
            }),
            max_sample_bytes: size(layers, "max_sample_bytes")?,
            max_event_bytes: size(layers, "max_event_bytes")?,
            argv_bytes: argv_bytes(layers)?,
            max_snapshots: snapshots(persistence, layers)?,
            ingest_limits: ingest_limits(layers)?,
            metrics_groups: metrics_groups(layers)?,
            eval_interval: eval_interval(layers)?.unwrap_or(EVAL_INTERVAL),
            alert_retention: kept_for(layers, "alert_retention")?.unwrap_or(90 * DAY),
            rules_dir: layers.get("rules_dir")?,
        })
    }

    /// What the store may keep.
    pub fn limits(&self) -> Limits {
        Limits {
            samples: Some(self.retention),
            events: Some(self.event_retention),
            sample_bytes: self.max_sample_bytes,
            event_bytes: self.max_event_bytes,
            snapshots: self.max_snapshots,
            argv_bytes: Some(self.argv_bytes),
        }
    }

    /// Where the store is.
    pub fn place(&self) -> anyhow::Result<Place> {
        Ok(match (&self.db_dsn, &self.data_dir) {
            (Some(dsn), _) => Place::Database(dsn.clone()),
            (None, Some(folder)) => Place::Directory(folder.clone()),
            (None, None) => Place::temporary()?,
        })
    }
}

impl Arguments {
    fn flags(&self) -> Vec<(&'static str, Value)> {
        let texts = [
            ("bind_addr", &self.bind_addr),
            ("data_dir", &self.data_dir),
            ("eval_interval", &self.eval_interval),
            ("alert_retention", &self.alert_retention),
            ("rules_dir", &self.rules_dir),
            ("retention", &self.retention),
            ("event_retention", &self.event_retention),
            ("db_dsn", &self.db_dsn),
            ("persistence", &self.persistence),
            ("max_snapshots", &self.max_snapshots),
            ("max_sample_bytes", &self.max_sample_bytes),
            ("max_event_bytes", &self.max_event_bytes),
            ("argv_bytes", &self.argv_bytes),
            ("ingest_limits", &self.ingest_limits),
            ("metrics_groups", &self.metrics_groups),
            ("webhook_allow", &self.webhook_allow),
        ];
        let given = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, Value::Text(text.clone()?))));
        let flag = self
            .insecure_no_auth
            .then_some(("insecure_no_auth", Value::Bool(true)));
        given.chain(flag).collect()
    }
}

fn kept_for(layers: &Layers, key: &'static str) -> Result<Option<Duration>, ConfigError> {
    layers.get_checked(key, |duration: &Duration| {
        if duration.is_zero() {
            Err("keeps nothing; give a time such as 1h".to_owned())
        } else {
            Ok(())
        }
    })
}

fn eval_interval(layers: &Layers) -> Result<Option<Duration>, ConfigError> {
    layers.get_checked("eval_interval", |interval: &Duration| {
        if (MIN_EVAL_INTERVAL..=MAX_EVAL_INTERVAL).contains(interval) {
            Ok(())
        } else {
            Err("must be 100ms to 1h".to_owned())
        }
    })
}

fn metrics_groups(layers: &Layers) -> Result<usize, ConfigError> {
    let groups = layers.get_checked("metrics_groups", |groups: &u64| {
        if *groups > MOST_GROUPS {
            Err(format!(
                "is out of range; 0 (none) to {MOST_GROUPS} are accepted: each is five series for each host"
            ))
        } else {
            Ok(())
        }
    })?;
    Ok(groups.map_or(DEFAULT_GROUPS, |groups| groups as usize))
}

fn webhook_allow(layers: &Layers) -> anyhow::Result<AllowedNetworks> {
    let given: Option<String> = layers.get("webhook_allow")?;
    let networks = given.unwrap_or_default().parse();
    networks.map_err(|error| anyhow!("{}: {error}", layers.place("webhook_allow")))
}

fn ingest_limits(layers: &Layers) -> anyhow::Result<IngestLimits> {
    let Some(entries) = layers.get::<Entries>("ingest_limits")? else {
        return Ok(IngestLimits::default());
    };
    IngestLimits::read(&entries)
        .map_err(|error| anyhow!("{}.{error}", layers.place("ingest_limits")))
}

/// Without authentication only this machine may reach the server, unless the operator insists: whether they do.
fn check_reach(bind_addr: SocketAddr, layers: &Layers) -> anyhow::Result<bool> {
    let insists = layers.get("insecure_no_auth")?.unwrap_or(false);
    if bind_addr.ip().is_loopback() || insists {
        return Ok(insists);
    }
    bail!(
        "{}: {bind_addr} can be reached from other machines, and this version has no authentication yet. Use \
         127.0.0.1:{} (with a reverse proxy or an SSH tunnel for others), or, on a network that you trust, set \
         insecure_no_auth: true (--insecure-no-auth, PROCMON_INSECURE_NO_AUTH=true).",
        layers.place("bind_addr"),
        bind_addr.port()
    )
}

/// The database to use; one that is given without persistence is not used.
fn database(persistence: bool, layers: &Layers) -> anyhow::Result<Option<Secret>> {
    let dsn: Option<Secret> = layers.get("db_dsn")?;
    if dsn.is_some() && !persistence {
        tracing::warn!(
            "{} is not used, because persistence is false",
            layers.place("db_dsn")
        );
        return Ok(None);
    }
    Ok(dsn)
}

/// The number of snapshots to keep of each host; with persistence time and size alone decide.
fn snapshots(persistence: bool, layers: &Layers) -> anyhow::Result<Option<u64>> {
    let kept = layers.get_checked("max_snapshots", |kept: &u64| {
        if (1..=MAX_SNAPSHOTS).contains(kept) {
            Ok(())
        } else {
            Err(format!("must be 1 to {MAX_SNAPSHOTS}"))
        }
    })?;
    if kept.is_some() && persistence {
        tracing::warn!(
            "{} is not used, because persistence is true: retention and max_sample_bytes say what is kept",
            layers.place("max_snapshots")
        );
        return Ok(None);
    }
    Ok(kept)
}

fn size(layers: &Layers, key: &'static str) -> Result<Option<u64>, ConfigError> {
    let size = layers.get_checked(key, |size: &ByteSize| {
        if size.0 < MIN_CAP_BYTES {
            Err(format!(
                "must be at least {} MB: the log alone needs as much",
                MIN_CAP_BYTES >> 20
            ))
        } else {
            Ok(())
        }
    })?;
    Ok(size.map(|size| size.0))
}

fn argv_bytes(layers: &Layers) -> Result<usize, ConfigError> {
    let kept = layers.get_checked("argv_bytes", |size: &ByteSize| match size.0 {
        0..MIN_ARGV_BYTES => Err(format!("must be at least {MIN_ARGV_BYTES}")),
        _ => Ok(()),
    })?;
    Ok(kept.map_or(ARGV_BYTES, |size| size.0 as usize))
}

#[cfg(test)]
mod tests;
