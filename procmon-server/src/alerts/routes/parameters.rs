//! What `/alerts`, `/alerts/history` and `/alert-rules/preview` are asked.

use serde::Deserialize;
use utoipa::IntoParams;

/// Parameters of `GET /alerts`. All that are given must hold.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertParameters {
    /// pending, firing, resolved; several separated by commas.
    #[param(default = "firing")]
    pub state: Option<String>,
    pub rule_id: Option<String>,
    pub agent_id: Option<String>,
    /// Of alerts about one process.
    pub process_id: Option<String>,
    pub fingerprint: Option<String>,
    /// Only those that are under a silence, or only those that are not.
    pub silenced: Option<bool>,
    /// 1 to 10 000.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `GET /alerts/history`. All that are given must hold.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParameters {
    pub rule_id: Option<String>,
    pub fingerprint: Option<String>,
    pub agent_id: Option<String>,
    /// Of alerts about one process.
    pub process_id: Option<String>,
    /// The state that the alert went into: pending, firing, resolved, inactive.
    pub state: Option<String>,
    /// RFC 3339 or Unix seconds; included.
    pub since: Option<String>,
    /// RFC 3339 or Unix seconds; included.
    pub until: Option<String>,
    /// 1 to 10 000.
    #[param(default = 100)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Parameters of `POST /alert-rules/preview`.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PreviewParameters {
    /// RFC 3339 or Unix seconds; a day before `to` when left out.
    pub from: Option<String>,
    /// RFC 3339 or Unix seconds; now when left out.
    pub to: Option<String>,
}
