//! Ids of kernel objects that are dear to read and that many tasks share: found by the object's address. An object keeps its
//! id for life, and its memory is used again a grace period after its last task left at the earliest, which is later than
//! a memo is believed.

use core::ptr::write_volatile;

use aya_ebpf::helpers::generated::bpf_jiffies64;

use crate::maps::MEMOS;
use crate::offsets::{Object, number_of};

const SLOTS: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct Memo {
    address: u64,
    jiffies: u64,
    id: u64,
}

#[repr(C)]
pub(crate) struct Memos {
    spill: u64,
    slots: [Memo; SLOTS],
}

/// What `read` says of an object, or what it said in this jiffy or the last.
#[inline(always)]
pub(crate) unsafe fn remembered(object: Object, read: impl FnOnce() -> u64) -> u64 {
    let Some(memos) = MEMOS.get_ptr_mut(0) else {
        return read();
    };
    remembered_at(memos, number_of(object, &raw mut (*memos).spill), read)
}

/// The same for an address that is a number already.
#[inline(always)]
pub(crate) unsafe fn remembered_of(address: u64, read: impl FnOnce() -> u64) -> u64 {
    match MEMOS.get_ptr_mut(0) {
        Some(memos) => remembered_at(memos, address, read),
        None => read(),
    }
}

#[inline(always)]
unsafe fn remembered_at(memos: *mut Memos, address: u64, read: impl FnOnce() -> u64) -> u64 {
    let slot = (address >> 7 ^ address >> 13) as usize & (SLOTS - 1);
    let memo = &raw mut (*memos).slots[slot];
    let now = bpf_jiffies64();
    if (*memo).address == address && now.wrapping_sub((*memo).jiffies) <= 1 {
        return (*memo).id;
    }
    let id = read();
    // Another program may interrupt this one on its CPU: it finds no memo that is half written.
    write_volatile(&raw mut (*memo).address, 0);
    write_volatile(&raw mut (*memo).jiffies, now);
    write_volatile(&raw mut (*memo).id, id);
    write_volatile(&raw mut (*memo).address, address);
    id
}
