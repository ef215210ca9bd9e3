//! Paths of cgroups by the id that the kernel records, in the unified hierarchy or, where that says nothing, in one of
//! cgroup v1; and the container a path names.
#![expect(unsafe_code, reason = "open_by_handle_at has no safe wrapper")]

use std::collections::HashMap;
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use procmon_common::kernel::{LEGACY_CGROUP, ROOT_CGROUP};

/// `FILEID_KERNFS`: the handle is the 64-bit node id.
const FILEID_KERNFS: c_int = 0xfe;
/// Controllers of cgroup v1 by which runtimes and systemd place processes, the most used first.
pub(super) const LEGACY_CONTROLLERS: [&str; 6] =
    ["memory", "pids", "cpu", "cpuacct", "devices", "freezer"];
/// Cgroups come and go; more than this at once is not a host but a leak.
const MAX_CACHED: usize = 65_536;

/// A cgroup's path, and the container or systemd unit in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    pub path: Arc<str>,
    pub container_id: Option<Arc<str>>,
    pub systemd_unit: Option<Arc<str>>,
}

/// A mounted hierarchy of cgroup v1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyHierarchy {
    pub controller: &'static str,
    pub mount: PathBuf,
}

/// Keeps what it resolved: a dead process' cgroup may be gone.
#[derive(Debug)]
pub struct Cgroups {
    known: HashMap<u64, Cgroup>,
    unified: Option<Mount>,
    legacy: Option<Mount>,
    memory: Option<Mount>,
}

#[derive(Debug)]
struct Mount {
    path: PathBuf,
    folder: File,
}

#[repr(C)]
struct Handle {
    bytes: u32,
    kind: c_int,
    id: u64,
}

impl Default for Cgroups {
    fn default() -> Self {
        let mounts = mountinfo();
        let open = |path: PathBuf| {
            let folder = File::open(&path).ok()?;
            Some(Mount { path, folder })
        };
        Self {
            known: HashMap::new(),
            unified: unified_mount(&mounts).and_then(open),
            legacy: legacy_mount(&mounts, &LEGACY_CONTROLLERS).and_then(|found| open(found.mount)),
            memory: legacy_mount(&mounts, &["memory"]).and_then(|found| open(found.mount)),
        }
    }
}

impl Cgroups {
    /// The cgroup with this id; `pid` is a process that is in it, if it still lives.
    pub fn resolve(&mut self, id: u64, pid: u32) -> Option<Cgroup> {
        // Where cgroup v1 places processes, the root of the unified hierarchy is the one that they all share.
        if id == ROOT_CGROUP && self.legacy.is_some() {
            return super::procfs::cgroup(pid).as_deref().map(Cgroup::new);
        }
        if let Some(known) = self.known.get(&id) {
            return Some(known.clone());
        }
        let path = if id & LEGACY_CGROUP == 0 {
            by_handle(self.unified.as_ref(), id)
        } else {
            by_handle(self.legacy.as_ref(), id & !LEGACY_CGROUP)
        };
        let cgroup = Cgroup::new(&path.or_else(|| super::procfs::cgroup(pid))?);
        if self.known.len() >= MAX_CACHED {
            self.known.clear();
        }
        self.known.insert(id, cgroup.clone());
        Some(cgroup)
    }

    /// Path of a memory cgroup by its id, in the hierarchy that the memory controller is in.
    pub fn memory_path(&self, id: u64) -> Option<String> {
        by_handle(self.memory.as_ref().or(self.unified.as_ref()), id)
    }
}

fn by_handle(mount: Option<&Mount>, id: u64) -> Option<String> {
    let mount = mount?;
    let handle = Handle {
        bytes: 8,
        kind: FILEID_KERNFS,
        id,
    };
    // SAFETY: `handle` has the layout of `struct file_handle` with 8 bytes of handle.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount.folder.as_raw_fd(),
            (&raw const handle).cast_mut().cast(),
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel just handed this descriptor to us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let inside = path.strip_prefix(&mount.path).ok()?;
    Some(Path::new("/").join(inside).to_string_lossy().into_owned())
}

