//! The kernel programs, decoding and process table against the real kernel. Needs root and BTF, and fails without. The
//! same binary runs inside virtual machines with other kernels, and is its own child programs (`--child`).
#![expect(
    unsafe_code,
    reason = "processes that end in unusual ways are made with raw system calls"
)]

mod agents;
mod argv;
mod block;
mod bpffs;
mod cgroup;
mod child;
mod exits;
mod files;
mod identity;
mod ladder;
mod lives;
mod namespaces;
mod redaction;
mod restart;
mod short_lived;
mod snapshot;
mod sockets;
mod stall;
mod storm;
mod totals;
mod watcher;
mod wrap;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == "--child") {
        let arguments: Vec<String> = arguments
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        child::run(&arguments);
    }
    let trials = [
        argv::trials(),
        block::trials(),
        cgroup::trials(),
        exits::trials(),
        files::trials(),
        identity::trials(),
        ladder::trials(),
        short_lived::trials(),
        snapshot::trials(),
        redaction::trials(),
        restart::trials(),
        sockets::trials(),
        stall::trials(),
        storm::trials(),
        totals::trials(),
        wrap::trials(),
    ];
    libtest_mimic::run(
        &Arguments::from_args(),
        trials.into_iter().flatten().collect(),
    )
    .exit();
}

fn trial(name: &str, test: fn() -> anyhow::Result<()>) -> Trial {
    Trial::test(name, move || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}
