//! What the agent may still do once it has started: the capabilities that its features need and no other, no way to gain
//! any, and a filter of system calls. Nothing in here knows why a feature works; `table` says what each one needs.

mod capabilities;
mod filter;
mod syscalls;
mod table;
mod trap;

use std::path::Path;

use anyhow::{Context, Result, ensure};

pub use table::{Feature, GRANTS, Grant, features};
pub(crate) use trap::log_denied;
pub use trap::{Denied, denied};

/// What became of each part, for the log and the agent's own metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Names of the capabilities that are left.
    pub capabilities: Vec<&'static str>,
    /// Whether no capability can come back, through a program with file capabilities neither.
    pub bounded: bool,
    /// Why system calls are not filtered; `None` when they are.
    pub unfiltered: Option<String>,
}

/// Gives up what `features` do not need, for this thread and all that it starts from now on.
///
/// Capabilities belong to threads: this must run before the first one is started, and refuses to run later.
pub fn give_up(features: &[Feature]) -> Result<Privileges> {
    let threads = std::fs::read_dir("/proc/self/task")
        .context("cannot list this process's threads in /proc")?
        .count();
    ensure!(
        threads == 1,
        "privileges must be given up before threads are started, and there are {threads}"
    );
    let limits = capabilities::give_up(features)?;
    let unfiltered = filter::install(features)
        .err()
        .map(|error| format!("{error:#}"));
    Ok(Privileges {
        capabilities: limits.kept,
        bounded: limits.bounded,
        unfiltered,
    })
}

/// Whether this user can write in a folder without the capability to override permissions.
pub fn writable_by_owner(folder: &Path) -> bool {
    capabilities::writable_without_override(folder)
}