impl Cgroup {
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            container_id: container_id(path).map(Into::into),
            systemd_unit: systemd_unit(path).map(Into::into),
        }
    }
}

/// The hierarchy of cgroup v1 that tells most about where processes belong, on hosts that mount any.
pub fn legacy_hierarchy() -> Option<LegacyHierarchy> {
    legacy_mount(&mountinfo(), &LEGACY_CONTROLLERS)
}

fn mountinfo() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

fn legacy_mount(mountinfo: &str, controllers: &[&'static str]) -> Option<LegacyHierarchy> {
    let mounted = |controller: &str| {
        mountinfo.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let options = filesystem.strip_prefix("cgroup ")?.rsplit(' ').next()?;
            options
                .split(',')
                .any(|option| option == controller)
                .then(|| mount.split(' ').nth(4).map(PathBuf::from))?
        })
    };
    controllers.iter().find_map(|controller| {
        mounted(controller).map(|mount| LegacyHierarchy { controller, mount })
    })
}

/// Where cgroup2 is mounted, from `/proc/self/mountinfo`.
fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem
            .starts_with("cgroup2 ")
            .then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The 64 hexadecimal digits by which docker, containerd, cri-o and podman name a container, from the innermost part of
/// the path that has them: `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `libpod-<id>.scope`, `<id>`.
pub fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit(['-', ':']).next().unwrap_or(part);
        (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
}

/// The innermost service or scope, as systemd names cgroups.
pub fn systemd_unit(path: &str) -> Option<&str> {
    let kinds = ["service", "scope"];
    path.rsplit('/').find(|part| {
        part.rsplit_once('.')
            .is_some_and(|(_, kind)| kinds.contains(&kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f8c9d4b2a1e0f5c6d7b8a9e0f1c2d3b4a5e6f7081920a3b4c5d6e7f80911223";

    #[test]
    fn containers_of_all_runtimes() {
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{ID}.scope"
            ),
            format!("/kubepods/burstable/pod1-2/{ID}"),
            format!("/kubepods.slice/pod1.slice/crio-{ID}.scope/container"),
            format!("/machine.slice/libpod-{ID}.scope"),
            format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(container_id(&path), Some(ID), "{path}");
        }
        for path in [
            "/",
            "/system.slice/ssh.service",
            "/user.slice/user-0.slice/session-1.scope",
        ] {
            assert_eq!(container_id(path), None, "{path}");
        }
    }

    #[test]
    fn units_of_systemd() {
        for (path, unit) in [
            ("/system.slice/ssh.service", Some("ssh.service")),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope",
                Some("app-x.scope"),
            ),
            (
                "/system.slice/containerd.service/deeper/still",
                Some("containerd.service"),
            ),
            ("/system.slice", None),
            ("/kubepods/burstable/pod1-2", None),
        ] {
            assert_eq!(systemd_unit(path), unit, "{path}");
        }
    }

    #[test]
    fn the_hierarchy_of_a_legacy_host_is_the_memory_one() {
        let mountinfo = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd";
        let found = |controllers| legacy_mount(mountinfo, controllers).map(|found| found.mount);
        assert_eq!(
            found(&LEGACY_CONTROLLERS),
            Some("/sys/fs/cgroup/memory".into())
        );
        assert_eq!(
            found(&["pids", "cpuacct"]),
            Some("/sys/fs/cgroup/cpu,cpuacct".into())
        );
        assert_eq!(found(&["pids"]), None);
        let unified = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(legacy_mount(unified, &LEGACY_CONTROLLERS), None);
    }

    #[test]
    fn the_unified_mount_is_found_in_a_hybrid_layout() {
        let mountinfo = "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n\
            32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(
            unified_mount(mountinfo),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
    }
}
