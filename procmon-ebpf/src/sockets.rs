//! Internet sockets: what a snapshot tells of one, and the passes over the files of one process.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use procmon_common::kernel::{SampleHead, SampleKind, SocketSample};

use crate::maps::SOCKET_OPERATIONS;
use crate::offsets::{Object, load_u32, load_u64, offset, probe_u32, probe_u64};
use crate::rss::learn_cpu_offsets;
use crate::snapshot::SeqFile;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_MPTCP: u16 = 262;
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;

/// Ports, family and state of a socket.
pub(crate) type Address = (u32, u16, u8);

/// `None` for a socket outside of the Internet families.
#[inline(always)]
pub(crate) unsafe fn sample_of(
    (ports, family, state): Address,
    sock: usize,
    protocol: u16,
    pid: u32,
) -> Option<SocketSample> {
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    let (peer, port) = (ports as u16, (ports >> 16) as u16);
    let listening = match protocol {
        IPPROTO_TCP | IPPROTO_MPTCP => state == TCP_LISTEN,
        IPPROTO_UDP => peer == 0 && port != 0 && state == TCP_CLOSE,
        _ => false,
    };
    Some(SocketSample {
        head: SampleHead {
            kind: SampleKind::Socket as u16,
            len: size_of::<SocketSample>() as u16,
            pid,
        },
        socket: sock as u64,
        port,
        protocol,
        listening: listening as u16,
        padding: 0,
    })
}

#[inline(always)]
pub(crate) unsafe fn socket_protocol(sock: usize) -> u16 {
    probe::<u16>(sock + offset!(sock_protocol))
}

/// Every supported kernel has these side by side: one read where that is so.
#[inline(always)]
pub(crate) unsafe fn read_address(sock: usize) -> Address {
    let at = offset!(sock_ports);
    if offset!(sock_family) == at + 4 && offset!(sock_state) == at + 6 {
        let together = probe_u64(sock + at);
        return (
            together as u32,
            (together >> 32) as u16,
            (together >> 48) as u8,
        );
    }
    (
        probe_u32(sock + at),
        probe::<u16>(sock + offset!(sock_family)),
        probe::<u8>(sock + offset!(sock_state)),
    )
}

#[inline(always)]
pub(crate) unsafe fn write_socket(seq: SeqFile, mut sample: SocketSample) {
    bpf_seq_write(
        seq.cast_mut().cast(),
        (&raw mut sample).cast::<c_void>(),
        size_of::<SocketSample>() as u32,
    );
}

#[inline(always)]
unsafe fn probe<T: Copy + Default>(address: usize) -> T {
    bpf_probe_read_kernel(address as *const T).unwrap_or_default()
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub(crate) struct FileContext {
    meta: Object,
    task: Object,
    fd: u64,
    file: Object,
}

/// Run once over the agent's own files, among them a socket: learns what no symbol table needs to tell, the `f_op` of
/// sockets and where per-CPU memory is.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn learn(context: *const FileContext) -> i32 {
    // SAFETY: the context is the kernel's; `file` is null at the end of the pass.
    unsafe {
        let file = read_volatile(&raw const (*context).file);
        if file.is_null() {
            learn_cpu_offsets();
        } else if !bpf_sock_from_file(file.cast_mut().cast()).is_null()
            && let Some(operations) = SOCKET_OPERATIONS.get_ptr_mut(0)
        {
            *operations = load_u64!(file, file_f_op);
        }
    }
    0
}

/// Every Internet socket of one task, for those that have more than one record of the pass over all tasks may hold.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn sockets_of_task(context: *const FileContext) -> i32 {
    // SAFETY: the context is the kernel's; `task` and `file` are null at the end of the pass.
    unsafe {
        let task = read_volatile(&raw const (*context).task);
        let file = read_volatile(&raw const (*context).file);
        if task.is_null() || file.is_null() {
            return 0;
        }
        let socket = bpf_sock_from_file(file.cast_mut().cast()) as Object;
        if socket.is_null() {
            return 0;
        }
        let sock = load_u64!(socket, socket_sk) as usize;
        let pid = load_u32!(task, task_tgid);
        if sock != 0
            && let Some(sample) = sample_of(read_address(sock), sock, socket_protocol(sock), pid)
        {
            let seq = read_volatile(read_volatile(&raw const (*context).meta).cast::<Object>());
            write_socket(seq, sample);
        }
    }
    0
}
