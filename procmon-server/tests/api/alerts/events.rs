//! Rules about what happened.

use procmon_common::wire;

use super::*;
use crate::support::{FakeAgent, event, exited, image, process};

/// Native batches say when they were sent: the host's clock is the server's.
fn now(server: &Server, agent: &mut FakeAgent) {
    agent.now_ns = server.clock.now_ms() * 1_000_000;
}

async fn tick(
    server: &Server,
    agent: &mut FakeAgent,
    fill: impl FnOnce(&mut FakeAgent) -> wire::Batch,
) {
    server.clock.advance_ms(EVALUATION_MS - 100);
    now(server, agent);
    let batch = fill(agent);
    server.send(&batch).await;
    server.clock.advance_ms(100);
    until_evaluated(server).await;
}

/// An exec of a program as a child of another process.
fn exec(agent: &mut FakeAgent, pid: u32, parent: u32, args: &[u8], age_ms: i64) -> wire::Batch {
    let mut batch = agent.batch();
    let at_ns = agent.now_ns - age_ms * 1_000_000;
    let mut born = process(pid, at_ns);
    born.ppid = parent;
    born.baseline = false;
    batch.processes = vec![born];
    let exec = wire::Exec {
        image: Some(image(1, args)),
        credentials: None,
    };
    batch.events = vec![
        event(at_ns, pid, wire::event::Kind::Exec(exec)),
        event(at_ns + 1, pid, wire::event::Kind::Exit(exited(0))),
    ];
    batch
}

#[tokio::test]
async fn a_shell_under_nginx() {
    let server = server().await;
    let shell = json!({
        "id": "shell", "name": "Shell", "kind": "event", "types": ["exec"], "process_name": "*sh",
        "q": "'nginx' in ancestors", "keep_firing_for": "20s",
        "annotations": { "summary": "{{ $labels.name }} on {{ $labels.agent_id }}, {{ $value }} times" }
    });
    rule(&server, &shell).await;
    let mut agent = FakeAgent::new("web");
    tick(&server, &mut agent, |agent| {
        let mut batch = agent.key(50, 2);
        batch.processes[0].image = Some(image(0, b"nginx\0"));
        batch.processes[0].ppid = 1;
        batch.processes[1].image = Some(image(0, b"cron\0"));
        batch.processes[1].ppid = 1;
        batch
    })
    .await;
    // Under cron, and a program under nginx that is no shell.
    tick(&server, &mut agent, |agent| {
        exec(agent, 100, 51, b"/bin/sh\0", 10)
    })
    .await;
    tick(&server, &mut agent, |agent| {
        exec(agent, 101, 50, b"/usr/bin/perl\0", 10)
    })
    .await;
    assert!(alerts(&server).await.is_empty());
    // Perl is gone, and was under nginx.
    tick(&server, &mut agent, |agent| {
        exec(agent, 102, 101, b"/bin/bash\0", 10)
    })
    .await;
    let found = alerts(&server).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["state"], "firing");
    assert_eq!(found[0]["annotations"]["summary"], "bash on web, 1 times");
    assert_eq!(found[0]["labels"]["type"], "exec");
    for _ in 0..2 {
        tick(&server, &mut agent, |agent| agent.key(50, 2)).await;
        assert_eq!(states(&server, "name").await, pairs(&[("bash", "firing")]));
    }
    tick(&server, &mut agent, |agent| agent.key(50, 2)).await;
    assert_eq!(
        states(&server, "name").await,
        pairs(&[("bash", "resolved")])
    );
    // An hour late, out of the spool.
    tick(&server, &mut agent, |agent| {
        exec(agent, 103, 50, b"/bin/sh\0", 3_600_000)
    })
    .await;
    assert_eq!(
        states(&server, "name").await,
        pairs(&[("bash", "resolved")])
    );
    server.stop().await;
}

/// What only forks, and is gone before anybody looks, is told of when it ends.
#[tokio::test]
async fn a_shell_under_a_process_that_only_forked() {
    let server = server().await;
    let shell = json!({
        "id": "shell", "name": "Shell", "kind": "event", "types": ["exec"], "q": "'nginx' in ancestors",
        "keep_firing_for": "0s"
    });
    rule(&server, &shell).await;
    let mut agent = FakeAgent::new("web");
    let list = |agent: &mut FakeAgent| {
        let mut batch = agent.key(50, 2);
        for (process, name) in batch.processes.iter_mut().zip(["nginx", "crond"]) {
            process.image = Some(image(0, format!("{name}\0").as_bytes()));
            process.ppid = 1;
        }
        batch
    };
    tick(&server, &mut agent, list).await;
    let forks = |agent: &mut FakeAgent, pid: u32, parent: u32| {
        let mut batch = exec(agent, pid + 1, pid, b"/bin/sh\0", 10);
        let mut fork = process(pid, agent.now_ns);
        fork.ppid = parent;
        fork.baseline = false;
        batch.processes.push(fork);
        batch
    };
    let end =
        |agent: &FakeAgent, pid: u32| event(agent.now_ns, pid, wire::event::Kind::Exit(exited(0)));
    // Under cron.
    tick(&server, &mut agent, |agent| {
        let mut batch = forks(agent, 200, 51);
        batch.events.push(end(agent, 200));
        batch
    })
    .await;
    assert!(alerts(&server).await.is_empty());
    // It ends together with what it started, and after that.
    for (pid, later) in [(300, false), (400, true)] {
        tick(&server, &mut agent, |agent| {
            let mut batch = forks(agent, pid, 50);
            if !later {
                batch.events.push(end(agent, pid));
            }
            batch
        })
        .await;
        assert_eq!(
            states(&server, "name").await,
            pairs(&[("sh", "firing")]),
            "{pid}"
        );
        tick(&server, &mut agent, list).await;
        assert_eq!(states(&server, "name").await, pairs(&[("sh", "resolved")]));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_crashes_again_and_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = procmon_server::clock::Clock::manual(crate::support::START_MS);
    let server = Server::start_in(folder.path(), clock.clone()).await;
    until_evaluated(&server).await;
    let crash =
        json!({ "id": "loop", "name": "Loop", "kind": "crash_loop", "count": 3, "window": "2m" });
    rule(&server, &crash).await;
    let mut agent = FakeAgent::new("web");
    tick(&server, &mut agent, |agent| agent.key(50, 1)).await;
    for (pid, code) in [(100, 1), (101, 0), (102, 137)] {
        tick(&server, &mut agent, |agent| agent.life(pid, exited(code))).await;
        assert!(alerts(&server).await.is_empty(), "{pid}");
    }
    // What failed before the restart counts.
    server.stop().await;
    let server = Server::start_in(folder.path(), clock).await;
    tick(&server, &mut agent, |agent| agent.life(103, exited(2))).await;
    let found = alerts(&server).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["labels"]["name"], "true");
    assert_eq!(found[0]["value"], 3.0);
    for _ in 0..8 {
        tick(&server, &mut agent, |agent| agent.key(50, 1)).await;
    }
    assert_eq!(
        states(&server, "name").await,
        pairs(&[("true", "resolved")])
    );
    server.stop().await;
}
