//! Debian packages.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{is_debian, is_root};
use crate::command;

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
    with_fresh_lists(|| {
        let mut install = apt_get();
        install
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing);
        command::capture(&mut install).map(drop)
    })
    .context("apt-get could not install what is missing")
}

/// Does something that needs Debian's package lists. Without lists it cannot work, and with old ones it may ask for
/// a version that is gone: then they are fetched, and it is tried once more.
pub(crate) fn with_fresh_lists<T>(attempt: impl Fn() -> Result<T>) -> Result<T> {
    attempt().or_else(|first| {
        command::capture(apt_get().arg("update"))
            .context("cannot fetch Debian's package lists")
            .context(first)?;
        attempt()
    })
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
