//! Programs from `PyPI`, each version in an environment of its own in the cache.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{ensure_packages, find};
use crate::{command, workspace};

/// The path of a program of the same name as its package, after an installation the first time.
pub(crate) fn python_tool(name: &str, version: &str) -> Result<PathBuf> {
    let folder = workspace::cache_dir()?
        .join("tools")
        .join(format!("{name}-{version}"));
    let program = folder.join("bin").join(name);
    // Written last: an installation that was broken off is made anew.
    let finished = folder.join("finished");
    if finished.is_file() && program.is_file() {
        return Ok(program);
    }
    ensure_python()?;
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    eprintln!("installing {name} {version} from `PyPI` (once)");
    command::capture(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(folder.join("bin/pip"));
    install
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .arg(format!("{name}=={version}"));
    command::capture(&mut install)
        .with_context(|| format!("cannot install {name} {version} with pip"))?;
    fs::write(&finished, "").context("cannot finish the installation")?;
    Ok(program)
}

/// Makes sure that environments can be made.
pub(crate) fn ensure_python() -> Result<()> {
    if find("python3").is_none() || !has_venv() {
        ensure_packages(&["python3", "python3-venv"])?;
    }
    Ok(())
}

/// Debian has the module for environments in a package of its own.
fn has_venv() -> bool {
    command::capture(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_ok()
}
