//! What this binary does as a child: ends in one of many ways.

use std::process::exit;
use std::time::{Duration, Instant};

/// Never returns.
pub(crate) fn run(arguments: &[String]) -> ! {
    let number = |index: usize| {
        arguments
            .get(index)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    match arguments.first().map(String::as_str) {
        Some("exit") => exit(number(1) as i32),
        Some("signal") => signal_self(number(1) as i32),
        Some("threads") => threads(number(1), Duration::from_millis(number(2))),
        Some("memory") => {
            touch(number(1) as usize);
            exit(0)
        }
        Some("leader-first") => leader_first(
            number(1) as i32,
            arguments.get(2).and_then(|code| code.parse().ok()),
        ),
        Some("exec") => exec(&arguments[1..]),
        Some("spawn-from-big") => spawn_from_big(number(1) as usize),
        Some("zombie") => zombie(Duration::from_millis(number(1))),
        Some("busy-host") => crate::snapshot::busy(number(1) != 0),
        Some("kill") => {
            // SAFETY: a plain system call.
            unsafe { libc::kill(number(1) as i32, number(2) as i32) };
            exit(0)
        }
        Some("fault") => fault(),
        Some("pipe") => broken_pipe(),
        Some("spawn-busy") => crate::short_lived::spawn_busy(&arguments[1]),
        Some("become-other") => crate::short_lived::become_other(),
        Some("steps") => crate::files::steps(),
        Some("leader-left") => crate::files::leader_left(),
        Some("devour") => crate::cgroup::devour(&arguments[1], number(2) as usize),
        Some("enter") => crate::cgroup::enter(&arguments[1]),
        Some("print-spawned") => crate::cgroup::print_spawned(),
        Some("forks") => forks(number(1)),
        Some("forks-in-namespace") => forks_in_namespace(number(1), number(2)),
        Some("sleep") => {
            std::thread::sleep(Duration::from_millis(number(1)));
            exit(0)
        }
        Some("listen") => {
            let place = arguments.get(1).map_or("", String::as_str);
            if let Err(error) = crate::sockets::listen(place) {
                eprintln!("listen: {error:#}");
                exit(93)
            }
            exit(0)
        }
        Some("exec-by-thread") => exec_by_thread(arguments[1..].to_vec()),
        Some("ladder") => {
            let name = arguments.get(1).map_or("", String::as_str);
            if let Err(error) = crate::namespaces::run(name) {
                eprintln!("{name}: {error:#}");
                exit(95)
            }
            exit(0)
        }
        other => {
            eprintln!("unknown child program {other:?}");
            exit(99)
        }
    }
}

fn signal_self(signal: i32) -> ! {
    without_core();
    // SAFETY: plain system calls on this process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
    std::thread::sleep(Duration::from_secs(5));
    exit(98)
}

fn without_core() {
    let limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a plain system call on this process.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
}

fn fault() -> ! {
    without_core();
    // SAFETY: there is nothing at this address: the write ends this process, which is what it is for.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        std::ptr::without_provenance_mut::<u8>(8).write_volatile(1);
    }
    exit(94)
}

fn broken_pipe() -> ! {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    // SAFETY: a plain system call on this process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let _ = std::io::Write::write(&mut writer, b"x");
    exit(93)
}

