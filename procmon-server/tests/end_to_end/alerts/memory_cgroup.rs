//! A cgroup with little memory, in whichever hierarchy of this machine has the controller.

use std::fs;
use std::path::{Path, PathBuf};

const WHAT_TO_DO: &str = "this test needs root and the cgroup controller \"memory\": mount it (mount -t cgroup2 none \
    /sys/fs/cgroup), and in a container run it with --privileged --cgroupns=host";

pub(crate) struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    pub(crate) fn create(name: &str, bytes: u64) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
        let cgroup = if let Some(mount) = mounted(&mounts, "cgroup ", Some("memory")) {
            let cgroup = Self::make(&mount, name);
            cgroup.write("memory.limit_in_bytes", bytes);
            cgroup
        } else {
            let mount = mounted(&mounts, "cgroup2 ", None);
            let mount = mount.unwrap_or_else(|| panic!("{WHAT_TO_DO}"));
            if let Err(error) = fs::write(mount.join("cgroup.subtree_control"), "+memory") {
                panic!("{}: {error}; {WHAT_TO_DO}", mount.display());
            }
            let cgroup = Self::make(&mount, name);
            cgroup.write("memory.max", bytes);
            cgroup
        };
        // Only where the kernel accounts for swap.
        for file in ["memory.swap.max", "memory.memsw.limit_in_bytes"] {
            let limit = if file == "memory.swap.max" { 0 } else { bytes };
            if cgroup.0.join(file).exists() {
                cgroup.write(file, limit);
            }
        }
        cgroup
    }

    fn make(mount: &Path, name: &str) -> Self {
        let folder = mount.join(name);
        if let Err(error) = fs::create_dir(&folder) {
            panic!("{}: {error}; {WHAT_TO_DO}", folder.display());
        }
        Self(folder)
    }

    fn write(&self, file: &str, bytes: u64) {
        let path = self.0.join(file);
        if let Err(error) = fs::write(&path, bytes.to_string()) {
            panic!("{}: {error}; {WHAT_TO_DO}", path.display());
        }
    }

    /// A process that writes 0 to it goes in.
    pub(crate) fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Where a file system is mounted, if with this option.
fn mounted(mounts: &str, kind: &str, option: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (place, filesystem) = line.split_once(" - ")?;
        let options = filesystem.strip_prefix(kind)?.rsplit(' ').next()?;
        let is_it = option.is_none_or(|option| options.split(',').any(|given| given == option));
        is_it.then(|| place.split(' ').nth(4).map(PathBuf::from))?
    })
}
