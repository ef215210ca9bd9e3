//! `toolchain.json`: from which sources, and with which compiler, the committed object was made.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::compile::{self, Built};
use super::toolchain::{Toolchain, Versions};
use crate::{command, workspace};

pub(super) const PREBUILT: &str = "procmon-ebpf/prebuilt";
pub(super) const OBJECT: &str = "procmon-ebpf.o";
const RECORD: &str = "toolchain.json";

#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) object_sha256: String,
    /// Over `sources`, the crates they depend on, and the compiler's settings.
    source_sha256: String,
    pub(super) toolchain: Versions,
    sources: Vec<PathBuf>,
}

/// Fails when a source of the committed object has changed since it was built, or the object itself has. Cheap.
pub(crate) fn verify_sources() -> Result<()> {
    let root = workspace::root()?;
    let record = Record::read(&root)?;
    record.committed_object(&root)?;
    if source_hash(&root, &record.sources)? != record.source_sha256 {
        bail!(
            "the sources of the eBPF object have changed since it was built. \
             Run `cargo xtask build-ebpf` and commit {PREBUILT} with them"
        );
    }
    Ok(())
}

impl Record {
    pub(super) fn of(root: &Path, toolchain: &Toolchain, built: &Built) -> Result<Self> {
        Ok(Self {
            object_sha256: hex(&Sha256::digest(&built.object)),
            source_sha256: source_hash(root, &built.sources)?,
            toolchain: toolchain.versions.clone(),
            sources: built.sources.clone(),
        })
    }

    pub(super) fn read(root: &Path) -> Result<Self> {
        let path = root.join(PREBUILT).join(RECORD);
        let text = fs::read(&path).with_context(|| {
            format!(
                "cannot read {}: run `cargo xtask build-ebpf`",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged: run `cargo xtask build-ebpf`",
                path.display()
            )
        })
    }

    pub(super) fn write(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(root.join(PREBUILT).join(RECORD), text)
            .context("cannot write the record of the object")
    }

    /// The committed object, if it is the one that this record describes.
    pub(super) fn committed_object(&self, root: &Path) -> Result<Vec<u8>> {
        let path = root.join(PREBUILT).join(OBJECT);
        let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if hex(&Sha256::digest(&object)) != self.object_sha256 {
            bail!(
                "{} is not the object that {RECORD} describes: run `cargo xtask build-ebpf`",
                path.display()
            );
        }
        Ok(object)
    }
}

/// A new file must be named by an old one, so the recorded list is enough to notice it.
fn source_hash(root: &Path, sources: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(compile::settings());
    hash.update(dependencies(root)?);
    for source in sources {
        let text = fs::read(root.join(source)).with_context(|| {
            format!(
                "cannot read {}, a source of the eBPF object: run `cargo xtask build-ebpf`",
                source.display()
            )
        })?;
        hash.update(source.as_os_str().as_encoded_bytes());
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    Ok(hex(&hash.finalize()))
}

/// Every crate that the object is made of, with version and features, one a line.
fn dependencies(root: &Path) -> Result<String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args([
        "tree",
        "--package",
        "procmon-ebpf",
        "--edges",
        "normal,build",
    ]);
    cargo.args([
        "--target",
        "bpfel-unknown-none",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p} {f}",
    ]);
    let tree =
        command::capture(&mut cargo).context("cannot list the dependencies of procmon-ebpf")?;
    Ok(without_paths(&tree))
}

fn without_paths(tree: &str) -> String {
    let is_path = |word: &&str| word.starts_with("(/");
    let mut lines: Vec<String> = tree
        .lines()
        .map(|line| {
            line.split(' ')
                .filter(|word| !is_path(word))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_list_does_not_depend_on_the_folder() {
        let tree = "procmon-ebpf v0.1.0 (/a/clone/procmon-ebpf) \naya-ebpf-macros v0.1.2 (proc-macro) default\naya-ebpf v0.2.1 \naya-ebpf v0.2.1 ";
        assert_eq!(
            without_paths(tree),
            "aya-ebpf v0.2.1 \naya-ebpf-macros v0.1.2 (proc-macro) default\nprocmon-ebpf v0.1.0 "
        );
    }
}
