//! Reads what the iterator programs write: a pass over all tasks is one file that is opened and read to its end.
#![expect(
    unsafe_code,
    reason = "two raw bpf(2) calls: aya makes iterator links that can be read only once, and none with a filter"
)]

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use aya::programs::{Iter, ProgramError};
use aya::{Btf as AyaBtf, Ebpf};

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;
/// The kernel hands out at most its own buffer of 8 pages per read.
const READ_BYTES: usize = 64 << 10;

/// The programs, loaded, and the link that makes a pass.
pub struct TaskIterator {
    snapshot: OwnedFd,
    /// Program of `iter/task_file`, linked anew for each process it is asked for.
    sockets: OwnedFd,
    buffer: Vec<u8>,
}

#[repr(C)]
struct LinkCreate {
    program_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// `union bpf_iter_link_info`, of tasks: all of them, or the threads of one process.
#[repr(C)]
#[derive(Default)]
struct TaskFilter {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    padding: u32,
}

impl TaskIterator {
    /// Loads the iterator programs of an object, and lets them learn what sockets and per-CPU memory look like.
    pub(super) fn new(ebpf: &mut Ebpf, btf: &AyaBtf) -> Result<Self> {
        let learn = load(ebpf, "learn", "task_file", btf)?;
        let sockets = load(ebpf, "sockets_of_task", "task_file", btf)?;
        let snapshot = load(ebpf, "snapshot", "task", btf)?;
        let mut iterator = Self {
            snapshot: link(snapshot.as_fd(), None).context("cannot link the task iterator")?,
            sockets,
            buffer: vec![0; READ_BYTES],
        };
        iterator.learn(learn.as_fd())?;
        Ok(iterator)
    }

    /// Hands over the bytes of a pass over all tasks, in pieces of whole records.
    pub fn tasks(&mut self, take: impl FnMut(&[u8])) -> Result<()> {
        let pass = open(self.snapshot.as_fd()).context("cannot start a pass over all tasks")?;
        read(pass, &mut self.buffer, take).context("a pass over all tasks failed")
    }

    /// The same of the sockets of one process, how many they may be.
    pub fn sockets(&mut self, pid: u32, take: impl FnMut(&[u8])) -> Result<()> {
        let link =
            link(self.sockets.as_fd(), Some(pid)).context("cannot link the file iterator")?;
        let pass = open(link.as_fd()).context("cannot start a pass over files")?;
        read(pass, &mut self.buffer, take).context("a pass over files failed")
    }

    fn learn(&mut self, program: BorrowedFd<'_>) -> Result<()> {
        // The pass over our own files meets it.
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0")
            .or_else(|_| std::net::UdpSocket::bind("[::1]:0"))
            .context("cannot open a socket of our own, by which others are recognised")?;
        let link =
            link(program, Some(std::process::id())).context("cannot link the file iterator")?;
        let pass = open(link.as_fd()).context("cannot start a pass over files")?;
        read(pass, &mut self.buffer, |_| {}).context("a pass over files failed")
    }
}

fn load(ebpf: &mut Ebpf, name: &str, target: &str, btf: &AyaBtf) -> Result<OwnedFd> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    let program: &mut Iter = program.try_into()?;
    super::programs::patiently(|| match program.load(target, btf) {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result,
    })
    .with_context(|| format!("the kernel's verifier refused {name}"))?;
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}

fn link(program: BorrowedFd<'_>, pid: Option<u32>) -> std::io::Result<OwnedFd> {
    let filter = TaskFilter {
        pid: pid.unwrap_or(0),
        ..TaskFilter::default()
    };
    let attributes = LinkCreate {
        program_fd: program.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: if pid.is_some() {
            &raw const filter as u64
        } else {
            0
        },
        iter_info_len: if pid.is_some() {
            size_of::<TaskFilter>() as u32
        } else {
            0
        },
        padding: 0,
    };
    // SAFETY: `attributes` and `filter` outlive the call and have the lengths that are passed.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>(),
        )
    };
    owned(fd)
}

fn open(link: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let attributes = [link.as_raw_fd() as u32, 0];
    // SAFETY: `attributes` outlives the call and has the length that is passed.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_ITER_CREATE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    owned(fd)
}

fn owned(fd: libc::c_long) -> std::io::Result<OwnedFd> {
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just handed this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn read(pass: OwnedFd, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut pass = std::fs::File::from(pass);
    loop {
        match pass.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => take(&buffer[..bytes]),
            // The kernel asks to be read again: after a long stretch without output, or a signal.
            Err(error)
                if error.kind() == std::io::ErrorKind::Interrupted
                    || error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
