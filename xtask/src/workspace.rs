//! Where things are: the clone, its build folder, and the cache outside it.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder of the workspace's Cargo.toml. Asked at run time: one build folder may serve several clones.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("CARGO_MANIFEST_DIR is not set: start this program as `cargo xtask`")?;
    let root = PathBuf::from(manifest);
    root.parent()
        .map(PathBuf::from)
        .context("the xtask folder has no parent")
}

/// Cargo's build folder for this clone.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root()?.join(folder),
        None => root()?.join("target"),
    })
}

/// Tools and kernels that outlive a clone: `$XDG_CACHE_HOME/procmon`, or `~/.cache/procmon`.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("procmon"))
}
