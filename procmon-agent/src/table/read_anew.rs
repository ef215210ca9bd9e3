//! What changes in a life without being told, below the level `ebpf`: name, title, user, cgroup; and the program, where
//! nothing is told at all.

use prost::bytes::Bytes;

use super::Table;
use super::process::Process;
use crate::enrich::cgroup::Cgroup;
use crate::enrich::procfs::{self, Identity};

/// A life is read anew when its name is another, and in one of so many samples anyway.
const READ_ANEW_EVERY: u64 = 12;

/// Of `/proc/PID/stat`: names of these tell what they do now, and change all the time.
const PF_KTHREAD: u32 = 0x0020_0000;

impl Table {
    /// Compares a process with what `/proc` shows of it.
    pub(super) fn read_anew(&mut self, pid: u32) {
        let due = (self.samples + u64::from(pid)).is_multiple_of(READ_ANEW_EVERY);
        let Some(process) = self.live.get_mut(&pid).filter(|process| !process.exited) else {
            return;
        };
        let Some(identity) = shown(process, due) else {
            return;
        };
        let mut changed = process.image.name != identity.name;
        if changed {
            process.image.name = Bytes::copy_from_slice(&identity.name);
        }
        if !self.hears_execs && !identity.exe.is_empty() && process.image.exe != identity.exe {
            process.image.exe = Bytes::copy_from_slice(&identity.exe);
            changed = true;
        }
        // One that was cut to save memory is not the same when it is read again.
        if (changed || !process.image.args.is_cut()) && !identity.args.is_empty() {
            let args = &process.image.args;
            let other = self
                .redactor
                .redact_other(args, &identity.args, identity.args_bytes);
            if let Some(args) = other {
                process.image.args = args;
                process.image.args_bytes = identity.args_bytes;
                process.image.cut_args(self.budget.args_max_bytes());
                changed = true;
            }
        }
        let users = (identity.uid, identity.euid, identity.gid);
        if known_users(process) != Some(users) {
            process.credentials = Some(self.users.credentials(users));
            changed = true;
        }
        changed |= moved(process, &identity);
        if changed {
            self.changes.processes.push(process.to_wire());
        }
    }
}

/// What `/proc` shows of this life, if it is due or has another name.
fn shown(process: &Process, due: bool) -> Option<Identity> {
    let life = process.life;
    let stat = procfs::stat(life.pid)?;
    let is_program = stat.flags & PF_KTHREAD == 0 && !matches!(stat.state, b'Z' | b'X');
    if stat.start_ticks != life.start_ticks
        || !is_program
        || !(due || stat.name != process.image.name)
    {
        return None;
    }
    procfs::identity(life.pid).filter(|identity| identity.start_ticks == life.start_ticks)
}

fn known_users(process: &Process) -> Option<(u32, u32, u32)> {
    let known = process.credentials.as_ref()?;
    Some((known.uid, known.euid?, known.gid))
}

/// Takes over another cgroup.
fn moved(process: &mut Process, identity: &Identity) -> bool {
    let Some(cgroup) = identity.cgroup.as_deref().map(Cgroup::new) else {
        return false;
    };
    let is_other = process.cgroup.as_ref() != Some(&cgroup);
    if is_other {
        process.cgroup = Some(cgroup);
    }
    is_other
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// `sh` becomes `sleep` when it is told to: at the level `sample` nothing says so.
    #[test]
    fn another_program_in_the_same_life_is_found() {
        let mut child = Command::new("sh")
            .args(["-c", "read line; exec sleep 1000"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let pid = child.id();
        let name_is = |name: &[u8]| procfs::stat(pid).is_some_and(|stat| stat.name == name);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !name_is(b"sh") && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut table = Table::new(false, false);
        table.set_hears_execs(false);
        table.baseline().expect("/proc is readable");
        let known = table.get(pid).expect("it runs").image.clone();
        assert_eq!(&*known.name, b"sh");
        drop(table.take_changes());

        drop(child.stdin.take());
        while !name_is(b"sleep") && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        table.read_anew(pid);
        let told = table.take_changes().processes;
        child.kill().expect("it runs");
        child.wait().expect("it ends");

        let image = told.first().and_then(|told| told.image.clone());
        let image = image.expect("the change is told");
        assert_eq!(&*image.name, b"sleep");
        assert_eq!(&*image.args, b"sleep\x001000\0");
        assert_ne!(image.exe, known.exe);
    }
}
