//! The probe ladder: which ways of seeing processes this host allows, found out by trying.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, anyhow, bail, ensure};

use super::btf::KERNEL_BTF;
use super::{Capture, CaptureOptions, Connector, Continuity, classic};
use crate::config::Probe;
use crate::source::{Source, Statuses};

/// `PROC_PID_INIT_INO` of the kernel.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
const NOT_INITIAL: &str =
    "this process is in a PID namespace of its own, the kernel's records are of the host's";

/// How processes are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Kernel programs push each start, exit and slow block request, with all that the kernel knows of it.
    Ebpf,
    /// Kernel programs that do without BTF push each start and exit; the rest is read from /proc.
    Tracepoint,
    /// The kernel's proc connector tells starts and exits; the rest is read from /proc.
    Procnet,
    /// Lists of processes are compared: what lives shorter than an interval is not seen.
    Sample,
}

/// Best first.
pub const LEVELS: [Level; 4] = [
    Level::Ebpf,
    Level::Tracepoint,
    Level::Procnet,
    Level::Sample,
];

impl Level {
    pub fn name(self) -> &'static str {
        self.wanted().name()
    }

    /// The configuration that asks for it.
    fn wanted(self) -> Probe {
        match self {
            Self::Ebpf => Probe::Ebpf,
            Self::Tracepoint => Probe::Tracepoint,
            Self::Procnet => Probe::Procnet,
            Self::Sample => Probe::Sample,
        }
    }

    /// Starts to see processes in this way.
    fn start(self, options: CaptureOptions, continuity: Option<Continuity>) -> Result<Source> {
        if self == Self::Sample {
            return Ok(Source::Sample);
        }
        let namespace = std::fs::metadata("/proc/self/ns/pid")
            .map(|namespace| namespace.ino())
            .ok();
        ensure!(namespace == Some(INITIAL_PID_NAMESPACE), NOT_INITIAL);
        match self {
            Self::Ebpf => Capture::start_after(options, continuity).map(Source::Ebpf),
            Self::Tracepoint => Ok(Source::Tracepoint {
                classic: classic::start(options)?,
                // A help that may be missing: exits are told all the same.
                statuses: Connector::start().ok().map(Statuses::new),
            }),
            Self::Procnet => Connector::start().map(Source::Procnet),
            Self::Sample => Ok(Source::Sample),
        }
    }

    /// Why it does not work here, in one line: what is missing, before what the kernel said.
    fn explain(self, error: &anyhow::Error) -> String {
        if error.to_string() == NOT_INITIAL {
            return NOT_INITIAL.into();
        }
        if self == Self::Ebpf && !std::path::Path::new(KERNEL_BTF).exists() {
            return format!("this kernel has no BTF ({KERNEL_BTF} does not exist)");
        }
        let missing = missing_capabilities();
        if matches!(self, Self::Ebpf | Self::Tracepoint) && !missing.is_empty() {
            return format!("missing {}", missing.join(" and "));
        }
        // The verifier's log follows the first line.
        let text = format!("{error:#}");
        text.lines().next().unwrap_or("unknown error").to_owned()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Takes the level that is asked for, or the best one that works; why it is not a better one.
pub fn choose(
    wanted: Probe,
    options: CaptureOptions,
    mut continuity: Option<Continuity>,
) -> Result<(Level, String, Source)> {
    let mut reasons = Vec::new();
    for level in LEVELS {
        if wanted != Probe::Auto && wanted != level.wanted() {
            continue;
        }
        // For the first that is tried: only the level ebpf, which is the first of all, has rings that outlive the agent.
        match level.start(options, continuity.take()) {
            Ok(source) if level.wanted() == wanted && level != Level::Ebpf => {
                return Ok((level, "the configuration asks for it".into(), source));
            }
            Ok(source) => return Ok((level, reasons.join("; "), source)),
            Err(error) => {
                let reason = level.explain(&error);
                if wanted != Probe::Auto {
                    let fix = fix_for(&reason);
                    bail!("the probe level {level} does not work here: {reason}. Fix: {fix}");
                }
                reasons.push(format!("{level}: {reason}"));
            }
        }
    }
    Err(anyhow!("no probe level works here: {}", reasons.join("; ")))
}

/// Whether one level works here, and if not, why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFinding {
    pub level: &'static str,
    pub ok: bool,
    pub reason: String,
    pub fix: String,
}

/// Tries each level. What that starts is let go again.
pub fn assess() -> Vec<ProbeFinding> {
    LEVELS
        .map(|level| match level.start(CaptureOptions::default(), None) {
            Ok(source) => ProbeFinding {
                level: level.name(),
                ok: true,
                reason: what_works(&source).into(),
                fix: String::new(),
            },
            Err(error) => {
                let reason = level.explain(&error);
                ProbeFinding {
                    level: level.name(),
                    ok: false,
                    fix: fix_for(&reason).into(),
                    reason,
                }
            }
        })
        .into()
}

fn what_works(source: &Source) -> &'static str {
    match source {
        Source::Ebpf(_) => "the programs load and attach",
        Source::Tracepoint {
            statuses: Some(_), ..
        } => "the programs load and attach, and the proc connector tells exit codes",
        Source::Tracepoint { statuses: None, .. } => {
            "the programs load and attach; exit codes stay unknown, because the proc connector does not work"
        }
        Source::Procnet(_) => "the proc connector answers",
        Source::Sample => "/proc is readable",
    }
}

fn fix_for(reason: &str) -> &'static str {
    if reason.contains("no BTF") {
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian's and Ubuntu's are)"
    } else if reason == NOT_INITIAL {
        "run it in the host's PID namespace (hostPID: true, or --pid=host)"
    } else if reason.contains("network namespace") {
        "run it in the host's network namespace (hostNetwork: true, or --network=host)"
    } else if reason.contains("CAP_NET_ADMIN") {
        "run as root, or grant CAP_NET_ADMIN"
    } else if reason.contains("tracefs is not mounted") {
        "mount -t tracefs tracefs /sys/kernel/tracing"
    } else if reason.contains("CONFIG_") {
        "boot a kernel that was built with it (those of the distributions are)"
    } else if reason.contains("missing CAP") {
        "run as root, or grant CAP_BPF and CAP_PERFMON"
    } else {
        "run `procmon-agent check` as root and report its output with the kernel's version"
    }
}

/// Capabilities without which the programs cannot be loaded. `CAP_SYS_ADMIN` includes both.
fn missing_capabilities() -> Vec<&'static str> {
    const CAP_SYS_ADMIN: u32 = 21;
    const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED
        .iter()
        .filter(|(_, capability)| !has(*capability))
        .map(|(name, _)| *name)
        .collect()
}
