//! One compilation of procmon-ebpf, whose bytes depend on the sources and the toolchain and on nothing else: not on
//! the workspace's profiles, not on the environment, and not on where the clone and cargo's caches lie.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::toolchain::{Toolchain, clean};
use crate::{command, workspace};

const CRATE: &str = "procmon-ebpf";
const TARGET: &str = "bpfel-unknown-none";

/// The profile, given on the command line so that tuning the workspace's own profiles leaves the object alone.
const PROFILE: &[&str] = &[
    "inherits=\"release\"",
    "opt-level=3",
    "debug=2",
    "codegen-units=1",
    "lto=false",
    "strip=false",
    "incremental=false",
    "panic=\"abort\"",
    "overflow-checks=false",
];

/// A finished object and the files of the clone that went into it.
pub(super) struct Built {
    pub(super) object: Vec<u8>,
    /// Relative to the clone, sorted.
    pub(super) sources: Vec<PathBuf>,
}

/// The settings that change the bytes; part of the recorded source hash.
pub(super) fn settings() -> String {
    format!("{TARGET} {} {}", PROFILE.join(" "), FLAGS.join(" "))
}

const FLAGS: &[&str] = &[
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "--cfg=bpf_target_arch=\"x86_64\"",
];

pub(super) fn compile(root: &Path, toolchain: &Toolchain, log: bool) -> Result<Built> {
    let target_dir = workspace::target_dir()?.join("ebpf");
    let mut cargo = clean(&toolchain.cargo);
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--package", CRATE, "--target", TARGET]);
    cargo.args(["-Z", "build-std=core", "--profile", "ebpf"]);
    if log {
        cargo.args(["--features", "log"]);
    }
    for setting in PROFILE {
        cargo.arg("--config").arg(format!("profile.ebpf.{setting}"));
    }
    cargo
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target_dir);
    cargo.env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags(root, toolchain)?.join("\x1f"),
    );
    cargo.env("PATH", path_with(&toolchain.bpf_linker)?);
    command::run(&mut cargo).context("procmon-ebpf does not compile")?;
    let unstripped = target_dir.join(TARGET).join("ebpf").join(CRATE);
    let stripped = target_dir.join("stripped.o");
    let mut strip = clean(&toolchain.objcopy);
    command::run(strip.arg("--strip-debug").arg(&unstripped).arg(&stripped))
        .context("cannot strip the object")?;
    let object =
        fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    let dep_info =
        fs::read_to_string(unstripped.with_extension("d")).context("cargo wrote no dep-info")?;
    Ok(Built {
        object,
        sources: local_sources(&dep_info, root),
    })
}

/// Compiler flags: the same names for the same files, wherever they are.
fn flags(root: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    flags.push(remap(root, "/procmon"));
    flags.push(remap(&registry(root, toolchain)?, "/registry"));
    flags.extend(
        toolchain
            .rust_src
            .iter()
            .map(|library| remap(library, "/rust-src")),
    );
    Ok(flags)
}

/// The folder that cargo unpacks crates into, whose name depends on the index.
fn registry(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let mut cargo = clean(&toolchain.cargo);
    cargo
        .current_dir(root)
        .env("RUSTC", &toolchain.rustc)
        .args(["metadata", "--format-version", "1"]);
    let metadata: Value =
        serde_json::from_str(&command::capture(&mut cargo)?).context("`cargo metadata`")?;
    let packages = metadata["packages"]
        .as_array()
        .context("`cargo metadata` lists no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "aya-ebpf")
        .map(|package| &package["manifest_path"]);
    let manifest = manifest
        .and_then(Value::as_str)
        .context("aya-ebpf is not among the dependencies")?;
    Path::new(manifest)
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .context("aya-ebpf has no folder")
}

/// rustc looks for bpf-linker on PATH; naming it by path would put that path into the flags.
fn path_with(bpf_linker: &Path) -> Result<std::ffi::OsString> {
    let folder = bpf_linker.parent().context("bpf-linker has no folder")?;
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(
        [folder.to_path_buf()]
            .into_iter()
            .chain(env::split_paths(&path)),
    )
    .context("PATH")
}

/// The Rust files under `root` that a dep-info file names.
fn local_sources(dep_info: &str, root: &Path) -> Vec<PathBuf> {
    let files = dep_info.split_once(": ").map_or("", |(_, files)| files);
    let files = files.replace("\\ ", "\u{0}");
    let mut sources: Vec<PathBuf> = files
        .split_whitespace()
        .filter_map(|file| {
            Path::new(&file.replace('\u{0}', " "))
                .strip_prefix(root)
                .map(Path::to_path_buf)
                .ok()
        })
        .collect();
    sources.retain(|source| {
        source
            .extension()
            .is_some_and(|extension| extension == "rs")
    });
    sources.sort();
    sources.dedup();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_of_the_clone() {
        let dep_info = "/my\\ clone/target/x: /my\\ clone/b.rs /my\\ clone/proto /usr/src/core/lib.rs /my\\ clone/a\\ b.rs\n";
        assert_eq!(
            local_sources(dep_info, Path::new("/my clone")),
            [Path::new("a b.rs"), Path::new("b.rs")]
        );
        assert!(local_sources("", Path::new("/")).is_empty());
    }
}
