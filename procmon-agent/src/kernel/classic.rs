//! The classic tracepoints' programs: loaded without BTF, attached by perf events.
#![expect(
    unsafe_code,
    reason = "perf_event_open(2) and its ioctls have no safe wrapper that does without a mounted tracefs"
)]

use std::io::{Error, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use aya::programs::TracePoint;
use aya::{Ebpf, EbpfLoader};
use procmon_common::kernel::{ClassicFields, Kind, Settings};

use super::capture::Capture;
use super::options::CaptureOptions;
use super::programs::{ProgramRow, object, patiently};
use super::tracefs::{Tracefs, Tracepoint};

/// Program, tracepoint, and the kind of record that a miss of it loses. Ends first: an end without a start is told by
/// the baseline, a start without an end by nothing.
const PROGRAMS: [ProgramRow; 3] = [
    ("classic_exit", "sched/sched_process_exit", Some(Kind::Exit)),
    ("classic_exec", "sched/sched_process_exec", Some(Kind::Exec)),
    ("classic_fork", "task/task_newtask", Some(Kind::Fork)),
];

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: u64 = 8;
const PERF_EVENT_IOC_SET_BPF: u64 = 0x4004_2408;
const PERF_EVENT_IOC_ENABLE: u64 = 0x2400;
/// `PERF_ATTR_SIZE_VER0`: any kernel accepts it.
const ATTRIBUTES_BYTES: u32 = 64;

/// Programs that are attached for as long as this lives.
pub struct Classic {
    pub capture: Capture,
    _attached: Vec<OwnedFd>,
}

/// Loads and attaches the programs. The reader is woken at each record, whatever `options` say: `/proc` still knows
/// what the record does not, for as long as the process lives.
pub(super) fn start(options: CaptureOptions) -> Result<Classic> {
    let tracefs = Tracefs::open()?;
    let tracepoints = PROGRAMS
        .iter()
        .map(|(_, name, _)| tracefs.tracepoint(name))
        .collect::<Result<Vec<_>>>()?;
    let [exit, exec, fork] = &tracepoints[..] else {
        unreachable!("one for each program")
    };
    let mut ebpf = load(&fields(exit, exec, fork)?, options)?;
    let mut attached = Vec::new();
    for ((program, name, _), tracepoint) in PROGRAMS.iter().zip(&tracepoints) {
        let loaded: &mut TracePoint = ebpf
            .program_mut(program)
            .with_context(|| format!("the object has no program {program}"))?
            .try_into()?;
        patiently(|| loaded.load())
            .with_context(|| format!("the kernel's verifier refused {program}"))?;
        attached.push(
            attach(tracepoint.id, loaded.fd()?.as_fd())
                .with_context(|| format!("cannot attach {program} to {name}"))?,
        );
    }
    Ok(Classic {
        capture: Capture::of(ebpf, &PROGRAMS)?,
        _attached: attached,
    })
}

fn load(fields: &ClassicFields, options: CaptureOptions) -> Result<Ebpf> {
    let settings = Settings {
        io_slow_threshold_ns: 0,
        wakeup_bytes: 0,
    };
    EbpfLoader::new()
        .btf(None)
        .override_global("CLASSIC_FIELDS", bytemuck::bytes_of(fields), true)
        .override_global("SETTINGS", bytemuck::bytes_of(&settings), true)
        .map_max_entries("EVENTS", options.ring_bytes)
        // Block requests are not watched at this level.
        .map_max_entries("REQUESTS", 1)
        .load(&object()?)
        .context("the kernel did not accept the eBPF object")
}

fn fields(exit: &Tracepoint, exec: &Tracepoint, fork: &Tracepoint) -> Result<ClassicFields> {
    let required = |tracepoint: &Tracepoint, field: &str, size: u32| {
        tracepoint
            .offset(field, size)?
            .with_context(|| format!("its tracepoint has no field {field}"))
    };
    Ok(ClassicFields {
        task_newtask_pid: required(fork, "pid", 4)?,
        task_newtask_clone_flags: required(fork, "clone_flags", 8)?,
        sched_process_exec_filename: required(exec, "filename", 4)?,
        sched_process_exit_group_dead: exit.offset("group_dead", 1)?.unwrap_or(0),
    })
}

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER0`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    unused: [u64; 5],
}

/// A program on a tracepoint's perf event runs on every CPU, whichever the event was opened for.
fn attach(tracepoint: u64, program: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: ATTRIBUTES_BYTES,
        config: tracepoint,
        ..Attributes::default()
    };
    let (every_process, first_cpu, no_group) = (-1, 0, -1);
    // SAFETY: `attributes` has the size that it says, and outlives the call.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            every_process,
            first_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if event < 0 {
        return Err(Error::last_os_error());
    }
    let event = i32::try_from(event).map_err(|_| ErrorKind::InvalidData)?;
    // SAFETY: the kernel just handed this descriptor to us.
    let event = unsafe { OwnedFd::from_raw_fd(event) };
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: both requests take a number and touch no memory of ours.
        if unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } < 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok(event)
}

const _: () = assert!(size_of::<Attributes>() == ATTRIBUTES_BYTES as usize);
