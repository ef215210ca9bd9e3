//! What would have been sent: each channel that there is, with its matchers, its grouping and its repeat interval, and the silences
//! that there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Episode;
use crate::alerts::labels::LabelSet;
use crate::alerts::silence::Silence;
use crate::delivery::channel::Channel;

/// Evaluations at which somebody may be told again, of all alerts and channels: what is behind them is not counted.
const MAX_TELLINGS: usize = 1_000_000;

/// What one channel would have got.
#[derive(Clone, Debug)]
pub(in crate::alerts) struct Sent {
    pub(in crate::alerts) channel_id: String,
    pub(in crate::alerts) name: String,
    /// Times that an alert fired and it was told.
    pub(in crate::alerts) alerts: usize,
    pub(in crate::alerts) messages: usize,
}

/// One telling: when, and of what.
struct Telling<'e> {
    at_ms: i64,
    labels: &'e LabelSet,
}

/// By channel; silences are as they are known now.
pub(in crate::alerts) fn sent(
    channels: &[Arc<Channel>],
    silences: &[Arc<Silence>],
    episodes: &[Episode],
    until_ms: i64,
    interval_ms: i64,
) -> Vec<Sent> {
    let mut left = MAX_TELLINGS;
    let told = channels
        .iter()
        .filter(|channel| channel.row.enabled && channel.wants_alerts());
    told.map(|channel| {
        let mut tellings = Vec::new();
        let mut alerts = 0;
        for episode in episodes {
            if !channel.takes(&episode.labels) {
                continue;
            }
            let before = tellings.len();
            let repeat_ms = channel.settings.repeat_interval_ms;
            let times = times(
                silences,
                episode,
                (until_ms, interval_ms),
                repeat_ms,
                &mut left,
            );
            tellings.extend(times.into_iter().map(|at_ms| Telling {
                at_ms,
                labels: &episode.labels,
            }));
            alerts += usize::from(tellings.len() > before);
        }
        Sent {
            channel_id: channel.id().to_owned(),
            name: channel.row.name.clone(),
            alerts,
            messages: messages(channel, tellings),
        }
    })
    .collect()
}

/// When a channel is told of an alert: when it fires, again and again after the repeat interval, and of its end.
fn times(
    silences: &[Arc<Silence>],
    episode: &Episode,
    (until_ms, interval_ms): (i64, i64),
    repeat_ms: i64,
    left: &mut usize,
) -> Vec<i64> {
    let about: Vec<_> = silences
        .iter()
        .filter(|silence| silence.takes(&episode.labels))
        .collect();
    let mut times = Vec::new();
    let mut at_ms = episode.fired_at_ms;
    // The evaluation that resolves it tells of that alone.
    let last_ms = episode
        .resolved_at_ms
        .map_or(until_ms, |at_ms| at_ms - interval_ms);
    // Told at evaluations only.
    let repeat_ms = repeat_ms.div_euclid(interval_ms) * interval_ms
        + if repeat_ms % interval_ms == 0 {
            0
        } else {
            interval_ms
        };
    while at_ms <= last_ms && *left > 0 {
        *left -= 1;
        let is_muted = about
            .iter()
            .any(|silence| silence.silences(&episode.labels, at_ms));
        if is_muted {
            at_ms += interval_ms;
        } else {
            times.push(at_ms);
            at_ms += repeat_ms.max(interval_ms);
        }
    }
    if let Some(resolved_ms) = episode.resolved_at_ms.filter(|_| !times.is_empty()) {
        times.push(resolved_ms);
    }
    times
}

/// Those of a group that wait together are one message.
fn messages(channel: &Channel, mut tellings: Vec<Telling<'_>>) -> usize {
    let Some(grouping) = &channel.settings.grouping else {
        return tellings.len();
    };
    tellings.sort_by_key(|telling| telling.at_ms);
    let mut sent_ms: BTreeMap<Vec<&str>, i64> = BTreeMap::new();
    let mut count = 0;
    for telling in tellings {
        let group: Vec<&str> = grouping
            .by
            .iter()
            .map(|name| telling.labels.get(name).unwrap_or_default())
            .collect();
        let due_ms = telling.at_ms.saturating_add(grouping.wait_ms);
        let waiting = sent_ms
            .get(&group)
            .is_some_and(|sent_ms| telling.at_ms <= *sent_ms);
        if !waiting {
            count += 1;
            sent_ms.insert(group, due_ms);
        }
    }
    count
}
