//! Kernel modules and what they depend on. The package has no modules.dep (its installation would make it), so the
//! dependencies are read from the modules themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// A module to insert.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The wanted modules and all they need, in the order in which they can be inserted. Built-in ones need nothing.
pub(super) fn load(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(folder, &mut files)?;
    let builtin = fs::read_to_string(folder.join("modules.builtin"))
        .context("the kernel package has no modules.builtin")?;
    let builtin: BTreeSet<String> = builtin
        .lines()
        .filter_map(|line| module_name(Path::new(line)))
        .collect();

    let mut contents = BTreeMap::new();
    let order = insertion_order(wanted, &mut |name| {
        if builtin.contains(name) {
            return Ok(None);
        }
        let file = files
            .get(name)
            .with_context(|| format!("the kernel package has no module {name}"))?;
        let content = read(file)?;
        let needs = dependencies(&content);
        contents.insert(name.to_owned(), content);
        Ok(Some(needs))
    })?;
    let take = |name: String| {
        contents
            .remove(&name)
            .map(|content| Module { name, content })
    };
    Ok(order.into_iter().filter_map(take).collect())
}

/// Depth first: what a module needs comes before it. `needs` says `None` for what is there already.
fn insertion_order(
    wanted: &[&str],
    needs: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
) -> Result<Vec<String>> {
    fn visit(
        name: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<String>,
        needs: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
    ) -> Result<()> {
        if !seen.insert(name.to_owned()) {
            return Ok(());
        }
        if let Some(dependencies) = needs(name)? {
            for dependency in &dependencies {
                visit(dependency, seen, order, needs)?;
            }
            order.push(name.to_owned());
        }
        Ok(())
    }
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for name in wanted {
        visit(name, &mut seen, &mut order, needs)?;
    }
    Ok(order)
}

/// The names in a module's `depends=` line.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value: Vec<u8> = module[start + KEY.len()..]
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    let value = String::from_utf8_lossy(&value);
    value
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (name, _) = name.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let output = command::output(
        Command::new("xz")
            .args(["--decompress", "--stdout"])
            .arg(file),
    )?;
    anyhow::ensure!(
        output.status.success(),
        "cannot decompress {}",
        file.display()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_first_and_once() {
        let mut needs = |name: &str| {
            Ok(match name {
                "blk" => Some(vec!["virtio".to_owned(), "ring".to_owned()]),
                "ring" => Some(vec!["virtio".to_owned()]),
                "virtio" => Some(vec![]),
                _ => None,
            })
        };
        assert_eq!(
            insertion_order(&["blk", "builtin", "ring"], &mut needs).unwrap(),
            ["virtio", "ring", "blk"]
        );
    }

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(
            dependencies(b"\x7fELF\0license=GPL\0depends=virtio-ring,virtio\0x=y\0"),
            ["virtio_ring", "virtio"]
        );
        assert!(dependencies(b"\0depends=\0").is_empty());
        assert!(dependencies(b"no modinfo").is_empty());
    }

    #[test]
    fn module_names_are_file_names_with_underscores() {
        assert_eq!(
            module_name(Path::new("kernel/a/virtio-blk.ko.xz")).as_deref(),
            Some("virtio_blk")
        );
        assert_eq!(module_name(Path::new("modules.order")), None);
    }
}
