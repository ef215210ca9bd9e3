//! Who started a process, and who started that, as it was when it began.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use procmon_common::columns::Column;
use procmon_common::ids::ProcessId;

use super::host::PastHost;
use super::life_events::{About, for_each_event};
use super::range::Range;
use crate::app::App;
use crate::batch::Life;
use crate::error::Problem;
use crate::store::history::LifeFilter;

/// No chain of parents is that long; a circle of them would be longer.
const MAX_ANCESTORS: usize = 100;

/// Lives by pid, with the parent that a sample told.
type Candidates = HashMap<u32, Vec<(Arc<Life>, Option<u32>)>>;

/// The parents of a life, the nearest first, as far as they are known. `around_ms`: when to look, by the host's clock.
pub(super) async fn ancestors(
    app: &App,
    host: &PastHost,
    life: &Life,
    around_ms: i64,
) -> Result<Vec<Arc<Life>>, Problem> {
    let mut known = Candidates::new();
    present(app, host, &mut known);
    past(app, host, around_ms, &mut known).await?;
    let mut chain: Vec<Arc<Life>> = Vec::new();
    let own = life.id.and_then(|id| {
        let lives = known.get(&id.pid)?;
        lives.iter().find(|(life, _)| life.id == Some(id))
    });
    let mut sampled_ppid = own.and_then(|(_, ppid)| *ppid);
    let mut ppid = life.ppid;
    let mut started_ns = life.started_ns;
    while chain.len() < MAX_ANCESTORS {
        let found =
            find(&known, ppid, started_ns).or_else(|| find(&known, sampled_ppid, started_ns));
        let Some((parent, parents_ppid)) = found else {
            break;
        };
        if chain.iter().any(|before| before.id == parent.id) || parent.id == life.id {
            break;
        }
        (ppid, sampled_ppid) = (parent.ppid, *parents_ppid);
        started_ns = parent.started_ns.or(started_ns);
        chain.push(Arc::clone(parent));
    }
    Ok(chain)
}

/// Of the lives with a pid, the last that began before its child.
fn find(
    known: &Candidates,
    pid: Option<u32>,
    before_ns: Option<i64>,
) -> Option<&(Arc<Life>, Option<u32>)> {
    let lives = known.get(&pid?)?.iter();
    let earlier = lives.filter(|(life, _)| match (life.started_ns, before_ns) {
        (Some(started_ns), Some(before_ns)) => started_ns <= before_ns,
        _ => true,
    });
    earlier.max_by_key(|(life, _)| life.started_ns)
}

fn present(app: &App, host: &PastHost, known: &mut Candidates) {
    let Some(entry) = app.live.get(&host.agent_id) else {
        return;
    };
    for view in entry.read().views(0) {
        add(known, view.id, &view.process.life, view.ppid());
    }
}

async fn past(
    app: &App,
    host: &PastHost,
    around_ms: i64,
    known: &mut Candidates,
) -> Result<(), Problem> {
    let range = Range {
        from_ms: around_ms.saturating_sub(host.patience_ms),
        to_ms: around_ms.saturating_add(host.patience_ms),
    };
    let mut query = host.query(range, LifeFilter::All);
    query.columns = vec![Column::Ppid];
    let samples = app.store.samples(&query).await?;
    for sampled in &samples.lives {
        if let Some(id) = sampled.life.id {
            let ppid = sampled.value_at(0, sampled.first);
            let ppid = ppid.and_then(|ppid| u32::try_from(ppid).ok());
            add(known, id, &sampled.life, ppid);
        }
    }
    // A parent that lived shorter than an interval is in no sample.
    for_each_event(
        app,
        &host.agent_id,
        About::default(),
        range,
        |_, _, event| {
            if let Some(life) = &event.life
                && let Some(id) = life.id
            {
                add(known, id, life, None);
            }
            ControlFlow::Continue(())
        },
    )
    .await?;
    Ok(())
}

fn add(known: &mut Candidates, id: ProcessId, life: &Arc<Life>, ppid: Option<u32>) {
    let lives = known.entry(id.pid).or_default();
    match lives.iter_mut().find(|(known, _)| known.id == Some(id)) {
        // The newest image says best what it is; but what was known at its time comes last, and counts.
        Some(before) => *before = (Arc::clone(life), ppid.or(before.1)),
        None => lives.push((Arc::clone(life), ppid)),
    }
}
