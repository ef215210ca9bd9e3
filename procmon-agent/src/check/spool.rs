//! Whether batches can wait on disk. Nothing is created that was not there, but for a moment.

use std::path::Path;

use procmon_common::folder_lock::folder_holder;

use super::Finding;
use crate::config::AgentConfig;

const WHAT: &str = "spool";

pub(super) fn findings(config: &AgentConfig) -> Vec<Finding> {
    let folder = &config.spool_dir;
    // The parent of `spool` is the empty path: the working folder.
    let here = Path::new(".");
    let ancestors = folder.ancestors();
    let existing = ancestors
        .map(|path| {
            if path.as_os_str().is_empty() {
                here
            } else {
                path
            }
        })
        .find(|path| path.exists());
    let Some(existing) = existing else {
        return vec![cannot_write(folder, "no part of this path exists")];
    };
    if let Err(reason) = writable(existing, folder) {
        return vec![cannot_write(folder, &reason)];
    }
    let mut findings = vec![room(config, existing)];
    findings.extend(folder_holder(folder).map(|pid| {
        Finding::warn(
            WHAT,
            format!("{} is in use by the procmon-agent with pid {pid}", folder.display()),
            "nothing to do if that one is the daemon; a second one needs its own spool_dir and agent_id",
        )
    }));
    findings
}

fn cannot_write(folder: &Path, reason: &str) -> Finding {
    Finding::fail(
        WHAT,
        format!("{} cannot be written: {reason}", folder.display()),
        "run as the user who owns it, or choose another folder with --spool-dir",
    )
}

fn writable(existing: &Path, folder: &Path) -> Result<(), String> {
    if !existing.is_dir() {
        return Err(format!("{} is not a folder", existing.display()));
    }
    if existing != folder {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        return rustix::fs::access(existing, access)
            .map_err(|error| format!("it would be created in {}: {error}", existing.display()));
    }
    let trial = folder.join(format!("check-{}", std::process::id()));
    let written = std::fs::write(&trial, [0; 4096]);
    // What could not be created cannot be removed either.
    let _ = std::fs::remove_file(&trial);
    written.map_err(|error| error.to_string())
}

fn room(config: &AgentConfig, existing: &Path) -> Finding {
    let folder = config.spool_dir.display();
    let mib = |bytes: u64| bytes >> 20;
    let Ok(system) = rustix::fs::statvfs(existing) else {
        return Finding::ok(WHAT, format!("{folder} can be written"));
    };
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let text = format!(
        "{folder} can be written; {} MiB free, {} MiB may be used",
        mib(free),
        mib(config.spool_max_bytes)
    );
    if free < config.spool_max_bytes {
        return Finding::warn(
            WHAT,
            text,
            "free some space, or lower spool_max_bytes: when the disk is full, batches are kept in memory and then lost",
        );
    }
    Finding::ok(WHAT, text)
}
