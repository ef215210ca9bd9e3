//! argv as the kernel has it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use procmon_common::wire;

use crate::trial;
use crate::watcher::{Watcher, child};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("argv_is_kept_byte_for_byte", argv_is_kept_byte_for_byte),
        trial("long_argv_is_cut_and_says_so", long_argv_is_cut_and_says_so),
        trial("two_execs_in_one_life", two_execs_in_one_life),
    ]
}

fn run(watcher: &mut Watcher, mut command: Command) -> Result<wire::Image> {
    let mut process = command.spawn()?;
    process.wait()?;
    let life = watcher.life_of(process.id())?;
    ensure!(life.execs.len() == 1, "{life:?}");
    Ok(life.execs[0].image.clone().unwrap_or_default())
}

fn argv_is_kept_byte_for_byte() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let odd: [&[u8]; 6] = [
        b"",
        b"two\nlines",
        b"\xff\xfe not utf-8",
        b"tab\there",
        b"\"quoted\"",
        b"",
    ];
    let mut command = Command::new("/bin/true");
    command.args(odd.iter().map(|argument| OsStr::from_bytes(argument)));
    let image = run(&mut watcher, command)?;
    let arguments: Vec<&[u8]> = wire::split_args(&image.args).collect();
    ensure!(
        arguments[0] == b"/bin/true" && arguments[1..] == odd,
        "{image:?}"
    );
    ensure!(image.args_bytes == image.args.len() as u64, "{image:?}");
    ensure!(
        image.exe == "/bin/true" && image.name == "true" && image.seq == 1,
        "{image:?}"
    );
    Ok(())
}

fn long_argv_is_cut_and_says_so() -> Result<()> {
    let mut watcher = Watcher::start()?;
    for length in [4095_usize, 4096, 4097, 8900] {
        // "/bin/true\0", then one argument with its NUL.
        let argument = OsString::from("x".repeat(length - 11));
        let mut command = Command::new("/bin/true");
        command.arg(argument);
        let image = run(&mut watcher, command)?;
        ensure!(
            image.args_bytes == length as u64,
            "{} for {length}",
            image.args_bytes
        );
        ensure!(
            image.args.len() == length.min(4096),
            "{} of {length} bytes",
            image.args.len()
        );
        ensure!(
            image.args.starts_with(b"/bin/true\0xxx"),
            "the beginning is kept"
        );
    }
    Ok(())
}

fn two_execs_in_one_life() -> Result<()> {
    let mut watcher = Watcher::start()?;
    let mut process = child(["exec", "/bin/true", "second image"]).spawn()?;
    process.wait()?;
    let life = watcher.life_of(process.id())?;
    let names: Vec<_> = life
        .execs
        .iter()
        .filter_map(|exec| exec.image.as_ref())
        .map(|image| image.seq)
        .collect();
    ensure!(names == [1, 2], "{life:?}");
    let last = life.execs[1].image.clone().unwrap_or_default();
    ensure!(last.args == "/bin/true\0second image\0", "{last:?}");
    Ok(())
}
