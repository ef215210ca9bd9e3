//! Debian's kernels, unpacked into the cache and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::prerequisites::{unpack, with_fresh_lists};
use crate::{command, workspace};

/// An unpacked kernel package.
pub(crate) struct Kernel {
    /// As in `uname -r`.
    pub(crate) release: String,
    pub(super) image: PathBuf,
    /// The folder of `modules.builtin`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Debian's newest cloud kernel of a series such as "6.1", downloaded when the cache lacks it.
    pub(crate) fn of_series(series: &str) -> Result<Self> {
        let cache = workspace::cache_dir()?.join("kernels");
        fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
        let offer = || {
            newest(&offered(series)?, series)
                .with_context(|| format!("Debian offers no cloud kernel {series}"))
        };
        // Offline, a kernel of an earlier day does as well.
        let package = match with_fresh_lists(offer) {
            Ok(package) => package,
            Err(error) => newest(&cached(&cache), series).ok_or(error)?,
        };
        let folder = cache.join(&package);
        if !folder.is_dir() {
            unpack(&package, &folder)?;
        }
        open(&folder)
    }
}

fn open(folder: &Path) -> Result<Kernel> {
    let release = only_entry(&folder.join("lib/modules"))?;
    let image = folder.join(format!("boot/vmlinuz-{release}"));
    if !image.is_file() {
        bail!(
            "{} is missing: remove {} and try again",
            image.display(),
            folder.display()
        );
    }
    let modules = folder.join("lib/modules").join(&release);
    Ok(Kernel {
        release,
        image,
        modules,
    })
}

fn only_entry(folder: &Path) -> Result<String> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let entry = entries
        .flatten()
        .next()
        .with_context(|| format!("{} is empty", folder.display()))?;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

/// The kernel packages that apt knows of.
fn offered(series: &str) -> Result<Vec<String>> {
    let pattern = format!("^linux-image-{}\\.", series.replace('.', "\\."));
    let mut search = Command::new("apt-cache");
    let found = command::capture(search.args(["search", "--names-only", &pattern]))?;
    Ok(found
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect())
}

fn cached(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The newest cloud kernel of a series; signed rather than unsigned, which are the same code.
fn newest(packages: &[String], series: &str) -> Option<String> {
    let prefix = format!("linux-image-{series}.");
    let version = |package: &String| -> Option<(Vec<u64>, bool)> {
        let rest = package.strip_prefix(&prefix)?;
        let (version, signed) = match rest.strip_suffix("-unsigned") {
            Some(rest) => (rest, false),
            None => (rest, true),
        };
        Some((numbers(version.strip_suffix("-cloud-amd64")?), signed))
    };
    packages
        .iter()
        .filter_map(|package| Some((version(package)?, package)))
        .max()
        .map(|(_, package)| package.clone())
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_newest_is_the_highest_number_not_the_last_in_the_alphabet() {
        let packages = names(&[
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
        ]);
        assert_eq!(
            newest(&packages, "6.1").as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
    }

    #[test]
    fn only_cloud_kernels_of_the_series_count() {
        let packages = names(&[
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.12.118+deb12-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
        ]);
        assert_eq!(
            newest(&packages, "6.12").as_deref(),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
        assert_eq!(newest(&packages, "5.10"), None);
    }
}
