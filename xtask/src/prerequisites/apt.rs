//! Debian packages.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{is_debian, is_root};
use crate::command;

/// Package lists older than this are fetched again before something is installed.
const LISTS_MAX_AGE: Duration = Duration::from_hours(24);

/// Makes sure that the packages are installed.
pub(crate) fn ensure_packages(packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !is_debian() {
        bail!(
            "missing on this system: {names} (the names are Debian's). Install them with your package manager, then try again"
        );
    }
    if !is_root() {
        bail!("missing packages. Run: sudo apt-get install -y --no-install-recommends {names}");
    }
    eprintln!("installing {names}");
    update_lists()?;
    let mut install = apt_get();
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing);
    command::capture(&mut install)
        .map(drop)
        .context("apt-get could not install what is missing")
}

/// Fetches the package lists when they are missing or old.
pub(crate) fn update_lists() -> Result<()> {
    if lists_age().is_some_and(|age| age < LISTS_MAX_AGE) {
        return Ok(());
    }
    command::capture(apt_get().arg("update"))
        .map(drop)
        .context("cannot fetch Debian's package lists")
}

pub(crate) fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"]);
    command
}

fn is_installed(package: &str) -> bool {
    let query = command::capture(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${db:Status-Status}",
        package,
    ]));
    query.is_ok_and(|status| status == "installed")
}

/// The installed version of a package.
pub(crate) fn version(package: &str) -> Option<String> {
    command::capture(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package])).ok()
}

fn lists_age() -> Option<Duration> {
    let lists = fs::read_dir(Path::new("/var/lib/apt/lists")).ok()?;
    let files = lists
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    let newest = files
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()?;
    newest.elapsed().ok()
}
