//! What lists are made of: hosts as they are at an instant, and the rows of theirs that are asked for. Where the hosts come
//! from (what runs now, or what ran then) makes no difference here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::sort::{Place, Sort};
use crate::error::Problem;
use crate::live::{Common, Host, HostEntry, ProcessView, UNMARKED};
use crate::query::{Condition, Meter, Row};

/// Rows between two looks at the meter.
const METER_ROWS: usize = 1024;

/// Threads of one request, and hosts from which on they are worth their start.
const MAX_THREADS: usize = 4;
const HOSTS_WORTH_THREADS: usize = 64;

/// Hosts at an instant.
#[derive(Clone, Debug)]
pub struct Rows {
    /// By agent.
    hosts: Vec<Arc<HostEntry>>,
    now_ms: i64,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// On all pages together.
    pub total: usize,
    pub places: Vec<Place>,
    pub more: bool,
}

impl Rows {
    pub fn new(hosts: Vec<Arc<HostEntry>>, now_ms: i64) -> Self {
        Self { hosts, now_ms }
    }

    pub fn hosts(&self) -> &[Arc<HostEntry>] {
        &self.hosts
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Goes through all rows that fulfil a condition. Of many hosts each processor takes a part, with a result of its own.
    /// `needed` is what is looked at in the rows besides what the condition looks at.
    pub(super) fn fold<T: Send>(
        &self,
        condition: &Condition,
        needed: &[Common],
        begin: impl Fn() -> T + Sync,
        visit: impl Fn(&mut T, &ProcessView<'_>) -> Result<(), Problem> + Sync,
    ) -> Result<Vec<T>, Problem> {
        // All live hosts share what they have in common, and hosts of the past share nothing.
        let scan = self.hosts.first().map(|entry| entry.read().scan());
        let mut needed: Vec<_> = needed.iter().map(|common| (*common, 0)).collect();
        needed.extend(Common::ALL.into_iter().filter_map(|common| {
            let signature = condition.remembers(common as usize)?;
            Some((common, signature))
        }));
        let part = |hosts: &[Arc<HostEntry>]| {
            let mut result = begin();
            each(hosts, self.now_ms, condition, &needed, |view| {
                visit(&mut result, view)
            })?;
            Ok(result)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MAX_THREADS);
        if threads == 1 || self.hosts.len() < HOSTS_WORTH_THREADS {
            let result = part(&self.hosts)?;
            drop(scan);
            return Ok(vec![result]);
        }
        let size = self.hosts.len().div_ceil(threads);
        let results = std::thread::scope(|scope| {
            let part = &part;
            let parts: Vec<_> = self
                .hosts
                .chunks(size)
                .map(|hosts| scope.spawn(move || part(hosts)))
                .collect();
            parts
                .into_iter()
                .map(|part| match part.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        });
        drop(scan);
        results
    }

    /// The first rows after a place, in order.
    pub fn page(
        &self,
        condition: &Condition,
        sort: &Sort,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Page, Problem> {
        let parts = self.fold(
            condition,
            &sort.needed(),
            || (0, Best::new(sort, limit)),
            |(total, best), view| {
                *total += 1;
                if after.is_none_or(|after| sort.compare_view(view, after).0.is_gt()) {
                    best.offer(view);
                }
                Ok(())
            },
        )?;
        let mut total = 0;
        let mut best = Best::new(sort, limit);
        for (rows, part) in parts {
            total += rows;
            best.merge(part);
        }
        let more = best.offered > limit;
        Ok(Page {
            total,
            places: best.finish(),
            more,
        })
    }

    /// Shows the rows at some places, in their order. One that ended since is left out.
    pub fn show<T>(&self, places: &[Place], mut show: impl FnMut(&ProcessView<'_>) -> T) -> Vec<T> {
        let mut shown: Vec<Option<T>> = Vec::new();
        shown.resize_with(places.len(), || None);
        let mut wanted: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, place) in places.iter().enumerate() {
            wanted.entry(&place.agent_id).or_default().push(index);
        }
        for (agent_id, mut wanted) in wanted {
            let found = self
                .hosts
                .binary_search_by(|entry| (*entry.agent_id).cmp(agent_id));
            let Ok(found) = found else {
                continue;
            };
            let host: &Host = &self.hosts[found].read();
            wanted.retain(|index| {
                let place = &places[*index];
                let stands_there = place.row.and_then(|row| host.view_at(row, self.now_ms));
                let view = stands_there.filter(|view| view.id == place.id);
                shown[*index] = view.map(|view| show(&view));
                shown[*index].is_none()
            });
            if wanted.is_empty() {
                continue;
            }
            // They moved since.
            let moved: HashMap<_, _> = wanted
                .into_iter()
                .map(|index| (places[index].id, index))
                .collect();
            for view in host.views(self.now_ms) {
                if let Some(index) = moved.get(&view.id) {
                    shown[*index] = Some(show(&view));
                }
            }
        }
        shown.into_iter().flatten().collect()
    }
}

fn each(
    hosts: &[Arc<HostEntry>],
    now_ms: i64,
    condition: &Condition,
    needed: &[(Common, u64)],
    mut visit: impl FnMut(&ProcessView<'_>) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let meter = Meter::default();
    let mut rows = 0_usize;
    for entry in hosts {
        let host = entry.read();
        for view in host.views_with(now_ms, needed) {
            if condition.holds(&view, &meter) {
                visit(&view)?;
            }
            rows += 1;
            if rows.is_multiple_of(METER_ROWS) && meter.exhausted() {
                return Err(Problem::too_costly());
            }
        }
    }
    if meter.exhausted() {
        return Err(Problem::too_costly());
    }
    Ok(())
}

/// The first rows in an order, of many that are offered in any.
struct Best<'s> {
    sort: &'s Sort,
    limit: usize,
    offered: usize,
    places: Vec<Place>,
    /// Whatever is not before it is not among them.
    bar: Option<Place>,
    /// What the first field of the order is settled by, and marks whose rows are all behind the bar.
    settled_by: Option<usize>,
    behind: Vec<u32>,
}

/// Marks remembered to be behind the bar.
const BEHIND: usize = 1 << 14;

impl<'s> Best<'s> {
    fn new(sort: &'s Sort, limit: usize) -> Self {
        Self {
            sort,
            limit: limit.max(1),
            offered: 0,
            places: Vec::new(),
            bar: None,
            settled_by: sort.settled_by(),
            behind: Vec::new(),
        }
    }

    fn offer(&mut self, view: &ProcessView<'_>) {
        self.offered += 1;
        if let Some(bar) = &self.bar {
            let mark = self.settled_by.map_or(UNMARKED, |by| view.mark(by));
            if mark != UNMARKED && self.behind.get(mark as usize % BEHIND) == Some(&mark) {
                return;
            }
            let (ordering, by_first) = self.sort.compare_view(view, bar);
            if ordering.is_ge() {
                // The bar only ever moves to the front.
                if by_first && mark != UNMARKED {
                    self.behind.resize(BEHIND, UNMARKED);
                    self.behind[mark as usize % BEHIND] = mark;
                }
                return;
            }
        }
        self.places.push(self.sort.place(view));
        // Seldom enough that it costs little, and often enough that few are kept in vain.
        if self.places.len() >= 2 * self.limit {
            self.cut();
        }
    }

    fn merge(&mut self, other: Self) {
        self.offered += other.offered;
        self.places.extend(other.places);
        self.cut();
    }

    fn cut(&mut self) {
        if self.places.len() <= self.limit {
            return;
        }
        let sort = self.sort;
        let (_, last, _) = self
            .places
            .select_nth_unstable_by(self.limit - 1, |a, b| sort.compare(a, b));
        self.bar = Some(last.clone());
        self.places.truncate(self.limit);
    }

    fn finish(mut self) -> Vec<Place> {
        self.cut();
        self.places.sort_unstable_by(|a, b| self.sort.compare(a, b));
        self.places
    }
}
