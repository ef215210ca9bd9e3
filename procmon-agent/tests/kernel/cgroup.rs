//! The cgroup of a process that lived too briefly for anybody to read it from /proc.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::config::Probe;
use procmon_agent::kernel::btf::Btf;
use procmon_agent::kernel::probe::choose;
use procmon_agent::kernel::{CaptureOptions, resolve_offsets};
use procmon_common::wire;

use crate::trial;
use crate::watcher::{Watcher, child};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "the_cgroup_of_a_short_life_is_known",
            the_cgroup_of_a_short_life_is_known,
        ),
        trial(
            "ladder_tracepoint_knows_cgroups",
            the_level_tracepoint_knows_cgroups,
        ),
        trial("an_oom_kill_is_told", an_oom_kill_is_told),
    ]
}

/// A cgroup of this test's own, in the hierarchy that this host uses: removed at the end.
struct Cgroup {
    folder: PathBuf,
    path: String,
    mounted: Option<tempfile::TempDir>,
}

impl Cgroup {
    fn create(name: &str) -> Result<Self> {
        let legacy = procmon_agent::enrich::cgroup::legacy_hierarchy();
        let (mount, mounted) = match (legacy, unified_mount()) {
            (Some(legacy), _) => (legacy.mount, None),
            (None, Some(unified)) => (unified, None),
            // A bare virtual machine: it becomes a host of cgroup v1.
            (None, None) => {
                let folder = tempfile::tempdir()?;
                mount_legacy(folder.path())?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let path = format!("/procmon-{name}-{}", std::process::id());
        let folder = mount.join(&path[1..]);
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self {
            folder,
            path,
            mounted,
        })
    }
}

impl Cgroup {
    fn limit_memory(&self, bytes: u64) -> Result<()> {
        let unified = self.folder.join("memory.max");
        if self.folder.join("cgroup.controllers").exists() && !unified.exists() {
            fs::write(
                self.folder.with_file_name("cgroup.subtree_control"),
                "+memory",
            )
            .context("the unified hierarchy has no memory controller")?;
        }
        if unified.exists() {
            fs::write(unified, bytes.to_string())?;
            return Ok(fs::write(self.folder.join("memory.swap.max"), "0")?);
        }
        fs::write(self.folder.join("memory.limit_in_bytes"), bytes.to_string())
            .context("this host's cgroups have no memory controller")?;
        // Only where the kernel accounts for swap.
        let _ = fs::write(
            self.folder.join("memory.memsw.limit_in_bytes"),
            bytes.to_string(),
        );
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        if let Some(folder) = &self.mounted {
            let path = c_path(folder.path());
            // SAFETY: the path is a string that ends with NUL.
            unsafe { libc::umount(path.as_ptr()) };
        }
    }
}

fn unified_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn mount_legacy(folder: &Path) -> Result<()> {
    let path = c_path(folder);
    // SAFETY: all arguments are strings that end with NUL.
    let result = unsafe {
        libc::mount(
            c"cgroup".as_ptr(),
            path.as_ptr(),
            c"cgroup".as_ptr(),
            0,
            c"memory".as_ptr().cast(),
        )
    };
    ensure!(
        result == 0,
        "cannot mount a cgroup hierarchy: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

fn c_path(path: &Path) -> std::ffi::CString {
    std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("a path without NUL")
}

fn the_cgroup_of_a_short_life_is_known() -> Result<()> {
    let cgroup = Cgroup::create("short")?;
    let mut watcher = Watcher::start()?;
    let members = cgroup.folder.join("cgroup.procs");
    let output = child(["enter", members.to_str().context("UTF-8")?])
        .stdout(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    let pids = String::from_utf8(output.stdout)?;
    // The first entered it and then executed, the second lived there only.
    ensure!(pids.lines().count() == 2, "{pids:?}");
    for pid in pids.lines() {
        let life = watcher.life_of(pid.parse()?)?;
        ensure!(
            life.process.cgroup.as_deref() == Some(&cgroup.path),
            "cgroup {:?}, not {}",
            life.process.cgroup,
            cgroup.path
        );
    }
    Ok(())
}

/// With cgroup v1, too, where the kernel's helper knows the unified hierarchy only.
fn the_level_tracepoint_knows_cgroups() -> Result<()> {
    const SAMPLES_UNTIL_READ: u32 = 12;
    let cgroup = Cgroup::create("tracepoint")?;
    let (_, _, source) = choose(Probe::Tracepoint, CaptureOptions::default(), None)?;
    let mut watcher = Watcher::of(source)?;
    // A shell that goes into the cgroup after its exec, and a fork of it that never executes anything.
    let script = "echo 0 > \"$0\"; exec 3<&0; (read line <&3) & echo $!; wait";
    let mut shell = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(cgroup.folder.join("cgroup.procs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    std::io::BufReader::new(shell.stdout.take().context("piped")?).read_line(&mut line)?;
    let (shell_pid, fork_pid) = (shell.id(), line.trim().parse()?);
    watcher.until("fork", |watcher| watcher.handle(fork_pid).is_some())?;
    let of = |watcher: &Watcher, pid| watcher.lives[&pid].process.cgroup.clone();
    let of_fork = of(&watcher, fork_pid);
    for _ in 0..SAMPLES_UNTIL_READ {
        watcher.reconcile()?;
    }
    let of_shell = of(&watcher, shell_pid);
    drop(shell.stdin.take());
    shell.wait()?;
    for found in [&of_fork, &of_shell] {
        ensure!(
            found.as_deref() == Some(&cgroup.path),
            "{of_fork:?} and {of_shell:?}"
        );
    }
    Ok(())
}

fn an_oom_kill_is_told() -> Result<()> {
    let cgroup = Cgroup::create("oom")?;
    cgroup.limit_memory(24 << 20)?;
    let mut watcher = Watcher::start()?;
    let members = cgroup.folder.join("cgroup.procs");
    let mut process = child(["devour", members.to_str().context("UTF-8")?, "134217728"]).spawn()?;
    let pid = process.id();
    let status = process.wait()?;
    let life = watcher.life_of(pid)?;
    let exit = life.exit();
    ensure!(
        exit.signal == Some(9),
        "it was not killed: {status}, {exit:?}"
    );
    ensure!(
        exit.oom_killed == Some(true) && exit.killed_by.is_none(),
        "{exit:?}"
    );
    ensure!(life.ooms.len() == 1, "{:?}", life.ooms);
    let oom = &life.ooms[0];
    if victim_is_told()? {
        ensure!(
            oom.memory_cgroup.as_deref() == Some(&cgroup.path),
            "{oom:?}"
        );
        ensure!(oom.oom_score_adj == Some(500), "{oom:?}");
        let rss = oom.rss_bytes.context("no RSS")?;
        ensure!((8 << 20..48 << 20).contains(&rss), "{oom:?}");
    } else {
        ensure!(
            *oom == wire::Oom::default(),
            "more than this kernel tells: {oom:?}"
        );
    }
    Ok(())
}

/// Linux tells the victim since 6.9, and where that was taken over into older series; else only its pid.
fn victim_is_told() -> Result<bool> {
    let offsets = resolve_offsets(&Btf::of_this_kernel()?)?;
    Ok(offsets.oom_victim_is_task != 0)
}

/// The child: enters a cgroup, and takes more memory than that has.
pub(crate) fn devour(members: &str, bytes: usize) -> ! {
    fs::write("/proc/self/oom_score_adj", "500").expect("raises its score");
    fs::write(members, "0").expect("enters the cgroup");
    let mut memory = Vec::new();
    while memory.len() < bytes {
        memory.extend_from_slice(&[7; 4096]);
    }
    std::hint::black_box(memory);
    std::process::exit(92)
}

/// The child: enters a cgroup, executes an image there that starts /bin/true, and prints both pids.
pub(crate) fn enter(members: &str) -> ! {
    use std::os::unix::process::CommandExt;
    fs::write(members, "0").expect("enters the cgroup");
    println!("{}", std::process::id());
    let error = child(["print-spawned"]).exec();
    panic!("exec: {error}")
}

/// The child's next image.
pub(crate) fn print_spawned() -> ! {
    let mut process = std::process::Command::new("/bin/true")
        .spawn()
        .expect("spawns");
    println!("{}", process.id());
    let _ = process.wait();
    std::process::exit(0)
}
