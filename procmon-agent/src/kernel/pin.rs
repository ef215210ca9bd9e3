//! Rings, counters and attached programs that outlive the agent, in a BPF file system:
//! `/sys/fs/bpf/procmon/spool-<checksum of the spool's path>/abi<N>-<checksum of object and settings>/`.
//!
//! The upper folder belongs to one spool, because that knows how far the ring was read; its lock makes one consumer. The
//! lower one belongs to one version of the programs: what another version wrote is drained and removed, never continued.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use procmon_common::folder_lock::lock_patiently;
use procmon_common::kernel::ABI_VERSION;

use crate::enrich::clock::boot_ns;

/// Where systemd mounts it.
const BPFFS: &str = "/sys/fs/bpf";
/// Another place, for tests and containers.
const BPFFS_VARIABLE: &str = "PROCMON_BPFFS";
/// `BPF_FS_MAGIC`.
const MAGIC: u64 = 0xcafe_4a11;
/// An agent that is just ending may hold it a moment longer than its spool.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// What is not complete yet: its programs were never read from.
const UNFINISHED: &str = "unfinished";
/// Detached, and not drained yet. What follows is unique within a boot.
const RETIRED: &str = "-retired-";

/// The pins of one spool, locked. Names in it: `map_…`, `program_…`, `link_…`.
#[derive(Debug)]
pub struct PinFolder {
    path: PathBuf,
    _lock: File,
}

/// What `check` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinSurvey {
    pub mount: PathBuf,
    /// A BPF file system is there.
    pub is_mounted: bool,
    /// Why nothing can be pinned there, and what to do.
    pub trouble: Option<String>,
    /// (folder of a version, belongs to this spool).
    pub pinned: Vec<(PathBuf, bool)>,
}

impl PinFolder {
    /// Makes and locks the folder of this spool.
    pub fn open(spool: &Path) -> Result<Self> {
        Self::open_in(&mount(), spool)
    }

