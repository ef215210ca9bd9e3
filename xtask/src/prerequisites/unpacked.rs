//! Debian packages that are unpacked into the cache rather than installed: their programs can be run and measured, and
//! the services that come with them never start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{apt_get, ensure_packages, with_fresh_lists};
use crate::{command, workspace};

/// A program in a package, and the packages of libraries that it needs; those are installed, they start nothing.
pub(crate) struct UnpackedProgram {
    pub(crate) package: &'static str,
    /// Path of the program in the package.
    pub(crate) program: &'static str,
    pub(crate) libraries: &'static [&'static str],
}

impl UnpackedProgram {
    /// The program's path, after a download the first time.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        ensure_packages(self.libraries)?;
        let program = self.folder()?.join(self.program);
        if !program.is_file() {
            unpack(self.package, &self.folder()?)?;
        }
        if !program.is_file() {
            bail!(
                "Debian's package {} has no {} here",
                self.package,
                self.program
            );
        }
        Ok(program)
    }

    /// Where the package is unpacked.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        Ok(workspace::cache_dir()?.join("packages").join(self.package))
    }
}

/// Downloads and unpacks into a temporary folder first, so that a broken download is never taken for a package.
pub(crate) fn unpack(package: &str, folder: &Path) -> Result<()> {
    let cache = folder.parent().context("the cache has no folder")?;
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let staging = tempfile::tempdir_in(cache)?;
    eprintln!("downloading {package}");
    with_fresh_lists(|| {
        let mut download = apt_get();
        download
            .current_dir(staging.path())
            .args(["download", package]);
        command::capture(&mut download)
    })
    .with_context(|| format!("cannot download Debian's package {package} with apt-get"))?;
    let archive = fs::read_dir(staging.path())?
        .flatten()
        .next()
        .with_context(|| format!("apt-get downloaded nothing for {package}"))?;
    let unpacked = staging.path().join("unpacked");
    command::capture(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(archive.path())
            .arg(&unpacked),
    )?;
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::rename(&unpacked, folder)
        .with_context(|| format!("cannot move the package to {}", folder.display()))
}
