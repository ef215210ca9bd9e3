//! What the last full walk found of a process with a small descriptor table: which descriptors are Internet sockets, and
//! where the first of them are. It holds while the files behind all descriptors are the same ones, so that these need not be
//! touched, which is most of the cost of a walk; and while the process sleeps on, not even those need be read. A file's memory
//! may be used again for a socket at the same descriptor: therefore not for ever.

use core::ptr::read_volatile;

use procmon_common::kernel::Files;

use crate::maps::FILE_MEMOS;

/// Words of a small table: what a shell's children inherit has that many.
pub(crate) const FEW_WORDS: usize = 4;
/// Walks that a memo spares at most.
const MEMO_USES: u64 = 9;
/// By the low bits of the pid. Two processes with the same ones take it from each other, and are walked in full.
pub(crate) const FILE_MEMO_SLOTS: u32 = 16_384;
/// Sockets that are remembered with their addresses.
const KNOWN_SOCKETS: u32 = 2;

/// A `struct socket`, its `struct sock`, and the protocol of that.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct KnownSocket {
    pub(crate) socket: u64,
    pub(crate) sock: u64,
    pub(crate) protocol: u64,
}

/// Of no process.
const NEVER: u64 = u64::MAX;

#[repr(C)]
pub(crate) struct FileMemo {
    start_boot_ns: u64,
    files_hash: u64,
    uses: u64,
    pub(crate) internet_bits: [u64; FEW_WORDS],
    sockets: [KnownSocket; KNOWN_SOCKETS as usize],
    /// Context switches when it was last walked, if it slept then: what still sleeps after as many has not run since.
    slept_switches: u64,
    pub(crate) files: Files,
}

#[inline(always)]
pub(crate) fn file_memo(pid: u32) -> Option<*mut FileMemo> {
    FILE_MEMOS.get_ptr_mut(pid & (FILE_MEMO_SLOTS - 1))
}

impl FileMemo {
    /// Whether it is of this process with these files, and may be used once more.
    #[inline(always)]
    pub(crate) fn holds(&mut self, start_boot_ns: u64, files_hash: u64) -> bool {
        let holds = self.start_boot_ns == start_boot_ns
            && self.files_hash == files_hash
            && self.uses < MEMO_USES;
        self.uses += u64::from(holds);
        holds
    }

    /// Whether this process has not run since it was walked, all its sockets are remembered, and the memo may be used once
    /// more.
    #[inline(always)]
    pub(crate) fn holds_asleep(&mut self, start_boot_ns: u64, switches: u64) -> bool {
        let holds = self.start_boot_ns == start_boot_ns
            && self.slept_switches == switches
            && self.files.internet_fds <= KNOWN_SOCKETS
            && self.uses < MEMO_USES;
        self.uses += u64::from(holds);
        holds
    }

    /// A walk is over. `None`: it ran meanwhile, or others share its files.
    #[inline(always)]
    pub(crate) fn walked(&mut self, files: Files, slept_switches: Option<u64>) {
        self.files = files;
        self.slept_switches = slept_switches.unwrap_or(NEVER);
    }

    /// A full walk begins.
    #[inline(always)]
    pub(crate) fn begin(&mut self, start_boot_ns: u64, files_hash: u64, pid: u32) {
        self.forget();
        self.start_boot_ns = start_boot_ns;
        self.files_hash = files_hash;
        // Spreads the next full walks over several passes.
        self.uses = u64::from(pid) % MEMO_USES;
    }

    /// Nothing starts at the boot itself.
    #[inline(always)]
    pub(crate) fn forget(&mut self) {
        self.start_boot_ns = 0;
        self.internet_bits = [0; FEW_WORDS];
        let mut number = 0;
        while number < KNOWN_SOCKETS as usize {
            self.sockets[number].socket = 0;
            number += 1;
        }
    }

    /// The Internet socket of that number, in the order of descriptors.
    #[inline(always)]
    pub(crate) fn known(&self, number: u32) -> Option<*const KnownSocket> {
        if number >= KNOWN_SOCKETS {
            return None;
        }
        let known = &raw const self.sockets[slot_of(number)];
        // SAFETY: the index is below the length of the array.
        (unsafe { (*known).socket } != 0).then_some(known)
    }

    /// Descriptor `first` + the number of `bit` is an Internet socket.
    #[inline(always)]
    pub(crate) fn learn(&mut self, number: u32, first: u64, bit: u64, known: KnownSocket) {
        self.internet_bits[(first / 64) as usize & (FEW_WORDS - 1)] |= bit;
        if number < KNOWN_SOCKETS {
            self.sockets[slot_of(number)] = known;
        }
    }
}

/// Masked where the verifier sees it: 6.1 forgets what a comparison told of a register that was spilled meanwhile, and the
/// compiler leaves out a mask that the comparison made needless.
#[inline(always)]
fn slot_of(number: u32) -> usize {
    // SAFETY: a local variable.
    unsafe { read_volatile(&raw const number) as usize & (KNOWN_SOCKETS as usize - 1) }
}
