//! The house rule on the length of files: what does not fit is two things.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{command, workspace};

const LIMIT: usize = 400;

/// Sources that people write.
const EXTENSIONS: &[&str] = &["rs", "ts", "tsx", "mjs", "css", "sql", "proto", "sh", "py"];

pub(super) fn check() -> Result<()> {
    let root = workspace::root()?;
    let mut git = Command::new("git");
    git.current_dir(&root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listing = command::capture(&mut git)?;
    let mut too_long = Vec::new();
    for file in listing.split('\0').filter(|file| is_written(file)) {
        // A file that git still lists may have been removed.
        let Ok(text) = fs::read_to_string(root.join(file)) else {
            continue;
        };
        let lines = text.lines().count();
        if lines > LIMIT {
            too_long.push(format!("{file} has {lines} lines"));
        }
    }
    if too_long.is_empty() {
        return Ok(());
    }
    bail!(
        "no file may have more than {LIMIT} lines: {}",
        too_long.join(", ")
    )
}

fn is_written(file: &str) -> bool {
    let known = Path::new(file)
        .extension()
        .is_some_and(|e| EXTENSIONS.iter().any(|known| e == *known));
    known && !file.contains(".gen.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_and_data_are_exempt() {
        assert!(is_written("procmon-agent/src/main.rs"));
        assert!(!is_written("web/src/api/schema.gen.ts"));
        assert!(!is_written("procmon-server/openapi.json"));
    }
}
