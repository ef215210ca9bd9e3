//! Constants that the agent freezes before the verifier runs, and the loads that use them.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::bpf_probe_read_kernel;
use procmon_common::kernel::{Offsets, Settings};

#[unsafe(no_mangle)]
pub(crate) static OFFSETS: Offsets = unsafe { core::mem::zeroed() };
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = unsafe { core::mem::zeroed() };

/// An offset as the verifier sees it: a known constant.
macro_rules! offset {
    ($field:ident) => {
        core::ptr::read_volatile(&raw const $crate::offsets::OFFSETS.$field) as usize
    };
}
pub(crate) use offset;

/// A setting as the verifier sees it.
macro_rules! setting {
    ($field:ident) => {
        core::ptr::read_volatile(&raw const $crate::offsets::SETTINGS.$field)
    };
}
pub(crate) use setting;

/// Address of a kernel object. Loads through it are fault-safe: the verifier knows its type from BTF.
pub(crate) type Object = *const u8;

/// Loads a field of a kernel object by one instruction, whose offset the agent writes into it before the verifier runs.
macro_rules! load {
    ($width:literal, $object:expr, $field:ident) => {{
        let value: u64;
        core::arch::asm!(
            concat!("{value} = *(", $width, " *)({object} + {site})"),
            value = lateout(reg) value,
            object = in(reg) $object,
            site = const procmon_common::kernel::offset_site(
                core::mem::offset_of!(procmon_common::kernel::Offsets, $field)
            ),
            options(readonly, nostack, preserves_flags),
        );
        value
    }};
}
pub(crate) use load;

macro_rules! load_u64 {
    ($object:expr, $field:ident) => {
        $crate::offsets::load!("u64", $object, $field)
    };
}
pub(crate) use load_u64;

macro_rules! load_u32 {
    ($object:expr, $field:ident) => {
        $crate::offsets::load!("u32", $object, $field) as u32
    };
}
pub(crate) use load_u32;

macro_rules! load_u16 {
    ($object:expr, $field:ident) => {
        $crate::offsets::load!("u16", $object, $field) as u16
    };
}
pub(crate) use load_u16;

macro_rules! load_object {
    ($object:expr, $field:ident) => {
        $crate::offsets::load!("u64", $object, $field) as $crate::offsets::Object
    };
}
pub(crate) use load_object;

/// An address as a number: the verifier lets nobody calculate with a typed pointer, but forgets the type on the way through
/// memory (`spill`, of a map or a record).
#[inline(always)]
pub(crate) unsafe fn number_of(object: Object, spill: *mut u64) -> u64 {
    write_volatile(spill, object as u64);
    read_volatile(spill)
}

/// Loads through a helper: three times the cost, for addresses whose type the verifier does not know.
#[inline(always)]
pub(crate) unsafe fn probe_u64(address: usize) -> u64 {
    bpf_probe_read_kernel(address as *const u64).unwrap_or(0)
}

#[inline(always)]
pub(crate) unsafe fn probe_u32(address: usize) -> u32 {
    bpf_probe_read_kernel(address as *const u32).unwrap_or(0)
}
