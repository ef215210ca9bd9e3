//! Programs that cargo installs, each version into its own folder of the cache, so that a clone never holds them
//! and an upgrade never breaks another clone.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::find;
use crate::{command, workspace};

/// A crate with one program of the same name.
pub(crate) struct CargoTool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) arguments: &'static [&'static str],
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

/// Licences, duplicate versions and sources of the dependencies.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    CargoTool {
        name: "cargo-deny",
        version: "0.20.2",
        arguments: &[],
        environment: &[],
    }
    .ensure()
}

impl CargoTool {
    /// The program's path; one of the same version on PATH is as good as ours.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        if let Some(program) = self.installed()? {
            return Ok(program);
        }
        eprintln!(
            "installing {} {} with cargo (once; a few minutes)",
            self.name, self.version
        );
        command::capture(&mut self.install_command()?)
            .with_context(|| format!("cannot install {}", self.name))?;
        self.installed()?
            .with_context(|| format!("cargo installed {}, but it does not run", self.name))
    }

    /// The program's path, if this version is installed.
    pub(crate) fn installed(&self) -> Result<Option<PathBuf>> {
        let candidates = [
            Some(self.folder()?.join("bin").join(self.name)),
            find(self.name),
        ];
        Ok(candidates.into_iter().flatten().find(|program| {
            let version = command::capture(Command::new(program).arg("--version"));
            version.is_ok_and(|text| text.split_whitespace().any(|word| word == self.version))
        }))
    }

    /// The command that installs it.
    pub(crate) fn install_command(&self) -> Result<Command> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["install", self.name, "--version", self.version, "--locked"])
            .args(self.arguments);
        command
            .arg("--root")
            .arg(self.folder()?)
            .envs(self.environment.iter().copied());
        // A temporary build folder, so that nothing of it stays.
        command
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS");
        Ok(command)
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(workspace::cache_dir()?
            .join("tools")
            .join(format!("{}-{}", self.name, self.version)))
    }
}