    /// The same in the BPF file system that is mounted at `mount`.
    pub fn open_in(mount: &Path, spool: &Path) -> Result<Self> {
        if let Some(trouble) = trouble(mount) {
            bail!("cannot pin the programs: {trouble}");
        }
        let path = folder_of(mount, spool);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| {
                format!(
                    "cannot create {}; run as the owner of {}, or set pin to false",
                    path.display(),
                    mount.display()
                )
            })?;
        Self::lock(path)
    }

    /// The folder of this spool, if an agent left one.
    pub fn left_behind(spool: &Path) -> Result<Option<Self>> {
        let path = folder_of(&mount(), spool);
        if !path.exists() {
            return Ok(None);
        }
        Self::lock(path).map(Some)
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let lock = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match lock_patiently(&lock, LOCK_PATIENCE) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "{} is in use by another procmon-agent; stop that one first",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a version of the programs. It may not exist.
    pub(super) fn version(&self, object: &[u8], settings: &[u8]) -> PathBuf {
        self.path.join(format!(
            "abi{ABI_VERSION}-{:08x}{:08x}",
            crc32fast::hash(object),
            crc32fast::hash(settings)
        ))
    }

    /// An empty folder for what is being pinned; [`PinFolder::finish`] gives it its name when it is complete.
    pub(super) fn begin(&self) -> Result<PathBuf> {
        let path = self.path.join(UNFINISHED);
        remove(&path)?;
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    pub(super) fn finish(unfinished: &Path, version: &Path) -> Result<()> {
        fs::rename(unfinished, version)
            .with_context(|| format!("cannot rename {}", unfinished.display()))
    }

    /// Complete folders of versions, and what to do away with unread.
    pub(super) fn versions(&self) -> Result<Vec<PathBuf>> {
        remove(&self.path.join(UNFINISHED))?;
        let mut versions = Vec::new();
        for entry in fs::read_dir(&self.path)
            .with_context(|| format!("cannot list {}", self.path.display()))?
        {
            versions.push(entry?.path());
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// Removes all that is pinned for this spool: programs are detached, what is unread is gone.
    pub fn remove_all(self) -> Result<usize> {
        let versions = self.versions()?;
        for version in &versions {
            remove(version)?;
        }
        fs::remove_dir(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))?;
        Ok(versions.len())
    }
}

/// The ABI version that a folder's name carries.
pub(super) fn abi_of(version: &Path) -> Option<u16> {
    let name = version.file_name()?.to_str()?;
    name.strip_prefix("abi")?.split('-').next()?.parse().ok()
}

/// Files of a version's folder by the beginning of their names, with the rest of their names.
pub(super) fn pinned(version: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(version).with_context(|| format!("cannot list {}", version.display()))?
    {
        let entry = entry?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
        {
            found.push((name.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

/// Gives a version another name before it is detached: under its own name a folder always has programs that are attached,
/// and the same version may come back before this one is drained.
pub(super) fn retire(version: &Path) -> Result<PathBuf> {
    let name = version.file_name().unwrap_or_default().to_string_lossy();
    if name.contains(RETIRED) {
        return Ok(version.to_path_buf());
    }
    let retired = version.with_file_name(format!("{name}{RETIRED}{:x}", boot_ns()));
    fs::rename(version, &retired)
        .with_context(|| format!("cannot rename {}", version.display()))?;
    Ok(retired)
}

/// Detaches the programs of a version; their ring and counters stay.
pub(super) fn detach(version: &Path) -> Result<()> {
    for (_, path) in pinned(version, "link_")? {
        fs::remove_file(&path).with_context(|| format!("cannot unpin {}", path.display()))?;
    }
    Ok(())
}

/// Removes a folder of pins, links first. One that is not there is removed already.
pub(super) fn remove(version: &Path) -> Result<()> {
    if !version.exists() {
        return Ok(());
    }
    detach(version)?;
    for (_, path) in pinned(version, "")? {
        fs::remove_file(&path).with_context(|| format!("cannot unpin {}", path.display()))?;
    }
    fs::remove_dir(version).with_context(|| format!("cannot remove {}", version.display()))
}

/// What is pinned on this host, and whether more could be.
pub fn survey(spool: &Path) -> PinSurvey {
    let mount = mount();
    let own = folder_of(&mount, spool);
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    };
    let mut pinned: Vec<_> = folders(&mount.join("procmon"))
        .iter()
        .flat_map(|instance| folders(instance))
        .map(|version| {
            let is_own = version.starts_with(&own);
            (version, is_own)
        })
        .collect();
    pinned.sort_unstable();
    PinSurvey {
        trouble: trouble(&mount),
        is_mounted: is_bpffs(&mount),
        mount,
        pinned,
    }
}

/// Where a BPF file system is looked for, and whether one is there.
pub fn bpffs() -> (PathBuf, bool) {
    let mount = mount();
    let is_mounted = is_bpffs(&mount);
    (mount, is_mounted)
}

fn is_bpffs(mount: &Path) -> bool {
    rustix::fs::statfs(mount).is_ok_and(|found| found.f_type as u64 == MAGIC)
}

fn mount() -> PathBuf {
    std::env::var_os(BPFFS_VARIABLE).map_or_else(|| PathBuf::from(BPFFS), PathBuf::from)
}

/// Names in a BPF file system cannot have dots, and an agent's may be changed: the spool's path is what stays.
fn folder_of(mount: &Path, spool: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let spool = fs::canonicalize(spool).unwrap_or_else(|_| spool.to_path_buf());
    let checksum = crc32fast::hash(spool.as_os_str().as_bytes());
    mount.join(format!("procmon/spool-{checksum:08x}"))
}

fn trouble(mount: &Path) -> Option<String> {
    if !is_bpffs(mount) {
        return Some(format!(
            "no BPF file system is mounted at {0}. Mount one with `mount -t bpf bpf {0}` (a container needs the host's), or \
             set pin to false",
            mount.display()
        ));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(mount, access).err().map(|error| {
        format!(
            "{0} cannot be written: {error}. Run as root, or let this user write there (`mount -t bpf -o \
             uid=…,mode=0700 bpf {0}`), or set pin to false",
            mount.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_name_carries_the_abi() {
        assert_eq!(abi_of(Path::new("/x/abi12-00ff00ff00ff00ff")), Some(12));
        assert_eq!(abi_of(Path::new("/x/unfinished")), None);
    }

    #[test]
    fn a_missing_file_system_is_explained() {
        let folder = tempfile::tempdir().expect("folder");
        let text = trouble(folder.path()).expect("not a BPF file system");
        assert!(text.contains(&format!("`mount -t bpf bpf {}`", folder.path().display())));
    }

    #[test]
    fn a_spool_has_its_own_folder_without_dots() {
        let of = |spool: &str| folder_of(Path::new("/sys/fs/bpf"), Path::new(spool));
        assert_ne!(of("/var/lib/a.b"), of("/var/lib/a.c"));
        assert!(!of("/var/lib/a.b").to_string_lossy().contains('.'));
    }
}
