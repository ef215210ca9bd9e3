//! Times in rules.

use procmon_common::config::parse_duration;

use super::{RuleBody, RuleError, RuleKind, name_of};

pub(super) fn for_ms(body: &RuleBody) -> Result<i64, RuleError> {
    let for_ms = duration(body.r#for.as_deref(), "for")?;
    let duration_ms = duration(body.duration.as_deref(), "duration")?;
    if for_ms.is_some() && duration_ms.is_some() && for_ms != duration_ms {
        let message = "is another time than for; they mean the same, so give one of them";
        return Err(RuleError::new("duration", message));
    }
    let for_ms = for_ms.or(duration_ms).unwrap_or(0);
    let momentary = matches!(
        body.kind,
        RuleKind::Event | RuleKind::Change | RuleKind::CrashLoop
    );
    if for_ms > 0 && momentary {
        let message = format!(
            "means nothing in a rule of kind {}: what happened is not there for a time; leave it out",
            name_of(body.kind)
        );
        return Err(RuleError::new("for", message));
    }
    Ok(for_ms)
}

pub(super) fn duration(text: Option<&str>, key: &str) -> Result<Option<i64>, RuleError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let duration = parse_duration(text).ok_or_else(|| {
        let message = format!("{text:?} is not a time; write it like 90s, 5m or 1h30m");
        RuleError::new(key, message)
    })?;
    Ok(Some(duration.as_millis() as i64))
}
