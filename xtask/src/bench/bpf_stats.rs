//! What the kernel's own accounting says about BPF programs: how often each ran, and for how long.
#![expect(
    unsafe_code,
    reason = "the bpf system call has no safe wrapper without a BPF library"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::mem::{self, offset_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Turns the accounting on, and back to what it was when dropped.
pub(super) struct Accounting {
    before: String,
}

impl Accounting {
    pub(super) fn start() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {SWITCH}"))?;
        fs::write(SWITCH, "1")
            .with_context(|| format!("cannot write {SWITCH} (root is needed)"))?;
        Ok(Self { before })
    }
}

impl Drop for Accounting {
    fn drop(&mut self) {
        // It costs every BPF program of the machine some nanoseconds: say so if it stays on.
        if let Err(error) = fs::write(SWITCH, &self.before) {
            eprintln!("cannot restore {SWITCH} to {}: {error}", self.before.trim());
        }
    }
}

/// One program's counters since it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) run_time_ns: u64,
    pub(super) runs: u64,
}

/// Every program in the kernel, by its id.
pub(super) fn programs() -> Result<BTreeMap<u32, Program>> {
    let mut programs = BTreeMap::new();
    let mut id = 0;
    while let Some(next) = next_id(id)? {
        // A program may be unloaded between the two calls.
        if let Some(program) = open(next)? {
            programs.insert(next, info(&program)?);
        }
        id = next;
    }
    Ok(programs)
}

/// The commands, and the start of `union bpf_attr` that each reads, of include/uapi/linux/bpf.h.
const PROG_GET_NEXT_ID: u32 = 11;
const PROG_GET_FD_BY_ID: u32 = 13;
const OBJ_GET_INFO_BY_FD: u32 = 15;

#[repr(C)]
struct IdAttributes {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
struct InfoAttributes {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the counters; what lies between is of no interest here.
#[repr(C)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    before_name: [u64; 7],
    name: [u8; 16],
    before_counters: [u64; 14],
    run_time_ns: u64,
    run_cnt: u64,
}

const _: () =
    assert!(offset_of!(ProgramInfo, name) == 64 && offset_of!(ProgramInfo, run_time_ns) == 192);

fn next_id(id: u32) -> Result<Option<u32>> {
    let mut attributes = IdAttributes {
        id,
        next_id: 0,
        open_flags: 0,
    };
    match call(PROG_GET_NEXT_ID, &mut attributes) {
        Ok(_) => Ok(Some(attributes.next_id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot list the BPF programs (root is needed)"),
    }
}

fn open(id: u32) -> Result<Option<OwnedFd>> {
    match call(
        PROG_GET_FD_BY_ID,
        &mut IdAttributes {
            id,
            next_id: 0,
            open_flags: 0,
        },
    ) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot open a BPF program"),
    }
}

fn info(program: &OwnedFd) -> Result<Program> {
    // SAFETY: every field is an integer or an array of integers, for which zero is a value.
    let mut info: ProgramInfo = unsafe { mem::zeroed() };
    let mut attributes = InfoAttributes {
        fd: program.as_raw_fd().cast_unsigned(),
        info_len: size_of::<ProgramInfo>() as u32,
        info: (&raw mut info) as u64,
    };
    call(OBJ_GET_INFO_BY_FD, &mut attributes).context("cannot read a BPF program's counters")?;
    let name: Vec<u8> = info
        .name
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Program {
        name,
        run_time_ns: info.run_time_ns,
        runs: info.run_cnt,
    })
}

fn call<T>(command: u32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a live, writable structure of the size given, and whatever it points to outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}
