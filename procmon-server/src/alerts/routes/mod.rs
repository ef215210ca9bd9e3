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

/// A body whose content has a place for every key, in the words of people.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner();
        let place = if path == "." { "the body" } else { &path };
        if message.is_data() {
            Problem::invalid(format!("{place}: {message}"))
        } else {
            Problem::bad_request(format!("{place} is not JSON: {message}"))
        }
    })
}
