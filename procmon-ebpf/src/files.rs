//! Open descriptors and Internet sockets of one task, from its descriptor table: every network namespace at once, and no
//! system call. The table is not typed for the verifier, so it is read by helpers, 64 descriptors at a time; a table that
//! is replaced meanwhile reads as garbage that the caller throws away.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{
    bpf_loop, bpf_probe_read_kernel as raw_probe_read, bpf_seq_write, bpf_sock_from_file,
};
use procmon_common::kernel::{Files, MAX_SOCKETS, NO_FILES, SampleHead, SampleKind, SocketSample};

use crate::maps::{DESCRIPTORS, FILE_WALK, SOCKET_OPERATIONS};
use crate::offsets::{Object, load_object, load_u32, load_u64, offset, probe_u32, probe_u64};
use crate::rss::learn_cpu_offsets;
use crate::snapshot::SeqFile;

const PF_KTHREAD: u32 = 0x0020_0000;
/// Words of 64 descriptors that are walked at most: a million descriptors.
const MAX_WORDS: u32 = 16_384;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_MPTCP: u16 = 262;
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;

/// What the callbacks of the loops share: too much for the stack, and lost to the verifier there.
#[repr(C)]
pub(crate) struct FileWalk {
    open_bits: u64,
    descriptors: u64,
    socket_operations: u64,
    /// Descriptors left in the word, and the first one's number.
    word: u64,
    open_fds: u32,
    internet_fds: u32,
    written: u32,
    pid: u32,
}

#[repr(C)]
struct LoopContext {
    seq: SeqFile,
    walk: *mut FileWalk,
}

#[inline(always)]
pub(crate) unsafe fn walk_files(seq: SeqFile, task: Object, pid: u32) -> Files {
    let none = Files {
        open_fds: NO_FILES,
        internet_fds: 0,
    };
    if load_u32(task, offset!(task_flags)) & PF_KTHREAD != 0 {
        return none;
    }
    let files = load_object(task, offset!(task_files));
    if files.is_null() {
        return none;
    }
    let table = load_object(files, offset!(files_fdt));
    if table.is_null() {
        return none;
    }
    let (Some(walk), Some(operations)) = (FILE_WALK.get_ptr_mut(0), SOCKET_OPERATIONS.get(0))
    else {
        return none;
    };
    *walk = FileWalk {
        open_bits: load_u64(table, offset!(fdtable_open_fds)),
        descriptors: load_u64(table, offset!(fdtable_fd)),
        socket_operations: *operations,
        word: 0,
        open_fds: 0,
        internet_fds: 0,
        written: 0,
        pid,
    };
    let words = load_u32(table, offset!(fdtable_max_fds)).div_ceil(64);
    let mut context = LoopContext { seq, walk };
    bpf_loop(
        if words > MAX_WORDS { MAX_WORDS } else { words },
        walk_word as *mut c_void,
        (&raw mut context).cast(),
        0,
    );
    // An exit frees the table under the walk.
    if load_u64(task, offset!(task_files)) != files as u64 {
        return none;
    }
    let walk = read_volatile(&raw const context.walk);
    Files {
        open_fds: (*walk).open_fds,
        internet_fds: (*walk).internet_fds,
    }
}

#[inline(never)]
extern "C" fn walk_word(index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the context is the one that `walk_files` passed.
    unsafe {
        let walk = (*context).walk;
        let word = probe_u64((*walk).open_bits.wrapping_add(index * 8) as usize);
        if word == 0 {
            return 0;
        }
        let open = word.count_ones();
        (*walk).open_fds += open;
        (*walk).word = word;
        let Some(descriptors) = DESCRIPTORS.get_ptr_mut(0) else {
            return 1;
        };
        // Up to the highest open one; volatile, so that the bound stays visible to the verifier.
        let bytes = (64 - word.leading_zeros()) * 8;
        let bytes = read_volatile(&raw const bytes) & 0x3ff;
        let from = (*walk).descriptors.wrapping_add(index * 512);
        if raw_probe_read(descriptors.cast(), bytes, from as *const c_void) != 0 {
            return 0;
        }
        bpf_loop(open, visit_descriptor as *mut c_void, context.cast(), 0);
    }
    0
}

#[inline(never)]
extern "C" fn visit_descriptor(_index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: as in `walk_word`; the index into the descriptors is masked to their number.
    unsafe {
        let walk = (*context).walk;
        let word = (*walk).word;
        (*walk).word = word & word.wrapping_sub(1);
        let Some(descriptors) = DESCRIPTORS.get_ptr(0) else {
            return 1;
        };
        let file = *descriptors
            .cast::<u64>()
            .add((word.trailing_zeros() & 63) as usize) as usize;
        if file == 0 || probe_u64(file + offset!(file_f_op)) != (*walk).socket_operations {
            return 0;
        }
        let socket = probe_u64(file + offset!(file_private_data)) as usize;
        let sock = probe_u64(socket + offset!(socket_sk)) as usize;
        if sock != 0 {
            visit_socket(context, sock);
        }
    }
    0
}

#[inline(always)]
unsafe fn visit_socket(context: *mut LoopContext, sock: usize) {
    let walk = (*context).walk;
    let Some(sample) = socket_sample(sock, (*walk).pid) else {
        return;
    };
    (*walk).internet_fds += 1;
    if (*walk).written < MAX_SOCKETS {
        (*walk).written += 1;
        write_socket((*context).seq, sample);
    }
}

/// `None` for a socket outside of the Internet families.
#[inline(always)]
unsafe fn socket_sample(sock: usize, pid: u32) -> Option<SocketSample> {
    let family = probe::<u16>(sock + offset!(sock_family));
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    let protocol = probe::<u16>(sock + offset!(sock_protocol));
    let state = probe::<u8>(sock + offset!(sock_state));
    let ports = probe_u32(sock + offset!(sock_ports));
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
unsafe fn write_socket(seq: SeqFile, mut sample: SocketSample) {
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
            *operations = load_u64(file, offset!(file_f_op));
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
        let sock = load_u64(socket, offset!(socket_sk)) as usize;
        let pid = load_u32(task, offset!(task_tgid));
        if sock != 0
            && let Some(sample) = socket_sample(sock, pid)
        {
            let seq = load_object(read_volatile(&raw const (*context).meta), 0);
            write_socket(seq, sample);
        }
    }
    0
}
