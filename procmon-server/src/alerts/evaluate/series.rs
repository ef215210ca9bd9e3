//! What rules remember of processes from one evaluation to the next: how a metric moved, and what a field was.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use procmon_common::ids::ProcessId;

use crate::query::Value;

/// Points kept of a window: the value at its beginning is known to an eighth of it.
const POINTS: i64 = 8;
/// Processes remembered for all rules together. Those that come when it is full are not looked at, and counted.
const MAX_SERIES: usize = 500_000;

type IdMap<T> = HashMap<ProcessId, T, foldhash::quality::RandomState>;
type ByHost<T> = HashMap<(Arc<str>, Arc<str>), IdMap<T>>;

/// By rule and host.
#[derive(Debug, Default)]
pub struct SeriesMemory {
    rates: ByHost<Series>,
    changes: ByHost<Seen>,
    /// Changes that were found and are not kept yet: rule, host, process, and what the field was before.
    unsettled: Vec<(Arc<str>, Arc<str>, ProcessId, u64)>,
    count: usize,
}

/// A metric of a process over a window.
#[derive(Clone, Debug, Default)]
pub(in crate::alerts) struct Series {
    points: VecDeque<(i64, f64)>,
    newest: Option<(i64, f64)>,
    touched: bool,
}

/// The hash of what a field was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    hash: u64,
    touched: bool,
}

/// What is remembered of one rule on one host, while its rows are gone through.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    pub(super) by_id: IdMap<T>,
    /// Those that are another than before, and what they were.
    changed: Vec<(ProcessId, u64)>,
    room: usize,
    pub(super) refused: u64,
}

impl<T> Remembered<T> {
    fn entry(&mut self, id: ProcessId, fresh: impl FnOnce() -> T) -> Option<&mut T> {
        if !self.by_id.contains_key(&id) {
            if self.room == 0 {
                self.refused += 1;
                return None;
            }
            self.room -= 1;
        }
        Some(self.by_id.entry(id).or_insert_with(fresh))
    }
}

impl SeriesMemory {
    pub(super) fn take_rates(&mut self, rule: &str, agent_id: &Arc<str>) -> Remembered<Series> {
        let by_id = self.rates.remove(&(rule.into(), Arc::clone(agent_id)));
        self.remembered(by_id)
    }

    pub(super) fn take_changes(&mut self, rule: &str, agent_id: &Arc<str>) -> Remembered<Seen> {
        let by_id = self.changes.remove(&(rule.into(), Arc::clone(agent_id)));
        self.remembered(by_id)
    }

    fn remembered<T>(&mut self, by_id: Option<IdMap<T>>) -> Remembered<T> {
        let by_id = by_id.unwrap_or_default();
        self.count -= by_id.len();
        Remembered {
            room: MAX_SERIES.saturating_sub(self.count + by_id.len()),
            by_id,
            changed: Vec::new(),
            refused: 0,
        }
    }

    /// Puts back what was looked at; processes that were not there are gone.
    pub(super) fn put_rates(&mut self, rule: &str, agent_id: &Arc<str>, kept: Remembered<Series>) {
        let mut by_id = kept.by_id;
        by_id.retain(|_, series| std::mem::take(&mut series.touched));
        self.count += by_id.len();
        if !by_id.is_empty() {
            self.rates
                .insert((rule.into(), Arc::clone(agent_id)), by_id);
        }
    }

    pub(super) fn put_changes(&mut self, rule: &str, agent_id: &Arc<str>, kept: Remembered<Seen>) {
        let mut by_id = kept.by_id;
        by_id.retain(|_, seen| std::mem::take(&mut seen.touched));
        self.count += by_id.len();
        let rule: Arc<str> = rule.into();
        let changed = kept.changed.into_iter();
        self.unsettled.extend(
            changed.map(|(id, before)| (Arc::clone(&rule), Arc::clone(agent_id), id, before)),
        );
        if !by_id.is_empty() {
            self.changes.insert((rule, Arc::clone(agent_id)), by_id);
        }
    }

    /// After what was found is kept: changes are not found again.
    pub fn settle(&mut self) {
        self.unsettled = Vec::new();
    }

    /// What was found before and could not be kept is to be found again.
    pub(super) fn unsettle(&mut self) {
        // The first of several is what was kept.
        for (rule, agent_id, id, before) in std::mem::take(&mut self.unsettled).into_iter().rev() {
            let of_host = self.changes.get_mut(&(rule, agent_id));
            if let Some(seen) = of_host.and_then(|of_host| of_host.get_mut(&id)) {
                seen.hash = before;
            }
        }
    }

    /// Forgets rules that are no more.
    pub fn retain_rules(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.rates.retain(|(rule, _), _| is_kept(rule));
        self.changes.retain(|(rule, _), _| is_kept(rule));
        let rates = self.rates.values().map(IdMap::len);
        let changes = self.changes.values().map(IdMap::len);
        self.count = rates.chain(changes).sum();
    }
}

