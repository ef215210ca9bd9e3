//! A channel: where messages go, and which of them.

use std::fmt;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::key_file::KeyFile;
use super::sign::SigningSecret;
use crate::alerts::LabelSet;
use crate::alerts::matcher::Matcher;
use crate::events::EventFilter;
use crate::store::ChannelRow;

/// What a channel talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Standard Webhooks.
    Webhook,
    /// Slack's incoming webhooks, and what understands them.
    Slack,
    /// Alertmanager's API v2.
    Alertmanager,
}

impl ChannelKind {
    pub const ALL: [Self; 3] = [Self::Webhook, Self::Slack, Self::Alertmanager];

    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Alertmanager => "alertmanager",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

pub const DEFAULT_REPEAT_MS: i64 = 4 * 3_600_000;
/// As in Alertmanager, where messages are grouped.
pub const DEFAULT_GROUP_WAIT_MS: i64 = 30_000;

/// What a channel is told of, and how; as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// All have to hold of an alert's labels.
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// An expression over events; with it the channel is a subscription.
    #[serde(default)]
    pub filter: Option<String>,
    /// Whether `matchers` were given: a subscription without them is told of no alerts.
    #[serde(default)]
    pub wants_alerts: bool,
    #[serde(default)]
    pub grouping: Option<Grouping>,
    pub repeat_interval_ms: i64,
    /// When it was last enabled.
    #[serde(default)]
    pub enabled_ms: i64,
}

/// Alerts with the same values of some labels are told of together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    pub by: Vec<String>,
    pub wait_ms: i64,
}

/// Where a channel leads, and what it signs with; encrypted where it is stored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub url: String,
    pub secrets: Vec<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Target(…)")
    }
}

/// A channel, ready to be used.
#[derive(Clone, Debug)]
pub struct Channel {
    pub row: ChannelRow,
    pub kind: ChannelKind,
    pub settings: Settings,
    /// Why it cannot be used, when what is stored cannot be read.
    pub target: Result<ReadyTarget, String>,
    pub filter: Option<EventFilter>,
}

#[derive(Clone, Debug)]
pub struct ReadyTarget {
    pub target: Target,
    pub url: reqwest::Url,
    pub secrets: Vec<SigningSecret>,
}

impl Channel {
    /// Reads what is stored. A key that is missing leaves a channel that says so.
    pub fn read(row: ChannelRow, key: &KeyFile) -> anyhow::Result<Self> {
        let kind = ChannelKind::of_name(&row.kind).context("it is of a kind that is not known")?;
        let settings: Settings =
            serde_json::from_str(&row.settings).context("its settings cannot be read")?;
        let filter = settings.filter.as_deref().map(EventFilter::compile);
        let filter = filter
            .transpose()
            .map_err(|error| anyhow::anyhow!("its filter cannot be read: {error}"))?;
        let target = key
            .open(&row.channel_id, &row.sealed)
            .and_then(|json| Ok(serde_json::from_slice::<Target>(&json)?))
            .and_then(|target| target.ready().map_err(anyhow::Error::msg));
        Ok(Self {
            kind,
            settings,
            filter,
            target: target.map_err(|error| format!("{error:#}")),
            row,
        })
    }

    pub fn id(&self) -> &str {
        &self.row.channel_id
    }

    /// Whether its matchers take an alert with these labels.
    pub fn takes(&self, labels: &LabelSet) -> bool {
        let mut matchers = self.settings.matchers.iter();
        matchers.all(|matcher| matcher.matches(|name| labels.get(name)))
    }

    /// Whether it is told of alerts: of all of them, unless it says which, or is only a subscription.
    pub fn wants_alerts(&self) -> bool {
        self.settings.filter.is_none() || self.settings.wants_alerts
    }
}

impl Target {
    pub fn ready(self) -> Result<ReadyTarget, String> {
        let url: reqwest::Url = self
            .url
            .parse()
            .map_err(|error| format!("url is not valid ({error}); write https://host/path"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("url must begin with https:// or http://, and name a host".to_owned());
        }
        if url.fragment().is_some() {
            return Err("url must not have a fragment: take away what begins with `#`".to_owned());
        }
        let secrets = self.secrets.iter().map(|text| SigningSecret::parse(text));
        let secrets = secrets
            .collect::<Result<_, _>>()
            .map_err(|error| format!("secret {error}"))?;
        Ok(ReadyTarget {
            url,
            secrets,
            target: self,
        })
    }
}

/// In the place of what is not shown of a URL.
pub const HIDDEN: &str = "***";

impl ReadyTarget {
    /// The URL without what lets others use it: a password, a query, and the path of a Slack webhook, which is all that it is
    /// protected by.
    pub fn shown_url(&self, kind: ChannelKind) -> String {
        let mut url = self.url.clone();
        // Both fail for URLs without a host alone.
        if !url.username().is_empty() || url.password().is_some() {
            let _ = url.set_username(HIDDEN);
            let _ = url.set_password(None);
        }
        if url.query().is_some() {
            url.set_query(Some(HIDDEN));
        }
        if kind == ChannelKind::Slack {
            url.set_path(HIDDEN);
        }
        url.to_string()
    }
}
