//! Building the web UI, which the server embeds. The server builds without it, and then serves a page that says so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::{command, workspace};

/// Folders of web/ that are made, not written.
const MADE: &[&str] = &["node_modules", "dist"];

/// Its time is that of the last build. Not in dist, whose files are all served; `npm ci` removes it.
const STAMP: &str = "node_modules/.procmon-build";

/// Installs the packages of package-lock.json, unless they are there already.
pub(crate) fn install() -> Result<()> {
    let web = workspace::root()?.join("web");
    let lock =
        modified(&web.join("package-lock.json")).context("web/package-lock.json is missing")?;
    if modified(&web.join("node_modules/.package-lock.json"))
        .is_some_and(|installed| installed >= lock)
    {
        return Ok(());
    }
    println!("installing the packages of the web UI");
    command::capture(npm()?.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])).map(drop)
}

/// Makes web/dist, unless it was built after the last change of a source.
pub(crate) fn build() -> Result<()> {
    let web = workspace::root()?.join("web");
    install()?;
    let is_built = web.join("dist/index.html").is_file();
    if let Some(built) = modified(&web.join(STAMP))
        && is_built
        && newest(&web)? <= built
    {
        return Ok(());
    }
    println!("building the web UI");
    command::capture(npm()?.args(["run", "--silent", "build"]))?;
    fs::write(web.join(STAMP), "").context("cannot note that the web UI is built")
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file)
        .and_then(|metadata| metadata.modified())
        .ok()
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
