//! One process from `/proc`: for what was running before the agent, and for the rest of what a record had to leave out.

use std::fs;

use procmon_common::ids::BootId;

use super::cgroup::LEGACY_CONTROLLERS;

/// Longest argv that is kept.
pub const ARGS_MAX: usize = 4096;

/// What identifies a process and its image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub pid: u32,
    pub ppid: u32,
    pub start_ticks: u64,
    pub name: Vec<u8>,
    pub exe: Vec<u8>,
    pub args: Vec<u8>,
    pub args_bytes: u64,
    pub uid: u32,
    pub euid: u32,
    pub gid: u32,
    pub cgroup: Option<String>,
    pub pid_namespace: Option<u32>,
    pub namespace_pid: Option<u32>,
}

/// The parts of `/proc/PID/stat` that identify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub name: Vec<u8>,
    pub state: u8,
    pub ppid: u32,
    pub flags: u32,
    /// Those that are not released yet.
    pub threads: u32,
    pub start_ticks: u64,
}

impl Stat {
    /// Whether the process runs no more, seen after its first thread ended: no other thread is left, and the one that
    /// is has not just taken over its place by an exec.
    pub fn is_over(&self) -> bool {
        const PF_EXITING: u32 = 4;
        self.threads <= 1 && self.flags & PF_EXITING != 0
    }
}

/// Which boot of this host it is.
pub fn boot_id() -> anyhow::Result<BootId> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.parse()?)
}

/// All pids, in no order. Unreadable entries are left out: they are gone.
pub fn pids() -> std::io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// `None` when the process is gone (or became another one meanwhile).
pub fn identity(pid: u32) -> Option<Identity> {
    let before = stat(pid)?;
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let (uid, euid) = ids(&status, b"Uid:")?;
    let identity = Identity {
        pid,
        ppid: before.ppid,
        start_ticks: before.start_ticks,
        name: before.name,
        exe: exe(pid).unwrap_or_default(),
        args_bytes: args.len() as u64,
        args: args.get(..ARGS_MAX).unwrap_or(&args).to_vec(),
        uid,
        euid,
        gid: ids(&status, b"Gid:")?.0,
        cgroup: cgroup(pid),
        pid_namespace: pid_namespace(pid),
        namespace_pid: line(&status, b"NSpid:")
            .and_then(|pids| number(pids.rsplit(u8::is_ascii_whitespace).next()?)),
    };
    (stat(pid)?.start_ticks == identity.start_ticks).then_some(identity)
}

pub fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold spaces and parentheses: it ends at the last `)`.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let name = text.get(open + 1..close)?.to_vec();
    let mut fields = text.get(close + 2..)?.split(|byte| *byte == b' ');
    let state = *fields.next()?.first()?;
    let ppid = number(fields.next()?)?;
    // Fields 9, 20 and 22; the last that was taken is field 4.
    let flags = number(fields.nth(4)?)?;
    let threads = number(fields.nth(10)?)?;
    let start_ticks = number(fields.nth(1)?)?;
    Some(Stat {
        name,
        state,
        ppid,
        flags,
        threads,
        start_ticks,
    })
}

/// The file a process executes; `None` for kernel threads.
pub fn exe(pid: u32) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    fs::read_link(format!("/proc/{pid}/exe"))
        .ok()
        .map(|path| path.into_os_string().into_vec())
}

/// argv of a process that is known to have begun at `start_ticks`.
pub fn args(pid: u32, start_ticks: u64) -> Option<Vec<u8>> {
    let args = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (stat(pid)?.start_ticks == start_ticks && !args.is_empty()).then_some(args)
}

/// Path in the unified hierarchy; in the memory controller's where the unified one only knows its root.
pub fn cgroup(pid: u32) -> Option<String> {
    parse_cgroup(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?).map(str::to_owned)
}

fn parse_cgroup(text: &str) -> Option<&str> {
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    if unified.is_some_and(|path| path != "/") {
        return unified;
    }
    let path_of = |controller: &str| {
        text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers
                .split(',')
                .any(|mounted| mounted == controller)
                .then_some(path)
        })
    };
    LEGACY_CONTROLLERS
        .iter()
        .find_map(|controller| path_of(controller))
        .or(unified)
}

fn pid_namespace(pid: u32) -> Option<u32> {
    let link = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?;
    link.to_str()?
        .strip_prefix("pid:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// Threads, from the link count of the task folder: far cheaper than a list of it.
pub fn threads(pid: u32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(format!("/proc/{pid}/task"))
        .ok()?
        .nlink()
        .checked_sub(2)
}

/// Open descriptors: the size of the fd folder since Linux 6.2, a list of it before. `None` without permission.
pub fn open_fds(pid: u32) -> Option<u64> {
    let path = format!("/proc/{pid}/fd");
    let size = fs::metadata(&path).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    Some(fs::read_dir(&path).ok()?.count() as u64)
}

fn line<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(key))
}

/// Real and effective id.
fn ids(status: &[u8], key: &[u8]) -> Option<(u32, u32)> {
    let mut ids = line(status, key)?
        .split(u8::is_ascii_whitespace)
        .filter(|id| !id.is_empty());
    Some((number(ids.next()?)?, number(ids.next()?)?))
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let text = b"42 (a) R 1 (b)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1000 10 18446744073709551615\n";
        let stat = parse_stat(text).expect("a stat line");
        assert_eq!(
            stat,
            Stat {
                name: b"a) R 1 (b)".to_vec(),
                state: b'S',
                ppid: 7,
                flags: 4_194_560,
                threads: 1,
                start_ticks: 98_765
            }
        );
        assert_eq!(parse_stat(b"42 (a"), None);
        assert_eq!(parse_stat(b""), None);
        assert_eq!(parse_stat(b"1 (a) "), None);
    }

    #[test]
    fn the_cgroup_is_where_it_says_most() {
        assert_eq!(
            parse_cgroup("0::/system.slice/ssh.service\n"),
            Some("/system.slice/ssh.service")
        );
        let hybrid = "4:memory:/docker/x\n2:cpu,cpuacct:/y\n1:name=systemd:/z\n0::/";
        assert_eq!(parse_cgroup(hybrid), Some("/docker/x"));
        assert_eq!(parse_cgroup("2:cpu,cpuacct:/y\n0::/\n"), Some("/y"));
        assert_eq!(parse_cgroup("0::/\n"), Some("/"));
        assert_eq!(parse_cgroup(""), None);
    }

    #[test]
    fn this_process() {
        let pid = std::process::id();
        let identity = identity(pid).expect("this process is alive");
        assert_eq!(identity.pid, pid);
        assert!(identity.start_ticks > 0);
        assert!(!identity.exe.is_empty() && !identity.args.is_empty());
        assert!(threads(pid).is_some_and(|threads| threads >= 1));
        assert!(open_fds(pid).is_some_and(|fds| fds >= 3));
        assert!(pids().expect("/proc is readable").contains(&pid));
    }
}
