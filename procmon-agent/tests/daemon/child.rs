//! What this binary does as a child: it gives up privileges as the agent does, then tries what it must not.

use std::io::Error;

use procmon_agent::privileges::{denied, features, give_up};

pub(crate) fn run(arguments: &[String]) -> ! {
    if arguments.first().is_some_and(|first| first == "listen") {
        listen();
    }
    give_up(&features("ebpf", true)).expect("privileges are given up");
    match arguments.first().map(String::as_str) {
        Some("denied") => denials(),
        Some("fatal") => fatal(arguments.get(1).map(String::as_str)),
        other => panic!("unknown child {other:?}"),
    }
    std::process::exit(0);
}

/// Waits for connections that nobody makes.
fn listen() -> ! {
    let _listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    loop {
        std::thread::park();
    }
}

/// Calls that an attacker would like, and that fail as if root was nobody.
fn denials() {
    const BPF_MAP_CREATE: usize = 0;
    const BPF_PROG_LOAD: usize = 5;
    let own_pid = std::process::id() as usize;
    let calls: &[(&str, i64, [usize; 3])] = &[
        ("personality", libc::SYS_personality, [0, 0, 0]),
        ("setuid", libc::SYS_setuid, [1, 0, 0]),
        ("kill", libc::SYS_kill, [own_pid, 0, 0]),
        ("fork", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0]),
        ("bpf map", libc::SYS_bpf, [BPF_MAP_CREATE, 0, 0]),
        ("bpf program", libc::SYS_bpf, [BPF_PROG_LOAD, 0, 0]),
        ("perf", libc::SYS_perf_event_open, [0, 0, 0]),
        (
            "raw socket",
            libc::SYS_socket,
            [libc::AF_PACKET as usize, 3, 0],
        ),
        (
            "setns",
            libc::SYS_setns,
            [0, libc::CLONE_NEWNET as usize, 0],
        ),
        ("seccomp", libc::SYS_seccomp, [0, 0, 0]),
        ("unknown", 500, [0, 0, 0]),
    ];
    for (name, number, arguments) in calls {
        // SAFETY: the filter refuses the call before any argument is looked at.
        let result = unsafe { libc::syscall(*number, arguments[0], arguments[1], arguments[2]) };
        let error = Error::last_os_error().raw_os_error();
        let expected = if *name == "unknown" {
            libc::ENOSYS
        } else {
            libc::EPERM
        };
        assert_eq!((result, error), (-1, Some(expected)), "{name}");
        assert!(
            denied()
                .iter()
                .any(|denied| denied.number as i64 == *number),
            "{name} is counted"
        );
    }
    // What the agent does still works: threads, names, its own files.
    std::thread::spawn(|| assert!(std::fs::read("/proc/self/stat").is_ok()))
        .join()
        .expect("threads start");
    assert!(
        std::net::TcpListener::bind("127.0.0.1:0").is_err(),
        "nobody connects to it"
    );
    assert!(std::net::TcpStream::connect("127.0.0.1:1").is_err());
    assert!(give_up(&features("ebpf", true)).is_err(), "for good");
}

/// Calls that end the process. Wrong arguments: without a filter none would do anything.
fn fatal(name: Option<&str>) {
    let number = match name {
        Some("execve") => libc::SYS_execve,
        Some("ptrace") => libc::SYS_ptrace,
        Some("process_vm_writev") => libc::SYS_process_vm_writev,
        Some("mount") => libc::SYS_mount,
        Some("init_module") => libc::SYS_init_module,
        Some("kexec_load") => libc::SYS_kexec_load,
        Some("reboot") => libc::SYS_reboot,
        Some("unshare") => libc::SYS_unshare,
        Some("io_uring_setup") => libc::SYS_io_uring_setup,
        other => panic!("unknown call {other:?}"),
    };
    // SAFETY: null pointers and impossible numbers, which the kernel refuses.
    unsafe { libc::syscall(number, -1_i64, 0, 0, 0, 0, 0) };
}
