//! The agent's program as an operator runs it: privileges, limits, its own metrics, SIGHUP. Needs root and a kernel with BTF,
//! and fails without. The same binary is its own child programs (`--child`).
#![expect(
    unsafe_code,
    reason = "forbidden system calls are made by their number, to see what becomes of them"
)]

mod agent;
#[path = "../kernel/bpffs.rs"]
mod bpffs;
mod child;
mod limits;
mod listen;
mod pin;
mod privileges;
mod reload;
mod server;
mod top;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = std::env::args();
    if arguments.nth(1).is_some_and(|first| first == "--child") {
        child::run(&arguments.collect::<Vec<_>>());
    }
    let trials = [
        limits::trials(),
        listen::trials(),
        pin::trials(),
        privileges::trials(),
        reload::trials(),
        top::trials(),
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
