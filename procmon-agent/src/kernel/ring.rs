//! The consumer's end of a BPF ring buffer. Reading and giving back are two steps here, because what was read may be given
//! back only when it is safe on disk; aya's own reader gives back each record as soon as it was looked at.
#![expect(
    unsafe_code,
    reason = "the ring is memory that the kernel and this process share"
)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use aya::maps::MapData;

/// `BPF_RINGBUF_HDR_SZ`: the length of a record and two flags, and where it is.
const HEADER_BYTES: usize = 8;
/// The record is not complete yet.
const BUSY: u32 = 1 << 31;
/// The record was given up by its program.
const DISCARDED: u32 = 1 << 30;

/// See the module. Positions count bytes since the ring was made, and never wrap in practice (64 bits).
pub(super) struct Ring {
    map: MapData,
    id: u32,
    bytes: usize,
    /// One page that holds the consumer's position; this process is the only writer.
    consumer: Mapping,
    /// One page that holds the producer's position, then the data, twice in a row so that no record is split.
    producer: Mapping,
    /// Next to be read, and what the kernel was told last.
    read: usize,
    released: usize,
}

impl Ring {
    /// Goes on where the last consumer gave back.
    pub(super) fn open(map: MapData) -> Result<Self> {
        let info = map.info().context("cannot ask the ring for its size")?;
        let (id, bytes) = (info.id(), info.max_entries() as usize);
        let page = rustix::param::page_size();
        ensure!(
            bytes.is_power_of_two() && bytes >= page,
            "a ring of {bytes} bytes"
        );
        let fd = map.fd().as_fd();
        let consumer = Mapping::new(fd, 0, page, libc::PROT_READ | libc::PROT_WRITE)?;
        let producer = Mapping::new(fd, page, page + 2 * bytes, libc::PROT_READ)?;
        let released = consumer.position().load(Ordering::Acquire);
        Ok(Self {
            map,
            id,
            bytes,
            consumer,
            producer,
            read: released,
            released,
        })
    }

    /// The kernel's number of this ring: no other has it during this boot.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Bytes that are written and not given back.
    pub(super) fn used_bytes(&self) -> u64 {
        self.produced().saturating_sub(self.released) as u64
    }

    /// Whether everything that is there was read.
    pub(super) fn is_read(&self) -> bool {
        self.read == self.produced()
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.read as u64
    }

    /// The next complete record, and where it begins.
    pub(super) fn next(&mut self) -> Option<(u64, &[u8])> {
        loop {
            let begin = self.read;
            if begin == self.produced() {
                return None;
            }
            let offset = begin & (self.bytes - 1);
            let header = self.header(offset).load(Ordering::Acquire);
            if header & BUSY != 0 {
                return None;
            }
            let length = (header & !(BUSY | DISCARDED)) as usize;
            self.read = begin + (length + HEADER_BYTES).next_multiple_of(HEADER_BYTES);
            if header & DISCARDED == 0 {
                return Some((begin as u64, self.record(offset + HEADER_BYTES, length)));
            }
        }
    }

    /// Gives back everything before `position`, which was read. Records from before it may be overwritten from now on.
    pub(super) fn release(&mut self, position: u64) {
        let position = (position as usize).min(self.read);
        if position > self.released {
            self.released = position;
            // The kernel reads it with acquire semantics before it reuses the space.
            self.consumer.position().store(position, Ordering::Release);
        }
    }

    pub(super) fn release_all(&mut self) {
        self.release(self.position());
    }

    fn produced(&self) -> usize {
        // The kernel stores it with release semantics after the header of the record.
        self.producer.position().load(Ordering::Acquire)
    }

    fn header(&self, offset: usize) -> &AtomicU32 {
        let at = rustix::param::page_size() + offset;
        assert!(at + size_of::<AtomicU32>() <= self.producer.length && at.is_multiple_of(4));
        // SAFETY: in bounds and aligned by the assertion; the kernel changes headers by atomic stores only.
        unsafe { self.producer.address.add(at).cast::<AtomicU32>().as_ref() }
    }

    fn record(&self, offset: usize, length: usize) -> &[u8] {
        let at = rustix::param::page_size() + offset;
        assert!(length <= self.bytes && at + length <= self.producer.length);
        // SAFETY: in bounds by the assertion. The kernel finished this record before it cleared the busy flag, and does not
        // touch it again before it is given back, which needs `&mut self` and so ends this borrow.
        unsafe {
            std::slice::from_raw_parts(self.producer.address.add(at).as_ptr().cast_const(), length)
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

/// A part of the ring in this process's memory; at its start is a position.
struct Mapping {
    address: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and what is in it is read and written by atomics, or by the rule of
// `Ring::record`; no thread is special to it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, protection: i32) -> Result<Self> {
        // SAFETY: a new shared mapping at an address that the kernel chooses, of a descriptor that is open.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()).context("cannot map the ring");
        }
        let address = NonNull::new(address.cast::<u8>()).context("the ring was mapped at 0")?;
        Ok(Self { address, length })
    }

    fn position(&self) -> &AtomicUsize {
        // SAFETY: a mapping is at least a page, page-aligned, and begins with a word that both sides use atomically.
        unsafe { self.address.cast::<AtomicUsize>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference into it outlives `self`.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}
