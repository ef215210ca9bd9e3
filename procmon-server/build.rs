//! Embeds the built web UI, when there is one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Encoding and suffix of files compressed beforehand, best first.
const COMPRESSED: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let web = manifest.join("../web");
    let dist = web.join("dist");
    println!("cargo::rerun-if-changed=migrations");
    // A copy: the folder may be built anew while this crate is compiled.
    let copy = out.join("dist");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        println!("cargo::rerun-if-changed={}", dist.display());
        copy_files(&dist, &copy, &mut files)?;
        files.sort();
    } else {
        // A path that is missing would run this at every build; its parent changes when it appears.
        println!("cargo::rerun-if-changed={}", web.display());
    }
    fs::write(out.join("assets.rs"), source(&copy, &files))
}

fn copy_files(from: &Path, to: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_files(&entry.path(), &target, files)?;
        } else {
            fs::copy(entry.path(), &target)?;
            files.push(target);
        }
    }
    Ok(())
}

fn source(dist: &Path, files: &[PathBuf]) -> String {
    let mut source = String::from("static ASSETS: &[Asset] = &[\n");
    for file in files {
        let shown = file.display().to_string();
        let is_compressed = |(_, suffix): &(&str, &str)| {
            shown
                .strip_suffix(suffix)
                .is_some_and(|plain| files.contains(&PathBuf::from(plain)))
        };
        if COMPRESSED.iter().any(is_compressed) {
            continue;
        }
        let path = file
            .strip_prefix(dist)
            .unwrap_or(file)
            .display()
            .to_string();
        let mut compressed = String::new();
        for (encoding, suffix) in COMPRESSED {
            let sibling = format!("{shown}{suffix}");
            if files.contains(&PathBuf::from(&sibling)) {
                let _ = write!(compressed, "({encoding:?}, include_bytes!({sibling:?})), ");
            }
        }
        let _ = writeln!(
            source,
            "    Asset {{ path: {path:?}, content: include_bytes!({shown:?}), compressed: &[{compressed}] }},"
        );
    }
    source.push_str("];\n");
    source
}
