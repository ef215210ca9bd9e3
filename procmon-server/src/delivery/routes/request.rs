//! What clients say of a channel, and what is made of it.

use std::time::Duration;

use procmon_common::config::parse_duration;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::alerts::matcher::Matcher;
use crate::delivery::channel::{
    ChannelKind, DEFAULT_GROUP_WAIT_MS, DEFAULT_REPEAT_MS, Grouping, HIDDEN, Settings, Target,
};
use crate::error::Problem;
use crate::events::EventFilter;

const MAX_NAME_BYTES: usize = 128;
const MAX_URL_BYTES: usize = 2048;
const MAX_SECRETS: usize = 4;
const MAX_MATCHERS: usize = 32;
const SHORTEST_REPEAT: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(24 * 30);
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A channel, as it is to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelRequest {
    /// Each channel has its own.
    pub name: String,
    pub kind: ChannelKind,
    /// Where messages are posted to. In `PUT` it may be left out, or given as it is shown, and stays as it is.
    pub url: Option<String>,
    /// `whsec_` and base64, for webhooks: one, or several while they are replaced. It is never shown. In `PUT` it stays as it is
    /// when it is left out; an empty list takes it away.
    pub secret: Option<Secrets>,
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Conditions on the labels of alerts, all of which must hold, as in Alertmanager: `severity="critical"`, `host=~"db-.*"`.
    /// Without it the channel is told of every alert (of none, if it has a `filter`).
    pub r#match: Option<Vec<String>>,
    /// A subscription to events: an expression as in `q` of `GET /events`. For webhooks.
    pub filter: Option<String>,
    /// Labels; alerts with the same values of all of them are told of together.
    pub group_by: Option<Vec<String>>,
    /// How long a group waits for others [default: 30s]. Without `group_by` all alerts are one group.
    pub group_wait: Option<String>,
    /// After how long it is told again of what still fires [default: 4h].
    pub repeat_interval: Option<String>,
}

fn enabled() -> bool {
    true
}

/// One or several.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(untagged, expecting = "secret must be a text, or a list of texts")]
pub(super) enum Secrets {
    One(String),
    Several(Vec<String>),
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secrets(…)")
    }
}

impl Secrets {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(secret) => vec![secret],
            Self::Several(secrets) => secrets,
        }
    }
}

impl ChannelRequest {
    /// What it is told of, and how.
    pub(super) fn settings(&self, now_ms: i64) -> Result<Settings, Problem> {
        let filter = self
            .filter
            .as_deref()
            .filter(|text| !text.trim().is_empty());
        if let Some(filter) = filter {
            if self.kind != ChannelKind::Webhook {
                return Err(Problem::invalid(
                    "filter subscribes to events, which only channels of kind webhook are told of; leave it out",
                ));
            }
            EventFilter::compile(filter)
                .map_err(|error| Problem::invalid(format!("filter is not valid at {error}")))?;
        }
        Ok(Settings {
            matchers: self.matchers()?,
            filter: filter.map(str::to_owned),
            wants_alerts: self.r#match.is_some(),
            grouping: self.grouping()?,
            repeat_interval_ms: duration_ms(
                "repeat_interval",
                self.repeat_interval.as_deref(),
                (SHORTEST_REPEAT, LONGEST),
            )?
            .unwrap_or(DEFAULT_REPEAT_MS),
            enabled_ms: now_ms,
        })
    }

