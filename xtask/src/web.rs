//! Building the web UI, which the server embeds. The server builds without it, and then serves a page that says so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::{command, workspace};

/// Folders of web/ that are made, not written.
const MADE: &[&str] = &["node_modules", "dist"];

/// Installs the packages of package-lock.json, unless they are there already.
pub(crate) fn install() -> Result<()> {
    let web = workspace::root()?.join("web");
    let modified =
        |file: &str| fs::metadata(web.join(file)).and_then(|metadata| metadata.modified());
    let lock = modified("package-lock.json").context("web/package-lock.json")?;
    if modified("node_modules/.package-lock.json").is_ok_and(|installed| installed >= lock) {
        return Ok(());
    }
    command::run(npm()?.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))
}

/// Makes web/dist, unless it is newer than everything it is made from.
pub(crate) fn build() -> Result<()> {
    let web = workspace::root()?.join("web");
    if let Ok(built) = fs::metadata(web.join("dist/index.html")).and_then(|index| index.modified())
        && newest(&web)? <= built
    {
        return Ok(());
    }
    install()?;
    command::run(npm()?.args(["run", "--silent", "build"]))
}

/// `npm` in the web folder.
pub(crate) fn npm() -> Result<Command> {
    let mut command = Command::new("npm");
    command
        .current_dir(workspace::root()?.join("web"))
        .env("NO_COLOR", "1");
    Ok(command)
}

fn newest(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let made = MADE.iter().any(|name| entry.file_name() == *name);
        let modified = match entry.file_type()? {
            _ if made => continue,
            kind if kind.is_dir() => self::newest(&entry.path())?,
            _ => entry.metadata()?.modified()?,
        };
        newest = newest.max(modified);
    }
    Ok(newest)
}
