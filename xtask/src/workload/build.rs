//! A cold build of real software: what every developer of this project can compile without a network.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::check::cargo;

/// Written beside what was built: how it ended.
pub(crate) const OUTCOME: &str = "outcome";

/// Starts it. When it ends, its outcome is written; nothing is started after it.
pub(super) fn start(folder: &Path) -> Result<()> {
    let log = File::create(folder.join("log")).context("cannot create the log of the build")?;
    let mut build = cargo()?;
    build
        .args(["build", "--offline", "--package", "procmon-agent"])
        .arg("--target-dir")
        .arg(folder.join("target"))
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let child = build.spawn().context("cannot start cargo")?;
    let outcome = folder.join(OUTCOME);
    thread::spawn(move || {
        if let Err(error) = wait(child, &outcome) {
            eprintln!("{error:#}");
        }
    });
    Ok(())
}

fn wait(mut child: Child, outcome: &Path) -> Result<()> {
    let status = child.wait().context("cannot wait for cargo")?;
    let text = if status.success() {
        "finished"
    } else {
        "failed"
    };
    std::fs::write(outcome, text).with_context(|| format!("cannot write {}", outcome.display()))
}
