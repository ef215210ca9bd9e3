//! Which programs there are, and how they get into the kernel: loaded and attached anew, or found pinned and attached.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, ProgramError, ProgramFd};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader};
use procmon_common::kernel::{Kind, Offsets, Settings};

use super::complete::complete;
use super::iterator::TaskIterator;
use super::pin;
use super::undisturbed::undisturbed;

/// The committed object. `cargo xtask build-ebpf` makes it.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../procmon-ebpf/prebuilt/procmon-ebpf.o");

/// Another object to load in its place, for tests of a rebuilt one.
const OBJECT_VARIABLE: &str = "PROCMON_EBPF_OBJECT";

/// Program, tracepoint, and the kind of record that a miss of it loses.
pub(super) type ProgramRow = (&'static str, &'static str, Option<Kind>);

pub(super) const PROGRAMS: [ProgramRow; 9] = [
    ("process_free", "sched_process_free", Some(Kind::Free)),
    ("process_exit", "sched_process_exit", Some(Kind::Exit)),
    ("process_exec", "sched_process_exec", Some(Kind::Exec)),
    ("process_fork", "sched_process_fork", Some(Kind::Fork)),
    ("block_complete", "block_rq_complete", Some(Kind::SlowIo)),
    ("block_issue", "block_rq_issue", Some(Kind::SlowIo)),
    ("block_insert", "block_rq_insert", Some(Kind::SlowIo)),
    ("oom_victim", "mark_victim", Some(Kind::Oom)),
    // Missed, an exit does not name who sent the signal.
    ("signal_sent", "signal_generate", None),
];

const LOAD_ATTEMPTS: u32 = 40;
const LOAD_PAUSE: Duration = Duration::from_millis(25);

/// What the verifier sees as constants, and what makes one version of the programs another.
pub(super) struct Frozen {
    pub(super) offsets: Offsets,
    pub(super) settings: Settings,
    pub(super) ring_bytes: u32,
}

impl Frozen {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [
            bytemuck::bytes_of(&self.offsets),
            bytemuck::bytes_of(&self.settings),
            &self.ring_bytes.to_ne_bytes(),
        ]
        .concat()
    }
}

/// The object to load.
pub(super) fn object() -> Result<Cow<'static, [u8]>> {
    match std::env::var_os(OBJECT_VARIABLE) {
        Some(path) => std::fs::read(&path)
            .map(Cow::Owned)
            .with_context(|| format!("cannot read {}", path.display())),
        None => Ok(Cow::Borrowed(OBJECT)),
    }
}

/// Makes the maps, or takes those that are pinned in the folder of this very version; loads no program yet.
pub(super) fn load_object(
    object: &[u8],
    frozen: &Frozen,
    pinned_version: Option<&Path>,
) -> Result<Ebpf> {
    let maps = pinned_version.map_or_else(|| Ok(Vec::new()), |path| pin::pinned(path, "map_"))?;
    let mut loader = EbpfLoader::new();
    loader
        .override_global("OFFSETS", bytemuck::bytes_of(&frozen.offsets), true)
        .override_global("SETTINGS", bytemuck::bytes_of(&frozen.settings), true)
        .map_max_entries("EVENTS", frozen.ring_bytes);
    for (name, path) in &maps {
        loader.map_pin_path(name, path.as_path());
    }
    loader
        .load(&complete(object, &frozen.offsets)?)
        .context("the kernel did not accept the eBPF object")
}

/// Loads and attaches each of `PROGRAMS`. They stay attached for as long as `ebpf` lives, or their links are pinned.
pub(super) fn attach_all(ebpf: &mut Ebpf, pin_in: Option<&Path>) -> Result<TaskIterator> {
    let btf = AyaBtf::from_sys_fs().context("cannot read the kernel's BTF")?;
    // First, because the hooks need what it learns.
    let iterator = TaskIterator::new(ebpf, &btf)?;
    for (name, tracepoint, _) in PROGRAMS {
        let program = ebpf
            .program_mut(name)
            .with_context(|| format!("the object has no program {name}"))?;
        let program: &mut BtfTracePoint = program.try_into()?;
        patiently(|| program.load(tracepoint, &btf))
            .with_context(|| format!("the kernel's verifier refused {name}"))?;
        let link = program
            .attach()
            .with_context(|| format!("cannot attach {name} to {tracepoint}"))?;
        if let Some(folder) = pin_in {
            program.pin(folder.join(format!("program_{name}")))?;
            let link: FdLink = program.take_link(link)?.into();
            link.pin(folder.join(format!("link_{name}")))
                .with_context(|| format!("cannot pin the link of {name}"))?;
        }
    }
    Ok(iterator)
}

/// For programs that are attached already: the iterator belongs to each agent, and learns into the maps that are shared.
pub(super) fn load_iterator(ebpf: &mut Ebpf) -> Result<TaskIterator> {
    let btf = AyaBtf::from_sys_fs().context("cannot read the kernel's BTF")?;
    TaskIterator::new(ebpf, &btf)
}

/// Pins the maps that programs and agent share. Read-only data, whose names have dots, belongs to its programs.
pub(super) fn pin_maps(ebpf: &Ebpf, folder: &Path) -> Result<()> {
    for (name, map) in ebpf.maps().filter(|(name, _)| !name.contains('.')) {
        map.pin(folder.join(format!("map_{name}")))
            .with_context(|| format!("cannot pin the map {name}"))?;
    }
    Ok(())
}

/// The programs that were loaded, to ask the kernel about them.
pub(super) fn descriptors(ebpf: &Ebpf, rows: &[ProgramRow]) -> Result<Vec<(Kind, ProgramFd)>> {
    rows.iter()
        .filter_map(|(name, _, kind)| Some((name, (*kind)?)))
        .map(|(name, kind)| {
            let program = ebpf
                .program(name)
                .with_context(|| format!("no program {name}"))?;
            Ok((kind, program.fd()?.try_clone()?))
        })
        .collect()
}

/// The programs that are pinned in the folder of a version.
pub(super) fn pinned_descriptors(version: &Path) -> Result<Vec<(Kind, ProgramFd)>> {
    let kind_of = |name: &str| {
        let row = PROGRAMS.iter().find(|(known, ..)| *known == name);
        row.and_then(|(.., kind)| *kind)
    };
    let programs = pin::pinned(version, "program_")?;
    programs
        .into_iter()
        .filter_map(|(name, path)| Some((kind_of(&name)?, path)))
        .map(|(kind, path)| {
            let program = BtfTracePoint::from_pin(&path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            Ok((kind, program.fd()?.try_clone()?))
        })
        .collect()
}

/// Whether all programs of a pinned version are still attached.
pub(super) fn ensure_attached(version: &Path) -> Result<()> {
    let links = pin::pinned(version, "link_")?;
    for (name, ..) in PROGRAMS {
        ensure!(
            links
                .iter()
                .any(|(link, _): &(String, PathBuf)| link == name),
            "the pinned programs in {} are not complete: {name} is not attached; remove them with `procmon-agent unpin`",
            version.display()
        );
    }
    Ok(())
}

/// A signal that is pending, or a host that stops its processes for a moment, lets the verifier give up with EAGAIN: that
/// says nothing about the program.
pub(super) fn patiently(
    mut load: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), ProgramError> {
    let mut attempts = LOAD_ATTEMPTS;
    loop {
        attempts -= 1;
        match undisturbed(&mut load) {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) && attempts > 0 =>
            {
                std::thread::sleep(LOAD_PAUSE);
            }
            result => return result,
        }
    }
}
