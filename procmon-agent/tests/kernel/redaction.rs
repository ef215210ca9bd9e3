//! A secret in the argv of a real process is in nothing that leaves the table.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::enrich::procfs;
use procmon_agent::events;
use procmon_agent::kernel::{Capture, CaptureOptions};
use procmon_agent::redact::Redactor;
use procmon_agent::source::Source;
use procmon_agent::table::Table;
use procmon_common::wire;
use tokio_util::sync::CancellationToken;

use crate::trial;
use crate::watcher::{Watcher, child};

const SECRET: &str = "hunter2-is-not-shown";
const SHOWN: &str = "--password=‹redacted›";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "secrets_of_execs_are_redacted",
            secrets_of_execs_are_redacted,
        ),
        trial(
            "secrets_of_the_baseline_are_redacted",
            secrets_of_the_baseline_are_redacted,
        ),
        trial("printed_events_are_redacted", printed_events_are_redacted),
    ]
}

/// A child with a secret in its argv that does nothing for a while.
fn sleeper(ms: &str) -> Command {
    child(["sleep", ms, &format!("--password={SECRET}")])
}

fn ensure_hidden(seen: &str) -> Result<()> {
    ensure!(!seen.contains(SECRET), "the secret is in {seen}");
    ensure!(seen.contains(SHOWN), "no marker in {seen}");
    Ok(())
}

/// Its text, bytes as they are.
fn text(image: &wire::Image) -> String {
    String::from_utf8_lossy(&image.args).into_owned()
}

fn secrets_of_execs_are_redacted() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let mut process = sleeper("0").spawn()?;
    process.wait()?;
    let life = watcher.life_of(process.id())?;
    let image = life.execs.last().and_then(|exec| exec.image.clone());
    let image = image.context("an exec has an image")?;
    ensure_hidden(&text(&image))?;
    ensure!(image.args_cut == Some(false), "{image:?}");
    let true_length = image.args.len() + SECRET.len() - "‹redacted›".len();
    ensure!(image.args_bytes == true_length as u64, "{image:?}");
    Ok(())
}

fn secrets_of_the_baseline_are_redacted() -> Result<()> {
    let process = Reaped(sleeper("60000").spawn()?);
    // Until it has its own argv.
    while procfs::identity(process.0.id())
        .is_none_or(|identity| !identity.args.ends_with(b"shown\0"))
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut table = Table::new(false, true);
    table.baseline()?;
    let changes = table.take_changes();
    let known = changes
        .processes
        .iter()
        .find(|known| known.pid == process.0.id());
    let image = known.and_then(|known| known.image.as_ref());
    ensure_hidden(&text(image.context("the baseline has the process")?))
}

fn printed_events_are_redacted() -> Result<()> {
    let capture = Capture::start(CaptureOptions::default())
        .context("this test needs root and a kernel with BTF")?;
    sleeper("0").spawn()?.wait()?;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let mut printed = Vec::new();
    let source = Source::Ebpf(capture);
    events::run(source, false, Redactor::default(), &stopped, &mut printed)?;
    ensure_hidden(&String::from_utf8_lossy(&printed))
}

struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