fn threads(count: u64, busy: Duration) -> ! {
    let threads: Vec<_> = (0..count)
        .map(|_| {
            std::thread::spawn(move || {
                let started = Instant::now();
                while started.elapsed() < busy {
                    std::hint::black_box(started);
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    exit(0)
}

/// Memory that is really there.
fn touch(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0_u8; bytes];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(memory)
}

/// The main thread ends first; the last thread ends the group, by itself or with `exit_group`.
fn leader_first(leader_code: i32, group_code: Option<i32>) -> ! {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        if let Some(code) = group_code {
            exit(code);
        }
        // SAFETY: ends this thread only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    // SAFETY: ends this thread only.
    unsafe { libc::syscall(libc::SYS_exit, leader_code) };
    exit(97)
}

fn exec(arguments: &[String]) -> ! {
    use std::os::unix::process::CommandExt;
    let error = std::process::Command::new(&arguments[0])
        .args(&arguments[1..])
        .exec();
    eprintln!("exec: {error}");
    exit(96)
}

fn exec_by_thread(arguments: Vec<String>) -> ! {
    let thread = std::thread::spawn(move || exec(&arguments));
    let _ = thread.join();
    exit(94)
}

/// Runs a check of `namespaces` in a child process, whose own namespaces and capabilities it changes.
pub(crate) fn in_namespace(name: &str) -> anyhow::Result<()> {
    let status = status_of(name)?;
    anyhow::ensure!(status.success(), "see above: {status}");
    Ok(())
}

pub(crate) fn status_of(name: &str) -> anyhow::Result<std::process::ExitStatus> {
    Ok(crate::watcher::child(["ladder", name]).status()?)
}

/// Prints the pids of a vforked and of a forked /bin/true.
fn spawn_from_big(bytes: usize) -> ! {
    use std::os::unix::process::CommandExt;
    let memory = touch(bytes);
    let mut vforked = std::process::Command::new("/bin/true")
        .spawn()
        .expect("spawns /bin/true");
    println!("{}", vforked.id());
    let _ = vforked.wait();
    let mut command = std::process::Command::new("/bin/true");
    // SAFETY: an empty hook is safe; having one makes the standard library fork instead of vfork.
    unsafe { command.pre_exec(|| Ok(())) };
    let mut forked = command.spawn().expect("spawns /bin/true");
    println!("{}", forked.id());
    let _ = forked.wait();
    drop(std::hint::black_box(memory));
    exit(0)
}

/// A child that ends and is reaped only later. Prints its pid.
fn zombie(unreaped: Duration) -> ! {
    let mut child = std::process::Command::new("/bin/true")
        .spawn()
        .expect("spawns /bin/true");
    println!("{}", child.id());
    std::thread::sleep(unreaped);
    let _ = child.wait();
    exit(0)
}

/// Forks one process after the other. Each says who it is (by /proc: in the namespace of that) and what it exits with.
fn forks(count: u64) -> ! {
    use std::io::Write;
    for number in 0..count {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                let code = 100 + number % 100;
                let about_self = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
                let pid = about_self.split(' ').next().unwrap_or_default();
                // The name has neither spaces nor parentheses.
                let start_ticks = about_self.split(' ').nth(21).unwrap_or_default();
                let line = format!("{pid} {start_ticks} {code}\n");
                let _ = std::io::stdout().write_all(line.as_bytes());
                exit(code as i32)
            }
            // SAFETY: waits for the child that was just forked.
            pid if pid > 0 => unsafe {
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            },
            _ => {
                eprintln!("fork: {}", std::io::Error::last_os_error());
                exit(95)
            }
        }
        // A pid must not come round within 1/100 s, in which starts are told.
        std::thread::sleep(Duration::from_millis(1));
    }
    exit(0)
}

/// The same as the first process of a PID namespace, with a limit of its own.
fn forks_in_namespace(count: u64, pid_max: u64) -> ! {
    // SAFETY: plain system calls; this process has one thread.
    unsafe {
        if libc::unshare(libc::CLONE_NEWPID) != 0 {
            eprintln!("unshare: {}", std::io::Error::last_os_error());
            exit(94)
        }
        let mut status = 0;
        match libc::fork() {
            0 => {}
            pid => {
                libc::waitpid(pid, &raw mut status, 0);
                exit(libc::WEXITSTATUS(status))
            }
        }
        if libc::getpid() != 1 {
            exit(93)
        }
    }
    let limit = "/proc/sys/kernel/pid_max";
    let written = std::fs::write(limit, pid_max.to_string());
    let read = std::fs::read_to_string(limit).unwrap_or_default();
    if written.is_err() || read.trim() != pid_max.to_string() {
        eprintln!("the namespace's pid_max: {written:?}, {read}");
        exit(92)
    }
    forks(count)
}
