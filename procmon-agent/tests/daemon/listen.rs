//! The agent's own metrics and health.

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::agent::{Agent, run_marked, until};
use super::server::Server;
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "listen::metrics_are_well_formed_and_tell_nothing_of_processes",
            metrics,
        ),
        trial("listen::health_says_when_someone_has_to_act", health),
    ]
}

fn metrics() -> Result<()> {
    let server = Server::start()?;
    let agent = Agent::start(&[
        "--probe=ebpf",
        "--interval=1s",
        "--server-url",
        &server.url(),
    ])?;
    run_marked("never-in-metrics")?;
    until("events and shipping show", || {
        Ok(
            agent.metric("events_total{kind=\"exit\"}").unwrap_or(0.0) > 0.0
                && agent.metric("ship_latency_seconds").is_ok(),
        )
    })?;
    let (head, classic) = agent.get("/metrics", "text/plain")?;
    ensure!(head.contains("text/plain; version=0.0.4"), "{head}");
    well_formed(&classic)?;
    for name in [
        "events_total{kind=\"exec\"}",
        "last_sample_duration_seconds",
        "batch_bytes_total",
        "spool_bytes",
        "clock_offset_seconds",
        "resident_memory_bytes",
        "cpu_seconds_total",
        "redactions_total",
        "ring_size_bytes",
        "probe{level=\"ebpf\"}",
        "hardened{part=\"seccomp\"}",
        "degraded{what=\"argv\"}",
    ] {
        agent.metric(name)?;
    }
    ensure!(!classic.contains("never-in-metrics"), "{classic}");
    let (head, open) = agent.get("/metrics", "application/openmetrics-text; version=1.0.0")?;
    ensure!(head.contains("application/openmetrics-text"), "{head}");
    ensure!(open.ends_with("# EOF\n"), "{open}");
    let (head, _) = agent.get("/other", "*/*")?;
    ensure!(head.starts_with("HTTP/1.1 404"), "{head}");
    promtool(&classic)?;
    agent.stop().map(drop)
}

/// Each sample belongs to a family that was described before, once, and has a number.
fn well_formed(text: &str) -> Result<()> {
    let (mut family, mut families) = (String::new(), HashSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, _) = rest.split_once(' ').context("a type")?;
            name.clone_into(&mut family);
            ensure!(families.insert(family.clone()), "{family} twice");
            ensure!(family.starts_with("procmon_agent_"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').context("a value")?;
            ensure!(name.split('{').next() == Some(&*family), "{line}");
            value.parse::<f64>().with_context(|| line.to_owned())?;
        }
    }
    ensure!(families.len() > 20, "{text}");
    Ok(())
}

/// Prometheus' own opinion, where it is installed.
fn promtool(text: &str) -> Result<()> {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        println!("promtool is not installed: the text was checked by this test alone");
        return Ok(());
    };
    child
        .stdin
        .take()
        .context("a pipe")?
        .write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

fn health() -> Result<()> {
    let server = Server::start()?;
    let agent = Agent::start(&["--interval=1s", "--server-url", &server.url()])?;
    let (head, body) = agent.get("/healthz", "*/*")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    ensure!(body == r#"{"status":"ok","reasons":[]}"#, "{body}");
    server.seen().refusal = Some(401);
    until("the refusal shows", || {
        let (head, body) = agent.get("/healthz", "*/*")?;
        Ok(head.starts_with("HTTP/1.1 503")
            && body.contains("the server takes nothing from this agent"))
    })?;
    server.seen().refusal = None;
    until("all is well again", || {
        Ok(agent.get("/healthz", "*/*")?.0.starts_with("HTTP/1.1 200"))
    })?;
    agent.stop().map(drop)
}
