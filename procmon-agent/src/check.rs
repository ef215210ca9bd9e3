//! `procmon-agent check`: what the daemon would find on this host, each shortcoming with its fix.

mod host;
mod pins;
mod server;
mod spool;
mod start;

use std::io::Write;
use std::process::ExitCode;

use crate::config::{AgentConfig, Probe};
use crate::kernel::probe::ProbeFinding;

/// How bad a finding is. A failure keeps the daemon from running, or all it sees from being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// One line of the report, and one more where there is something to do.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    what: &'static str,
    text: String,
    fix: String,
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            grade: Grade::Ok,
            what,
            text: text.into(),
            fix: String::new(),
        }
    }

    fn warn(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            grade: Grade::Warn,
            what,
            text: text.into(),
            fix: fix.into(),
        }
    }

    fn fail(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            grade: Grade::Fail,
            ..Self::warn(what, text, fix)
        }
    }
}

/// Prints the report. Succeeds when nothing failed; warnings are allowed.
pub async fn run(config: &AgentConfig, probes: &[ProbeFinding]) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    let passed = report(config, probes, &mut text).await?;
    let mut out = std::io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()) {
        // Whoever reads it has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn report(
    config: &AgentConfig,
    probes: &[ProbeFinding],
    out: &mut impl Write,
) -> std::io::Result<bool> {
    let mut findings = host::findings();
    findings.extend(probe_findings(config.probe, probes));
    findings.push(configuration(config));
    findings.extend(token_in_sight(config));
    findings.push(start::redaction(config));
    findings.extend(start::listening(config));
    findings.extend(spool::findings(config));
    findings.extend(pins::findings(config));
    findings.push(server::finding(config).await);
    write_report(&findings, out)
}

fn write_report(findings: &[Finding], out: &mut impl Write) -> std::io::Result<bool> {
    for finding in findings {
        let grade = match finding.grade {
            Grade::Ok => "ok  ",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        writeln!(out, "{grade}  {}: {}", finding.what, finding.text)?;
        if !finding.fix.is_empty() {
            writeln!(out, "      fix: {}", finding.fix)?;
        }
    }
    Ok(findings.iter().all(|finding| finding.grade < Grade::Fail))
}

/// The level that would be used, and why not a better one.
fn probe_findings(wanted: Probe, probes: &[ProbeFinding]) -> Vec<Finding> {
    if let Some(probe) = probes.iter().find(|probe| probe.level == wanted.name()) {
        let text = format!("{}, as configured: {}", probe.level, probe.reason);
        return vec![if probe.ok {
            Finding::ok("probe", text)
        } else {
            let fix = format!("{}; or set probe to auto", probe.fix);
            Finding::fail("probe", text, fix)
        }];
    }
    let mut findings: Vec<_> = probes
        .iter()
        .take_while(|probe| !probe.ok)
        .map(|probe| {
            let text = format!("{} does not work: {}", probe.level, probe.reason);
            Finding::warn("probe", text, probe.fix.clone())
        })
        .collect();
    findings.push(match probes.iter().find(|probe| probe.ok) {
        Some(best) => Finding::ok("probe", format!("{}: {}", best.level, best.reason)),
        None => Finding::fail(
            "probe",
            "no level works here",
            "follow the fix of one of the levels above",
        ),
    });
    findings
}

fn configuration(config: &AgentConfig) -> Finding {
    let labels: Vec<_> = config
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let values = [
        ("agent_id", config.agent_id.clone()),
        ("server_url", config.server_url.clone()),
        ("interval", format!("{:?}", config.interval)),
        (
            "token",
            config
                .token
                .as_ref()
                .map_or("none", |_| "(set, not shown)")
                .to_owned(),
        ),
        ("labels", labels.join(",")),
        ("probe", config.probe.name().to_owned()),
        ("spool_dir", config.spool_dir.display().to_string()),
        ("spool_max_bytes", config.spool_max_bytes.to_string()),
        ("fork_events", config.fork_events.to_string()),
        (
            "io_slow_threshold",
            format!("{:?}", config.io_slow_threshold),
        ),
        ("redact", config.redact.to_string()),
        (
            "redact_rules",
            optional(config.redact_rules.as_ref().map(|path| path.display())),
        ),
        ("pin", config.pin.to_string()),
        ("listen", optional(config.listen)),
        ("mem_limit", config.mem_limit_bytes.to_string()),
        ("cpu_limit", format!("{}%", config.cpu_limit_percent)),
        ("hardening", config.hardening.to_string()),
    ];
    let lines = values.map(|(key, value)| {
        let place = config.places.get(key).map_or("default", String::as_str);
        let value = if value.is_empty() { "none" } else { &value };
        format!("\n        {key} = {value}  ({place})")
    });
    Finding::ok(
        "configuration",
        format!("each value, and where it comes from{}", lines.concat()),
    )
}

fn optional(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn token_in_sight(config: &AgentConfig) -> Option<Finding> {
    (config.places.get("token")? == "--token").then(|| {
        Finding::warn(
            "token",
            "it is on the command line, where every user of this host can read it",
            "give it as PROCMON_TOKEN, or in a file that only the agent can read (--config)",
        )
    })
}

#[cfg(test)]
mod tests;
