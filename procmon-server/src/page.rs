//! What lists have in common: how query parameters are read, and how many rows a page has.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use procmon_common::ids::ProcessId;
use serde::de::DeserializeOwned;

use crate::error::Problem;

pub const DEFAULT_LIMIT: usize = 100;
pub const MAX_LIMIT: usize = 10_000;

/// Query parameters. One that is not known is an error that names those that are; an empty one counts as not given.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        parse(query).map(Self)
    }
}

/// Query parameters of which some may be given more than once: their values are joined by commas.
pub fn parse_with_lists<T: DeserializeOwned>(
    query: Option<&str>,
    lists: &[&str],
) -> Result<T, Problem> {
    let mut joined: Vec<(&str, String)> = Vec::new();
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = joined.iter_mut().find(|(known, _)| *known == name);
        match known {
            Some((_, values)) if lists.contains(&name) => {
                values.push(',');
                values.push_str(value);
            }
            _ => joined.push((name, value.to_owned())),
        }
    }
    let pairs: Vec<_> = joined
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parse(&pairs.join("&"))
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let given: Vec<_> = query
        .split('&')
        .filter(|pair| {
            pair.split_once('=')
                .is_some_and(|(_, value)| !value.is_empty())
        })
        .collect();
    let uri = axum::http::Uri::builder()
        .path_and_query(format!("/?{}", given.join("&")))
        .build()
        .map_err(|_| {
            Problem::bad_request("the query string is not valid; encode it as in a URL")
        })?;
    match axum::extract::Query::<T>::try_from_uri(&uri) {
        Ok(axum::extract::Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(Problem::bad_request(explain(
            &rejection.body_text(),
            uri.query().unwrap_or_default(),
        ))),
    }
}

/// The deserializer's words, for people who never heard of it.
fn explain(message: &str, query: &str) -> String {
    let message = message
        .strip_prefix("Failed to deserialize query string: ")
        .unwrap_or(message);
    if let Some((_, rest)) = message.split_once("unknown field `")
        && let Some((name, rest)) = rest.split_once("`, ")
    {
        if rest.starts_with("there are no") {
            return format!("unknown query parameter {name}; this resource takes none");
        }
        let known = rest
            .trim_start_matches("expected ")
            .trim_start_matches("one of ")
            .replace('`', "");
        return format!("unknown query parameter {name}; this resource takes: {known}");
    }
    if let Some((_, rest)) = message.split_once("duplicate field `") {
        let name = rest.trim_end_matches('`');
        return format!("query parameter {name} is given twice; give it once");
    }
    let Some((name, reason)) = message.split_once(": ") else {
        return format!("query parameter {}", message.replace('`', ""));
    };
    let value = query.split('&').find_map(|pair| {
        let (given, value) = pair.split_once('=')?;
        (given == name).then_some(value)
    });
    let value: String = value.unwrap_or_default().chars().take(64).collect();
    let wants = match reason {
        "invalid digit found in string" => "it must be a whole number that is not negative",
        // Which of the two it is, the value tells: there is no narrower type.
        "number too large to fit in target type" if value.parse::<u64>().is_ok() => {
            "it must be at most 4294967295"
        }
        "number too large to fit in target type" => "it must be at most 18446744073709551615",
        "invalid float literal" => "it must be a number",
        other => other,
    };
    format!("query parameter {name}={value} is not valid: {wants}")
}

/// The number of rows asked for.
pub fn limit(given: Option<usize>) -> Result<usize, Problem> {
    match given {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(limit) => Err(Problem::bad_request(format!(
            "limit={limit} is not valid; it must be 1 to {MAX_LIMIT}, and cursor gets more"
        ))),
    }
}

/// A life in a query.
pub fn process_id(text: &str) -> Result<ProcessId, Problem> {
    text.parse().map_err(|_| {
        Problem::bad_request(format!(
            "process_id={text} is none; write it as in GET /api/v1/processes, such as 1234-567890-0f2c9f1e"
        ))
    })
}

/// As [`instant_ns`], in milliseconds.
pub fn instant_ms(name: &str, text: &str) -> Result<i64, Problem> {
    Ok(instant_ns(name, text)?.div_euclid(1_000_000))
}

/// A time in a query: RFC 3339, or Unix seconds.
pub fn instant_ns(name: &str, text: &str) -> Result<i64, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "{name}={text} is not a time; write 2026-01-31T12:00:00Z, or Unix seconds"
        ))
    };
    // In a query string an unencoded plus sign is a space.
    let text = text.trim().replace(' ', "+");
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(timestamp.as_nanosecond()).map_err(|_| wrong());
    }
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    let nanos = seconds * 1e9;
    if nanos.is_finite() {
        Ok(nanos as i64)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by the deserializer")]
    struct Parameters {
        name: Option<String>,
        limit: Option<usize>,
    }

    #[test]
    fn problems_name_the_parameter() {
        let detail = |query| {
            let problem = parse::<Parameters>(query).expect_err("refused");
            problem.detail.into_owned()
        };
        assert_eq!(
            detail("nmae=x"),
            "unknown query parameter nmae; this resource takes: name or limit"
        );
        assert_eq!(
            detail("limit=x"),
            "query parameter limit=x is not valid: it must be a whole number that is not negative"
        );
        assert!(
            parse::<Parameters>("name=&limit=")
                .expect("empty")
                .name
                .is_none()
        );
    }

    #[test]
    fn instants() {
        let expected = 1_769_860_800_000_000_000;
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T13:00:00 01:00",
            "1769860800",
        ] {
            assert_eq!(
                instant_ns("since", text).expect("a time"),
                expected,
                "{text}"
            );
        }
        for text in ["", "yesterday", "1e400", "NaN"] {
            assert!(instant_ns("since", text).is_err(), "{text}");
        }
    }
}
