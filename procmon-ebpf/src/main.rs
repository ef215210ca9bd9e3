//! The programs that procmon loads into the kernel: one hook per file, no policy. They run unchanged on Linux 6.1 and
//! later because every offset is a frozen constant that the agent resolved from the running kernel's BTF (`offsets`).
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(
    internal_features,
    reason = "the target has no compare-and-swap, so the library offers no atomic addition, which it does have"
)]
#![expect(
    unsafe_code,
    reason = "every load from kernel memory is unsafe; the verifier proves each of them"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "the functions here are sequences of kernel loads, each bounded by the same verifier proof"
)]

mod block;
mod cgroup;
mod classic;
mod emit;
mod exec;
mod exit;
mod file_memo;
mod files;
mod fork;
mod latency;
mod log;
mod maps;
mod memo;
mod offsets;
mod oom;
mod rss;
mod signal;
mod snapshot;
mod sockets;
mod task;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier rejects any program that could get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
