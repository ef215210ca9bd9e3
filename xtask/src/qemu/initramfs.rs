//! The guest's whole file system: busybox, the files asked for with their shared libraries, and `/init`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::{END_MARKER, GuestRun, modules};
use crate::command::{self, shell_quote};
use crate::prerequisites;

const FOLDERS: &[&str] = &[
    "bin", "dev", "etc", "lib", "lib64", "modules", "proc", "root", "sys", "tmp", "usr", "usr/bin",
];

/// What the disk needs, and the kernel's lists of sockets (there is nothing here that would load them on demand).
const MODULES: &[&str] = &["virtio_pci", "virtio_blk", "tcp_diag", "udp_diag"];

pub(super) fn build(run: &GuestRun) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    let mut folders = BTreeSet::new();
    for folder in FOLDERS {
        add_folder(&mut archive, &mut folders, Path::new(folder));
    }
    archive.character_device("dev/console", (5, 1));
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    );
    archive.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");

    let busybox = fs::read(prerequisites::require("busybox")?).context("cannot read busybox")?;
    archive.file("bin/busybox", 0o755, &busybox);
    archive.link("bin/sh", "busybox");

    let modules = modules::load(&run.kernel.modules, MODULES)?;
    for module in &modules {
        archive.file(
            &format!("modules/{}.ko", module.name),
            0o644,
            &module.content,
        );
    }
    let mut libraries = BTreeSet::new();
    for file in &run.files {
        libraries.extend(shared_libraries(&file.host)?);
        let content =
            fs::read(&file.host).with_context(|| format!("cannot read {}", file.host.display()))?;
        add_file(&mut archive, &mut folders, Path::new(&file.guest), &content);
    }
    for library in libraries {
        let content =
            fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
        add_file(&mut archive, &mut folders, &library, &content);
    }
    let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    archive.file("init", 0o755, init(run, &names).as_bytes());
    Ok(archive.finish())
}

fn add_file(archive: &mut Archive, folders: &mut BTreeSet<PathBuf>, path: &Path, content: &[u8]) {
    if let Some(folder) = path.parent() {
        add_folder(archive, folders, folder);
    }
    archive.file(&path.to_string_lossy(), 0o755, content);
}

fn add_folder(archive: &mut Archive, folders: &mut BTreeSet<PathBuf>, path: &Path) {
    let path = path.strip_prefix("/").unwrap_or(path);
    let parents: Vec<&Path> = path
        .ancestors()
        .filter(|parent| !parent.as_os_str().is_empty())
        .collect();
    for parent in parents.into_iter().rev() {
        if folders.insert(parent.to_path_buf()) {
            archive.folder(&parent.to_string_lossy());
        }
    }
}

/// The libraries, and the loader, that a dynamic program needs; none for a static one or for data.
fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>> {
    // ldd exits with 1 for what is not a dynamic program, which is no error here.
    let output = command::output(Command::new("ldd").arg(program))?;
    Ok(library_paths(&String::from_utf8_lossy(&output.stdout)))
}

fn library_paths(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// The first and only program of the guest.
fn init(run: &GuestRun, modules: &[&str]) -> String {
    let insert: Vec<String> = modules
        .iter()
        .map(|name| format!("insmod /modules/{name}.ko"))
        .collect();
    let insert = insert.join(
        "
",
    );
    let export = |(name, value): &(String, String)| format!("export {name}={}", shell_quote(value));
    let environment = run.environment.iter().map(export).collect::<Vec<_>>().join(
        "
",
    );
    let command = run
        .command
        .iter()
        .map(|word| shell_quote(word))
        .collect::<Vec<_>>()
        .join(" ");
    format!(
        "#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp /dev/shm
exec </dev/null >/dev/console 2>&1
echo
ip link set lo up
{insert}
{environment}
cd /root
{command}
code=$?
echo
echo \"{END_MARKER} $code\"
poweroff -f
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let ldd = "\tlinux-vdso.so.1 (0x00007fff)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            library_paths(ldd),
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(library_paths("\tstatically linked\n").is_empty());
    }

    #[test]
    fn folders_are_made_before_what_is_in_them_and_once() {
        let mut archive = Archive::new();
        let mut folders = BTreeSet::new();
        add_folder(&mut archive, &mut folders, Path::new("/a/b"));
        let once = folders.clone();
        add_folder(&mut archive, &mut folders, Path::new("a/b"));
        assert_eq!(folders, once);
        assert_eq!(
            folders,
            BTreeSet::from([PathBuf::from("a"), PathBuf::from("a/b")])
        );
    }
}
