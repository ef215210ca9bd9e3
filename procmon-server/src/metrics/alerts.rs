//! Metrics of rules and alerts: how many there are, and what an evaluation costs.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use super::families as of;
use super::state::{Encoded, gauge};
use crate::alerts::Shown;
use crate::alerts::rule::Source;
use crate::alerts::state::AlertState;

pub(super) fn encode(shown: &Shown, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let in_state = |state| {
        let alerts = shown.alerts.iter();
        alerts.filter(|alert| alert.state() == state).count()
    };
    let of_api = shown.rules.values();
    let of_api = of_api
        .filter(|kept| kept.rule.source == Source::Api)
        .count();
    let (pending, firing) = (in_state(AlertState::Pending), in_state(AlertState::Firing));
    for (family, label, counts) in [
        (
            &of::ALERTS,
            "state",
            [("pending", pending), ("firing", firing)],
        ),
        (
            &of::RULES,
            "source",
            [("api", of_api), ("file", shown.rules.len() - of_api)],
        ),
    ] {
        family.encode(encoder, |metric| {
            for (value, count) in counts {
                let count = ConstGauge::new(count as i64);
                count.encode(metric.encode_family(&[(label, value)])?)?;
            }
            Ok(())
        })?;
    }
    let stale = shown.alerts.iter();
    let stale = stale.filter(|alert| alert.progress.is_stale()).count();
    let left_out: u64 = shown.left_out.values().sum();
    for (family, count) in [
        (&of::ALERTS_STALE, stale as i64),
        (&of::RULE_FILE_ERRORS, shown.file_errors.len() as i64),
        (&of::ALERTS_LEFT_OUT, left_out as i64),
    ] {
        gauge(encoder, family, &count)?;
    }
    let at_s = shown.evaluated_ms.map_or(0.0, |at_ms| at_ms as f64 / 1e3);
    for (family, seconds) in [
        (&of::EVALUATION, shown.took.as_secs_f64()),
        (&of::EVALUATION_AT, at_s),
    ] {
        gauge(encoder, family, &seconds)?;
    }
    Ok(())
}
