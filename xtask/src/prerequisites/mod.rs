//! What the commands need beyond Rust: installed when we are root on Debian, else named with the exact command.
//!
//! Nothing is downloaded other than by apt-get, cargo and npm, and nothing is changed when all is there already.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

mod apt;
mod cargo_tool;
mod python_tool;
mod unpacked;

pub(crate) use apt::{apt_get, ensure_packages, version as package_version, with_fresh_lists};
pub(crate) use cargo_tool::{CargoTool, cargo_deny};
pub(crate) use python_tool::{ensure_python, python_tool};
pub(crate) use unpacked::{UnpackedProgram, unpack};

/// A program and the Debian package that brings it.
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// Bundled SQLite and zstd are C.
pub(crate) const C_COMPILER: &[Program] = &[
    program("cc", "build-essential"),
    // For jemalloc.
    program("make", "build-essential"),
];

/// Metrics are scraped by a real Prometheus, and checked by its tool.
pub(crate) const PROMETHEUS: &[Program] = &[
    program("prometheus", "prometheus"),
    program("promtool", "prometheus"),
];

/// Alerts are sent to a real Alertmanager.
pub(crate) const ALERTMANAGER: &[Program] = &[
    program("prometheus-alertmanager", "prometheus-alertmanager"),
    program("amtool", "prometheus-alertmanager"),
];

/// The browser test drives Debian's Chromium; without a font its pages have no text.
pub(crate) const BROWSER: &[Program] = &[
    program("chromium", "chromium"),
    program("fc-list", "fontconfig"),
];

/// Booting other kernels.
pub(crate) const EMULATOR: &[Program] = &[
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("busybox", "busybox-static"),
    program("xz", "xz-utils"),
];

/// The oldest Node that the web toolchain runs on.
const NODE_MAJOR: u32 = 20;

/// Makes sure that the programs can be run.
pub(crate) fn ensure(programs: &[Program]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|p| find(p.name).is_none())
        .map(|p| p.package)
        .collect();
    ensure_packages(&missing)
}

/// Makes sure that the tests can start a PostgreSQL of their own. Debian keeps its programs beside the path.
pub(crate) fn ensure_postgres() -> Result<()> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql");
    let mut packaged = packaged.into_iter().flatten().flatten();
    if find("initdb").is_some()
        || packaged.any(|version| version.path().join("bin/initdb").exists())
    {
        return Ok(());
    }
    ensure_packages(&["postgresql"])
}

/// Makes sure that Node and npm are there and new enough.
pub(crate) fn ensure_node() -> Result<()> {
    ensure(&[program("node", "nodejs"), program("npm", "npm")])?;
    let version = command::capture(Command::new("node").arg("--version"))?;
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => bail!(
            "the web UI needs Node {NODE_MAJOR} or newer, and `node --version` says {}. Debian 12's own nodejs is too old: \
             install Node {NODE_MAJOR} from its project or a version manager, and put it first on PATH",
            version.trim()
        ),
    }
}

fn node_major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Fails, saying why root is needed, for everybody else.
pub(crate) fn require_root(what: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!("{what} needs root: run the same command with sudo, or as root");
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Looks a program up on PATH, and where Debian puts those of root.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A program that must be there by now.
pub(crate) fn require(name: &str) -> Result<PathBuf> {
    find(name).with_context(|| format!("`{name}` is not on PATH"))
}

/// Does the file exist and say it is Debian (or made from it)?
fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && find("apt-get").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_read() {
        assert_eq!(node_major("v20.20.2\n"), Some(20));
        assert_eq!(node_major("v9.0.0"), Some(9));
        assert_eq!(node_major("command not found"), None);
    }
}
