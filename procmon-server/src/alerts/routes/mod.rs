//! `/alert-rules`, `/alerts` and `/silences`.

mod alerts;
mod history;
mod parameters;
mod preview;
mod rules;
mod silences;
pub mod view;
mod warnings;

use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::rule::RuleError;
use crate::app::App;
use crate::error::Problem;

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(rules::list_rules, rules::post_rule))
        .routes(routes!(preview::preview_rule))
        .routes(routes!(
            rules::get_rule,
            rules::put_rule,
            rules::delete_rule
        ))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(history::list_transitions))
        .routes(routes!(alerts::acknowledge, alerts::take_back))
        .routes(routes!(silences::list_silences, silences::post_silence))
        .routes(routes!(silences::preview_silence))
        .routes(routes!(silences::get_silence, silences::delete_silence))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        Self::invalid(error.to_string())
    }
}