impl Remembered<Series> {
    /// Adds a sample; how fast the value grew per second over the window, once that is known.
    pub(super) fn rate(
        &mut self,
        id: ProcessId,
        at_ms: i64,
        value: f64,
        window_ms: i64,
    ) -> Option<f64> {
        let series = self.entry(id, Series::default)?;
        series.touched = true;
        series.note(at_ms, value, window_ms)
    }
}

impl Remembered<Seen> {
    /// Whether it is another than before.
    pub(super) fn is_changed(&mut self, id: ProcessId, hash: u64) -> bool {
        let fresh = Seen {
            hash,
            touched: true,
        };
        let Some(seen) = self.entry(id, || fresh) else {
            return false;
        };
        let before = std::mem::replace(seen, fresh).hash;
        let is_changed = before != hash;
        if is_changed {
            self.changed.push((id, before));
        }
        is_changed
    }

    /// It is there, and what it is cannot be told.
    pub(super) fn touch(&mut self, id: ProcessId) {
        if let Some(seen) = self.by_id.get_mut(&id) {
            seen.touched = true;
        }
    }
}

impl Series {
    /// Adds a sample; how fast the value grew per second over the window, once that is known.
    pub(in crate::alerts) fn note(
        &mut self,
        at_ms: i64,
        value: f64,
        window_ms: i64,
    ) -> Option<f64> {
        self.add(at_ms, value, window_ms);
        self.rate(window_ms)
    }

    fn add(&mut self, at_ms: i64, value: f64, window_ms: i64) {
        let newest_ms = self.newest.map_or(i64::MIN, |(at_ms, _)| at_ms);
        if at_ms <= newest_ms {
            return;
        }
        self.newest = Some((at_ms, value));
        let last_ms = self.points.back().map(|(at_ms, _)| *at_ms);
        if last_ms.is_none_or(|last_ms| at_ms - last_ms >= window_ms / POINTS) {
            self.points.push_back((at_ms, value));
        }
        // The first is the newest that is old enough.
        while let Some((second_ms, _)) = self.points.get(1)
            && at_ms - second_ms >= window_ms
        {
            self.points.pop_front();
        }
    }

    fn rate(&self, window_ms: i64) -> Option<f64> {
        let (first_ms, first) = *self.points.front()?;
        let (last_ms, last) = self.newest?;
        let elapsed_ms = last_ms - first_ms;
        (elapsed_ms >= window_ms).then(|| (last - first) * 1000.0 / elapsed_ms as f64)
    }
}

/// Equal for equal values; none for one that is not known.
pub(in crate::alerts) fn hash_value(value: &Value<'_>) -> Option<u64> {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    match value {
        Value::Unknown => return None,
        Value::Bool(value) => value.hash(&mut hasher),
        Value::Int(value) | Value::Time(value) => value.hash(&mut hasher),
        Value::Double(value) => value.to_bits().hash(&mut hasher),
        Value::Text(text) => text.bytes().hash(&mut hasher),
        Value::Ints(numbers) => {
            // The order in which ports are listed means nothing.
            let mut sorted = numbers.to_vec();
            sorted.sort_unstable();
            sorted.hash(&mut hasher);
        }
        Value::Texts(texts) => texts.hash(&mut hasher),
        Value::Object => {}
    }
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_when_the_window_is_full() {
        let mut series = Series::default();
        for second in 0..200_i64 {
            series.add(second * 1000, second as f64 * 3.0, 60_000);
            let rate = series.rate(60_000);
            assert_eq!(rate.is_some(), second >= 60, "{second}");
            if let Some(rate) = rate {
                assert!((rate - 3.0).abs() < 1e-9, "{rate}");
            }
            assert!(series.points.len() <= POINTS as usize + 2);
        }
        series.add(1000, 9e9, 60_000);
        assert_eq!(
            series.newest.map(|(at_ms, _)| at_ms),
            Some(199_000),
            "replayed"
        );
    }

    #[test]
    fn what_is_seen_first_is_no_change() {
        let mut memory = SeriesMemory::default();
        let agent_id: Arc<str> = "a".into();
        let id = ProcessId::upload(1, 2);
        for (hash, changed) in [(1, false), (1, false), (2, true), (2, false)] {
            let mut kept = memory.take_changes("r", &agent_id);
            assert_eq!(kept.is_changed(id, hash), changed);
            memory.put_changes("r", &agent_id, kept);
        }
        let kept = memory.take_changes("r", &agent_id);
        memory.put_changes("r", &agent_id, kept);
        assert_eq!(memory.count, 0, "the process is gone");
    }

    #[test]
    fn a_change_is_found_until_it_is_kept() {
        let mut memory = SeriesMemory::default();
        let agent_id: Arc<str> = "a".into();
        let id = ProcessId::upload(1, 2);
        for (hash, changed, kept) in [
            (1, false, true),
            (2, true, false),
            (3, true, false),
            (1, false, false),
            (2, true, false),
            (2, true, true),
            (2, false, true),
        ] {
            memory.unsettle();
            let mut of_host = memory.take_changes("r", &agent_id);
            assert_eq!(of_host.is_changed(id, hash), changed, "{hash}");
            memory.put_changes("r", &agent_id, of_host);
            if kept {
                memory.settle();
            }
        }
    }
}
