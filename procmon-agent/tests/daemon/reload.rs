//! SIGHUP: what can change does, without losing an event; what cannot is named; a bad file changes nothing.

use std::path::Path;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;

use super::agent::{Agent, User, run_marked, until};
use super::server::Server;
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("reload::interval_labels_and_limits", values),
        trial("reload::server_and_token_without_losing_an_event", target),
        trial("reload::a_bad_file_changes_nothing", bad),
        trial("reload::a_pipe_that_nobody_writes_to_stops_nothing", pipe),
        trial("reload::rules_of_redaction", rules),
        trial("reload::what_waits_for_a_restart_is_named", waiting),
    ]
}

fn start(server: &Server, text: &str) -> Result<Agent> {
    let folder = tempfile::tempdir()?;
    write(&folder, server, text)?;
    let path = folder.path().join("agent.yaml");
    let config = path.to_string_lossy().into_owned();
    Agent::start_in(folder, User::Root, &["--probe=ebpf", "--config", &config])
}

fn write(folder: &TempDir, server: &Server, text: &str) -> Result<()> {
    write_to(&folder.path().join("agent.yaml"), server, text)
}

fn write_to(path: &Path, server: &Server, text: &str) -> Result<()> {
    Ok(std::fs::write(
        path,
        format!("server_url: {}\n{text}", server.url()),
    )?)
}

fn change(agent: &Agent, server: &Server, text: &str, said: &str) -> Result<()> {
    write_to(&agent.path("agent.yaml"), server, text)?;
    agent.hang_up()?;
    until(&format!("the log says {said:?}"), || {
        Ok(agent.log()?.contains(said))
    })
}

fn values() -> Result<()> {
    let server = Server::start()?;
    let agent = start(&server, "interval: 1h\nlabels: {team: old}\n")?;
    until("the label is told", || {
        let seen = server.seen();
        Ok(seen
            .health()
            .is_some_and(|health| health.labels["team"] == "old"))
    })?;
    let samples = agent.metric("samples_total")?;
    change(
        &agent,
        &server,
        "interval: 1s\nlabels: {team: new}\nmem_limit: 1GiB\nfork_events: true\ncpu_limit: off\n",
        "in force now: interval, labels, fork_events, mem_limit, cpu_limit",
    )?;
    until("samples come each second", || {
        Ok(agent.metric("samples_total")? >= samples + 2.0)
    })?;
    ensure!((agent.metric("interval_seconds")? - 1.0).abs() < f64::EPSILON);
    until("the server is told", || {
        let seen = server.seen();
        let is_told = seen.health().is_some_and(|health| {
            health.labels["team"] == "new" && health.mem_limit_bytes == 1 << 30
        });
        Ok(is_told
            && seen
                .batches
                .last()
                .is_some_and(|batch| batch.interval_ms == 1000))
    })?;
    run_marked("forked")?;
    until("forks are events", || {
        Ok(agent.metric("events_total{kind=\"fork\"}").is_ok())
    })?;
    agent.stop().map(drop)
}

fn target() -> Result<()> {
    let (first, second) = (Server::start()?, Server::start()?);
    let agent = start(&first, "interval: 1s\ntoken: one\n")?;
    until("the first token is used", || {
        Ok(first.seen().authorization.as_deref() == Some("Bearer one"))
    })?;
    // A server that takes nothing, so that what comes now is still to be sent when the target changes.
    first.seen().refusal = Some(503);
    for number in 0..20 {
        run_marked(&format!("before-{number}-reload"))?;
    }
    change(
        &agent,
        &second,
        "interval: 1s\ntoken: two\n",
        "in force now: server_url, token",
    )?;
    for number in 0..20 {
        run_marked(&format!("after-{number}-reload"))?;
    }
    until("every event is at one of the two", || {
        let mut all = first.seen().args_of_execs();
        all.extend(second.seen().args_of_execs());
        Ok((0..20).all(|number| {
            ["before", "after"].iter().all(|time| {
                let marker = format!("{time}-{number}-reload");
                all.iter().filter(|args| args.contains(&marker)).count() == 1
            })
        }))
    })?;
    ensure!(second.seen().authorization.as_deref() == Some("Bearer two"));
    agent.stop().map(drop)
}

fn bad() -> Result<()> {
    let server = Server::start()?;
    let agent = start(&server, "interval: 1s\n")?;
    change(
        &agent,
        &server,
        "interval: 10ms\nlabels: {a: b}\n",
        "agent.yaml: interval: \"10ms\" is too short",
    )?;
    change(
        &agent,
        &server,
        "intervall: 2s\n",
        "did you mean `interval`?",
    )?;
    std::fs::remove_file(agent.path("agent.yaml"))?;
    agent.hang_up()?;
    until("the log says what is missing", || {
        Ok(agent.log()?.contains("cannot read the configuration file"))
    })?;
    let samples = agent.metric("samples_total")?;
    until("it goes on as it was", || {
        Ok(agent.metric("samples_total")? > samples)
    })?;
    ensure!((agent.metric("interval_seconds")? - 1.0).abs() < f64::EPSILON);
    let log = agent.stop()?;
    ensure!(
        log.matches("The configuration stays as it was").count() == 3,
        "{log}"
    );
    Ok(())
}

fn rules() -> Result<()> {
    let server = Server::start()?;
    let agent = start(&server, "interval: 1s\n")?;
    let shown = |password: &str| {
        run_marked(&format!("--password={password}"))?;
        let mut shown = String::new();
        until("the process is seen", || {
            let seen = server.seen().args_of_execs();
            let found = seen.iter().rfind(|args| args.contains("--password="));
            shown = found.cloned().unwrap_or_default();
            Ok(!shown.is_empty())
        })?;
        server.seen().batches.clear();
        anyhow::Ok(shown)
    };
    ensure!(!shown("hunter21")?.contains("hunter21"));
    change(
        &agent,
        &server,
        "interval: 1s\nredact: off\n",
        "in force now: redact",
    )?;
    ensure!(shown("hunter22")?.contains("hunter22"));
    agent.stop().map(drop)
}

fn waiting() -> Result<()> {
    let server = Server::start()?;
    let agent = start(&server, "interval: 1s\n")?;
    change(
        &agent,
        &server,
        "interval: 1s\nspool_max_bytes: 1GiB\nhardening: false\n",
        "spool_max_bytes, hardening changed too, and applies when the agent is restarted",
    )?;
    agent.stop().map(drop)
}

fn pipe() -> Result<()> {
    let server = Server::start()?;
    let agent = start(&server, "interval: 1s\n")?;
    let path = agent.path("agent.yaml");
    std::fs::remove_file(&path)?;
    let made = std::process::Command::new("mkfifo").arg(&path).status()?;
    ensure!(made.success(), "mkfifo: {made}");
    agent.hang_up()?;
    // It is answered, batches are shipped, and it ends when it is told to.
    run_marked("while-the-file-is-a-pipe")?;
    until("the event is shipped", || {
        let seen = server.seen().args_of_execs();
        Ok(seen
            .iter()
            .any(|args| args.contains("while-the-file-is-a-pipe")))
    })?;
    agent.metric("samples_total")?;
    agent.stop()?;
    Ok(())
}
