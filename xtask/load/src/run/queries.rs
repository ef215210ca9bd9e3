//! Somebody who asks while agents send: each kind of query again and again, over changing hosts.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use procmon_common::ids::{BootId, ProcessId};
use procmon_load::connection::{Answer, Connection};
use procmon_load::host::Host;

use super::shared::Shared;

/// A kind of query, and the path of one of it: of this host and this process.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    path: fn(&Target) -> String,
}

/// What one request is about.
struct Target {
    agent_id: String,
    pid: u32,
    process_id: String,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "list: top CPU",
        path: |_| "/processes?limit=100".to_owned(),
    },
    Kind {
        name: "list: filters, sort",
        path: |_| "/processes?name=java&cpu_gt=5&sort=-memory_rss&limit=100".to_owned(),
    },
    Kind {
        name: "list: command line",
        path: |_| "/processes?cmdline=worker17&sort=name&limit=100".to_owned(),
    },
    Kind {
        name: "list: q",
        path: |_| {
            "/processes?q=cpu_percent%20%3E%2050.0%20%26%26%20name%20%3D%3D%20%22java%22&limit=100"
                .to_owned()
        },
    },
    Kind {
        name: "list: grouped",
        path: |_| "/processes?group_by=name&limit=100".to_owned(),
    },
    Kind {
        name: "list: one host",
        path: |target| format!("/processes?agent_id={}&limit=1000", target.agent_id),
    },
    Kind {
        name: "tree",
        path: |target| format!("/processes/tree?agent_id={}", target.agent_id),
    },
    Kind {
        name: "events: newest",
        path: |_| "/events?limit=100".to_owned(),
    },
    Kind {
        name: "events: one host's failures",
        path: |target| {
            format!(
                "/events?agent_id={}&type=exit&exit_code=1&limit=100",
                target.agent_id
            )
        },
    },
    Kind {
        name: "history: 10 min",
        path: |target| {
            format!(
                "/processes/{}/history?agent_id={}&minutes=10",
                target.pid, target.agent_id
            )
        },
    },
    Kind {
        name: "series: 1 h",
        path: |target| {
            format!(
                "/processes/{}/series?agent_id={}&metric=cpu_percent,memory_rss",
                target.pid, target.agent_id
            )
        },
    },
    Kind {
        name: "by-id",
        path: |target| {
            format!(
                "/processes/by-id/{}?agent_id={}",
                target.process_id, target.agent_id
            )
        },
    },
    Kind {
        name: "agents",
        path: |_| "/agents".to_owned(),
    },
];

/// The kinds that this server knows. An older one lacks some.
pub(super) async fn served(shared: &Shared) -> Result<Vec<Kind>> {
    let mut served = Vec::new();
    let mut connection = Connection::new(&shared.address);
    let target = target(shared, 0);
    for kind in KINDS {
        let path = format!("/api/v1{}", (kind.path)(&target));
        let answer = connection.get(&path).await.with_context(|| {
            format!(
                "no answer from {}; is a server running there?",
                shared.options.url
            )
        })?;
        if is_unknown(&answer) {
            println!("{}: this server does not know it", kind.name);
        } else if answer.status >= 500 {
            bail!("{path}: {}", String::from_utf8_lossy(&answer.body));
        } else {
            served.push(*kind);
        }
    }
    if shared.options.query_every.is_zero() {
        served.clear();
    }
    Ok(served)
}

fn is_unknown(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    (answer.status == 404 && text.contains("there is nothing at"))
        || (answer.status == 400 && text.contains("unknown query parameter"))
        // A path of a later version may look like one of an earlier one.
        || answer.status == 405
}

pub(super) async fn ask(kind: Kind, shared: Rc<Shared>) {
    let mut connection = Connection::new(&shared.address);
    // Everybody has reported, and the kinds take turns.
    let mut pause = shared.options.interval * 2;
    let mut turn = kind.name.len() as u64;
    while !shared.over.get() {
        tokio::time::sleep(pause).await;
        pause = shared.options.query_every;
        turn += 1;
        let path = format!("/api/v1{}", (kind.path)(&target(&shared, turn)));
        let started = Instant::now();
        let outcome = connection.get(&path).await;
        let mut queries = shared.queries.borrow_mut();
        let asked = queries.entry(kind.name).or_default();
        match outcome {
            Ok(answer) if answer.status == 200 => {
                asked.latency.add(started.elapsed());
                asked.bytes += answer.body.len() as u64;
            }
            Ok(Answer {
                status: 429 | 503,
                retry_after: Some(told_s),
                ..
            }) => {
                asked.put_off += 1;
                pause = pause.max(Duration::from_secs(told_s));
            }
            failed => {
                asked.failed += 1;
                shared.complain(&match failed {
                    Ok(answer) => format!(
                        "{path}: {} {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                    ),
                    Err(error) => format!("{path}: {error}"),
                });
            }
        }
    }
}

/// Another host, and another of its processes, at each turn.
fn target(shared: &Shared, turn: u64) -> Target {
    let options = &shared.options;
    let number = (turn * 7919 % u64::from(options.agents)) as u32;
    let host = Host::new(shared.plan(number));
    let process = (turn * 31 % u64::from(options.processes)) as u32;
    let (identity, _) = host
        .baseline(process)
        .unwrap_or_else(|| unreachable!("each host has its processes"));
    let boot = BootId(host.boot_id());
    Target {
        agent_id: host.agent_id().to_owned(),
        pid: identity.pid,
        process_id: ProcessId::booted(identity.pid, identity.start_ticks, boot).to_string(),
    }
}
