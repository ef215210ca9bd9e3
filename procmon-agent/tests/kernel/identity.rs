//! Who a process is: users, PID namespaces.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::enrich::procfs;

use crate::trial;
use crate::watcher::{Watcher, child};

const NOBODY: u32 = 65534;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "setuid_exec_changes_the_effective_user",
            setuid_exec_changes_the_effective_user,
        ),
        trial(
            "process_in_another_pid_namespace",
            process_in_another_pid_namespace,
        ),
        trial("identity_agrees_with_proc", identity_agrees_with_proc),
    ]
}

fn setuid_exec_changes_the_effective_user() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
    let program = folder.path().join("setuid-child");
    std::fs::copy(std::env::current_exe()?, &program)?;
    chown(&program, Some(0), Some(0))?;
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o4755))?;
    let mut command = std::process::Command::new(&program);
    let mut process = command
        .args(["--child", "exit", "0"])
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()?;
    process.wait()?;
    let life = watcher.life_of(process.id())?;
    let credentials = life
        .execs
        .last()
        .and_then(|exec| exec.credentials.clone())
        .context("no exec")?;
    ensure!(
        (credentials.uid, credentials.euid, credentials.gid) == (NOBODY, Some(0), NOBODY),
        "{credentials:?}"
    );
    ensure!(
        credentials.username.as_deref() == Some("nobody"),
        "{credentials:?}"
    );
    Ok(())
}

fn process_in_another_pid_namespace() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let mut command = child(["sleep", "50"]);
    // SAFETY: unshare is async-signal-safe. It takes effect for children, so fork once more by way of the shell.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWPID) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            match libc::fork() {
                0 => Ok(()),
                pid if pid > 0 => {
                    libc::waitpid(pid, std::ptr::null_mut(), 0);
                    libc::_exit(0)
                }
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let mut outer = command.spawn()?;
    outer.wait()?;
    let parent = outer.id();
    watcher.life_of(parent)?;
    watcher.until("exit of the process inside", |watcher| {
        watcher
            .lives
            .values()
            .any(|life| life.process.ppid == parent && !life.exits.is_empty())
    })?;
    let inside = watcher
        .lives
        .values()
        .find(|life| life.process.ppid == parent)
        .context("no child")?
        .clone();
    ensure!(
        inside.process.namespace_pid == Some(1),
        "{:?}",
        inside.process
    );
    let own = std::fs::read_link("/proc/self/ns/pid")?;
    let namespace = inside.process.pid_namespace.context("no namespace")?;
    ensure!(
        own.to_string_lossy() != format!("pid:[{namespace}]"),
        "{namespace} is our own"
    );
    ensure!(
        inside.execs.len() == 1 && inside.exit().code == Some(0),
        "{inside:?}"
    );
    Ok(())
}

fn identity_agrees_with_proc() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let mut process = child(["sleep", "300"]).spawn()?;
    let pid = process.id();
    watcher.until("exec event", |watcher| {
        watcher
            .lives
            .get(&pid)
            .is_some_and(|life| !life.execs.is_empty())
    })?;
    let proc = procfs::identity(pid).context("the child is gone already")?;
    process.wait()?;
    let life = watcher.life_of(pid)?;
    let image = life.execs[0].image.clone().unwrap_or_default();
    ensure!(
        life.process.start_ticks == proc.start_ticks,
        "{life:?} {proc:?}"
    );
    ensure!(
        life.process.ppid == proc.ppid && image.args == proc.args && image.name == proc.name,
        "{life:?} {proc:?}"
    );
    ensure!(
        life.process.pid_namespace == proc.pid_namespace,
        "{life:?} {proc:?}"
    );
    ensure!(life.process.cgroup == proc.cgroup, "{life:?} {proc:?}");
    Ok(())
}
