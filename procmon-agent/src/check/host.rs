//! What the kernel and this process's place on the host allow.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::kernel::btf::KERNEL_BTF;
use crate::kernel::pin;

const CAPABILITIES: [(&str, u32); 4] = [
    ("CAP_BPF", 39),
    ("CAP_PERFMON", 38),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_DAC_READ_SEARCH", 2),
];
const CAP_SYS_ADMIN: u32 = 21;
/// The first kernel whose tracing hooks and task iterator the programs are tested with.
const OLDEST_KERNEL: (u32, u32) = (6, 1);
/// What a filter can do, where the kernel has filters.
const SECCOMP_ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";
/// The number that the kernel gives the PID namespace of the host (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

pub(super) fn findings() -> Vec<Finding> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().into_owned())
        .ok();
    vec![
        kernel(&release, &uname.machine().to_string_lossy()),
        btf(Path::new(KERNEL_BTF)),
        capabilities(&status),
        presence(
            "tracefs",
            &[
                "/sys/kernel/tracing/events",
                "/sys/kernel/debug/tracing/events",
            ],
        ),
        bpffs(&pin::bpffs()),
        pid_namespace(namespace.as_deref()),
        filter(&std::fs::read_to_string(SECCOMP_ACTIONS).unwrap_or_default()),
    ]
}

/// Whether the kernel can filter the agent's system calls.
fn filter(actions: &str) -> Finding {
    let has = |wanted: &str| actions.split_whitespace().any(|action| action == wanted);
    if has("trap") && has("kill_process") {
        return Finding::ok("seccomp", "system calls can be filtered");
    }
    Finding::warn(
        "seccomp",
        "this kernel cannot filter system calls: the agent runs without that protection",
        "boot a kernel built with CONFIG_SECCOMP_FILTER=y (those of Debian and Ubuntu are)",
    )
}

fn kernel(release: &str, machine: &str) -> Finding {
    let text = format!("Linux {release} on {machine}");
    match version(release) {
        Some(version) if version < OLDEST_KERNEL => Finding::warn(
            "kernel",
            format!("{text} is older than those that procmon is tested with"),
            "use Linux 6.1 or newer for the probe level ebpf",
        ),
        _ => Finding::ok("kernel", text),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btf(path: &Path) -> Finding {
    match std::fs::metadata(path) {
        Ok(metadata) => Finding::ok(
            "BTF",
            format!("{} ({} KiB)", path.display(), metadata.len() >> 10),
        ),
        Err(error) => Finding::warn(
            "BTF",
            format!("{}: {error}", path.display()),
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (those of Debian and Ubuntu are)",
        ),
    }
}

fn capabilities(status: &str) -> Finding {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    let is_granted = |name: &str, capability: u32| {
        // CAP_SYS_ADMIN includes the two that are younger than it.
        has(capability) || (has(CAP_SYS_ADMIN) && matches!(name, "CAP_BPF" | "CAP_PERFMON"))
    };
    let (granted, missing): (Vec<_>, Vec<_>) = CAPABILITIES
        .iter()
        .partition(|(name, capability)| is_granted(name, *capability));
    let names = |list: &[&(&'static str, u32)]| {
        let names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    };
    if missing.is_empty() {
        return Finding::ok("capabilities", names(&granted));
    }
    let cost = if missing
        .iter()
        .any(|(name, _)| matches!(*name, "CAP_BPF" | "CAP_PERFMON"))
    {
        "the kernel programs cannot be loaded"
    } else {
        "some details of other users' processes cannot be read"
    };
    Finding::warn(
        "capabilities",
        format!("missing {}: {cost}", names(&missing)),
        "run as root, or grant them (systemd: AmbientCapabilities=, Docker: --cap-add)",
    )
}

/// File systems that only some set-ups use: their absence is worth a line, not a warning.
fn presence(what: &'static str, places: &[&str]) -> Finding {
    match places.iter().find(|place| Path::new(place).exists()) {
        Some(place) => Finding::ok(what, *place),
        None => Finding::ok(what, "not mounted; nothing that is configured needs it"),
    }
}

/// Its folder is there on most hosts, mounted or not.
fn bpffs((mount, is_mounted): &(PathBuf, bool)) -> Finding {
    let mount = mount.display();
    Finding::ok(
        "bpffs",
        if *is_mounted {
            mount.to_string()
        } else {
            format!("not mounted at {mount}; only pin needs it")
        },
    )
}

fn pid_namespace(link: Option<&str>) -> Finding {
    match link {
        Some(INITIAL_PID_NAMESPACE) => Finding::ok("PID namespace", "the host's"),
        Some(other) => Finding::warn(
            "PID namespace",
            format!("{other} is not the host's: pids here are not those that the kernel reports"),
            "run the agent in the host's (Docker: --pid=host, Kubernetes: hostPID: true)",
        ),
        None => Finding::warn(
            "PID namespace",
            "/proc/self/ns/pid cannot be read",
            "mount /proc",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn a_kernel_without_filters_is_worth_a_warning() {
        let actions = "kill_process kill_thread trap errno user_notif trace log allow\n";
        assert_eq!(filter(actions).grade, Grade::Ok);
        assert_eq!(filter("").grade, Grade::Warn);
    }

    #[test]
    fn a_folder_is_no_file_system() {
        let text = |is_mounted| bpffs(&("/sys/fs/bpf".into(), is_mounted)).text;
        assert_eq!(text(true), "/sys/fs/bpf");
        assert!(text(false).starts_with("not mounted at /sys/fs/bpf"));
    }

    #[test]
    fn capabilities_by_name() {
        let of = |mask: &str| capabilities(&format!("Name:\tx\nCapEff:\t{mask}\n"));
        assert_eq!(of("000001ffffffffff").grade, Grade::Ok);
        assert_eq!(of("000000c000080004").grade, Grade::Ok, "exactly the four");
        let admin = of("0000000000280004");
        assert_eq!(
            admin.grade,
            Grade::Ok,
            "CAP_SYS_ADMIN includes the other two"
        );
        let none = of("0000000000000000");
        assert_eq!(none.grade, Grade::Warn);
        assert_eq!(
            none.text,
            "missing CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH: the kernel programs cannot be loaded"
        );
        let some = of("000000c000000000");
        assert!(
            some.text
                .contains("missing CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH: some details")
        );
    }

    #[test]
    fn kernels() {
        assert_eq!(kernel("6.1.0-40-cloud-amd64", "x86_64").grade, Grade::Ok);
        assert_eq!(kernel("6.12+deb13", "x86_64").grade, Grade::Ok);
        assert_eq!(kernel("5.10.0", "x86_64").grade, Grade::Warn);
        assert_eq!(kernel("strange", "x86_64").grade, Grade::Ok);
    }

    #[test]
    fn namespaces() {
        assert_eq!(pid_namespace(Some("pid:[4026531836]")).grade, Grade::Ok);
        assert_eq!(pid_namespace(Some("pid:[4026532001]")).grade, Grade::Warn);
        assert_eq!(pid_namespace(None).grade, Grade::Warn);
    }
}