    pub(super) fn name(&self) -> Result<&str, Problem> {
        let name = self.name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(Problem::invalid(format!(
                "name must be 1 to {MAX_NAME_BYTES} bytes of text"
            )));
        }
        Ok(name)
    }

    fn matchers(&self) -> Result<Vec<Matcher>, Problem> {
        let texts = self.r#match.as_deref().unwrap_or_default();
        if texts.len() > MAX_MATCHERS {
            return Err(Problem::invalid(format!(
                "match has more than {MAX_MATCHERS} conditions; a regular expression (=~) may replace several"
            )));
        }
        let parsed = texts.iter().enumerate().map(|(index, text)| {
            let matcher = text.parse();
            matcher.map_err(|error: String| Problem::invalid(format!("match[{index}]: {error}")))
        });
        parsed.collect()
    }

    fn grouping(&self) -> Result<Option<Grouping>, Problem> {
        let bounds = (Duration::ZERO, LONGEST_WAIT);
        let wait_ms = duration_ms("group_wait", self.group_wait.as_deref(), bounds)?;
        let by = self.group_by.clone();
        if by.is_none() && wait_ms.is_none() {
            return Ok(None);
        }
        let mut by = by.unwrap_or_default();
        for name in &by {
            Matcher::check_name(name)
                .map_err(|error| Problem::invalid(format!("group_by: {error}")))?;
        }
        if by.len() > MAX_MATCHERS {
            return Err(Problem::invalid(format!(
                "group_by names more than {MAX_MATCHERS} labels"
            )));
        }
        by.sort();
        by.dedup();
        Ok(Some(Grouping {
            by,
            wait_ms: wait_ms.unwrap_or(DEFAULT_GROUP_WAIT_MS),
        }))
    }

    /// Where it leads; `before` is where it led, and how that is shown.
    pub(super) fn target(&self, before: Option<(&Target, String)>) -> Result<Target, Problem> {
        let given = self.url.as_deref().map(str::trim);
        let given = given.filter(|url| {
            let unchanged = before.as_ref().is_some_and(|(_, shown)| shown == url);
            !url.is_empty() && !unchanged
        });
        let known = before.map(|(target, _)| target.clone());
        let url = match (given, &known) {
            (Some(url), _) => url.to_owned(),
            (None, Some(known)) => known.url.clone(),
            (None, None) => {
                return Err(Problem::invalid(
                    "url is missing: give the address that messages are posted to, https://host/path",
                ));
            }
        };
        if given.is_some_and(|url| url.contains(HIDDEN)) {
            return Err(Problem::invalid(format!(
                "url has {HIDDEN}, which stands for what is not shown: give the whole URL, or leave it out to keep the one there is"
            )));
        }
        if url.len() > MAX_URL_BYTES {
            return Err(Problem::invalid(format!(
                "url is longer than {MAX_URL_BYTES} bytes"
            )));
        }
        let secrets = match self.secret.clone() {
            Some(secrets) => secrets.into_list(),
            None => known.map(|known| known.secrets).unwrap_or_default(),
        };
        if !secrets.is_empty() && self.kind != ChannelKind::Webhook {
            return Err(Problem::invalid(
                "secret signs messages of channels of kind webhook; leave it out for others",
            ));
        }
        if secrets.len() > MAX_SECRETS {
            return Err(Problem::invalid(format!(
                "secret has more than {MAX_SECRETS} entries; take away those that are no longer used"
            )));
        }
        Ok(Target { url, secrets })
    }
}

/// Which deliveries are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryParameters {
    /// grouping, pending, delivered or dead.
    pub state: Option<String>,
    /// 1 to 10 000.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

fn duration_ms(
    name: &str,
    text: Option<&str>,
    (least, most): (Duration, Duration),
) -> Result<Option<i64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let duration = parse_duration(text).filter(|duration| (least..=most).contains(duration));
    let duration = duration.ok_or_else(|| {
        let (least, most) = (
            shown(least.as_millis() as i64),
            shown(most.as_millis() as i64),
        );
        Problem::invalid(format!(
            "{name} is {text}; it must be a duration from {least} to {most}, such as 30s or 4h"
        ))
    })?;
    Ok(i64::try_from(duration.as_millis()).ok())
}

/// A duration as it would be written.
pub(super) fn shown(ms: i64) -> String {
    for (unit, length_ms) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms > 0 && ms % length_ms == 0 {
            return format!("{}{unit}", ms / length_ms);
        }
    }
    if ms == 0 {
        "0s".to_owned()
    } else {
        format!("{ms}ms")
    }
}
