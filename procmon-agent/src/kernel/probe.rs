//! The probe ladder: which ways of seeing processes this host allows, found out by trying.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, bail, ensure};

use super::btf::KERNEL_BTF;
use super::{Capture, CaptureOptions, Continuity};
use crate::config::Probe;

/// `PROC_PID_INIT_INO` of the kernel.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
const NOT_INITIAL: &str =
    "this process is in a PID namespace of its own, the kernel's records are of the host's";

/// How processes are seen, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Kernel programs push each start, exit and slow block request.
    Ebpf,
    /// Lists of processes are compared: what lives shorter than an interval is not seen.
    Sample,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Sample => "sample",
        }
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
    continuity: Option<Continuity>,
) -> Result<(Level, String, Option<Capture>)> {
    if wanted == Probe::Sample {
        return Ok((Level::Sample, "the configuration asks for it".into(), None));
    }
    match start_here(options, continuity) {
        Ok(capture) => Ok((Level::Ebpf, String::new(), Some(capture))),
        Err(error) if wanted == Probe::Auto => Ok((Level::Sample, explain(&error), None)),
        Err(error) => {
            let reason = explain(&error);
            bail!(
                "the probe level ebpf does not work here: {reason}. Fix: {}",
                fix_for(&reason)
            )
        }
    }
}

fn start_here(options: CaptureOptions, continuity: Option<Continuity>) -> Result<Capture> {
    let namespace = std::fs::metadata("/proc/self/ns/pid")
        .map(|namespace| namespace.ino())
        .ok();
    ensure!(namespace == Some(INITIAL_PID_NAMESPACE), NOT_INITIAL);
    Capture::start_after(options, continuity)
}

/// Whether one level works here, and if not, why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFinding {
    pub level: &'static str,
    pub ok: bool,
    pub reason: String,
    pub fix: String,
}

/// Tries each level. The eBPF programs are loaded and let go again.
pub fn assess() -> Vec<ProbeFinding> {
    let ebpf = match start_here(CaptureOptions::default(), None) {
        Ok(_) => ProbeFinding {
            level: Level::Ebpf.name(),
            ok: true,
            reason: "the programs load and attach".into(),
            fix: String::new(),
        },
        Err(error) => {
            let reason = explain(&error);
            ProbeFinding {
                level: Level::Ebpf.name(),
                ok: false,
                fix: fix_for(&reason).into(),
                reason,
            }
        }
    };
    let sample = ProbeFinding {
        level: Level::Sample.name(),
        ok: true,
        reason: "/proc is readable".into(),
        fix: String::new(),
    };
    vec![ebpf, sample]
}

/// Why eBPF does not work here, in one line: what is missing, before what the kernel said.
pub fn explain(error: &anyhow::Error) -> String {
    if !std::path::Path::new(KERNEL_BTF).exists() {
        return format!("this kernel has no BTF ({KERNEL_BTF} does not exist)");
    }
    if error.to_string() == NOT_INITIAL {
        return NOT_INITIAL.into();
    }
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return format!("missing {}", missing.join(" and "));
    }
    // The verifier's log follows the first line.
    let text = format!("{error:#}");
    text.lines().next().unwrap_or("unknown error").to_owned()
}

fn fix_for(reason: &str) -> &'static str {
    if reason.contains("no BTF") {
        "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian's and Ubuntu's are)"
    } else if reason == NOT_INITIAL {
        "run it in the host's PID namespace (hostPID: true, or --pid=host)"
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
