//! Open descriptors and Internet sockets of one task, from its descriptor table: every network namespace at once, and no
//! system call. The table is not typed for the verifier, so it is read by helpers, 64 descriptors at a time; a table that
//! is replaced meanwhile reads as garbage that the caller throws away.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel as raw_probe_read};
use procmon_common::kernel::{Files, MAX_SOCKETS, NO_FILES};

use crate::file_memo::{FEW_WORDS, FileMemo, KnownSocket, file_memo};
use crate::maps::{DESCRIPTORS, FILE_WALK, SOCKET_OPERATIONS};
use crate::offsets::{Object, load_object, load_u32, load_u64, offset, probe_u64};
use crate::snapshot::SeqFile;
use crate::sockets::{read_address, sample_of, socket_protocol, write_socket};

/// That are read together.
pub(crate) const DESCRIPTOR_SLOTS: usize = FEW_WORDS * 64;
const PF_KTHREAD: u32 = 0x0020_0000;
/// Words of 64 descriptors that are walked at most: a million descriptors.
const MAX_WORDS: u32 = 16_384;

/// What the callbacks of the loops share: too much for the stack, and lost to the verifier there.
#[repr(C)]
pub(crate) struct FileWalk {
    open_bits: u64,
    descriptors: u64,
    socket_operations: u64,
    /// Descriptors left in the word, and the first one's number.
    word: u64,
    /// The first descriptor that was read with it.
    first: u64,
    files_hash: u64,
    open_fds: u32,
    internet_fds: u32,
    written: u32,
    pid: u32,
}

#[repr(C)]
struct LoopContext {
    seq: SeqFile,
    walk: *mut FileWalk,
    memo: *mut FileMemo,
}

#[inline(always)]
pub(crate) unsafe fn walk_files(seq: SeqFile, task: Object, pid: u32) -> Files {
    let none = Files {
        open_fds: NO_FILES,
        internet_fds: 0,
    };
    if load_u32!(task, task_flags) & PF_KTHREAD != 0 {
        return none;
    }
    let files = load_object!(task, task_files);
    if files.is_null() {
        return none;
    }
    let Some(memo) = file_memo(pid) else {
        return none;
    };
    let slept_switches = slept_switches(task, files);
    let start_boot_ns = load_u64!(task, task_start_boottime);
    if let Some(switches) = slept_switches
        && (*memo).holds_asleep(start_boot_ns, switches)
    {
        write_known_sockets(seq, memo, pid);
        return (*memo).files;
    }
    let table = load_object!(files, files_fdt);
    if table.is_null() {
        return none;
    }
    let (Some(walk), Some(operations)) = (FILE_WALK.get_ptr_mut(0), SOCKET_OPERATIONS.get(0))
    else {
        return none;
    };
    *walk = FileWalk {
        open_bits: load_u64!(table, fdtable_open_fds),
        descriptors: load_u64!(table, fdtable_fd),
        socket_operations: *operations,
        word: 0,
        first: 0,
        files_hash: 0,
        open_fds: 0,
        internet_fds: 0,
        written: 0,
        pid,
    };
    let words = load_u32!(table, fdtable_max_fds).div_ceil(64);
    let mut context = LoopContext { seq, walk, memo };
    if words <= FEW_WORDS as u32 {
        walk_small(&mut context, words, start_boot_ns);
    } else {
        (*memo).forget();
        bpf_loop(
            if words > MAX_WORDS { MAX_WORDS } else { words },
            walk_word as *mut c_void,
            (&raw mut context).cast(),
            0,
        );
    }
    // An exit frees the table under the walk.
    if load_u64!(task, task_files) != files as u64 {
        return none;
    }
    let walk = read_volatile(&raw const context.walk);
    let walked = Files {
        open_fds: (*walk).open_fds,
        internet_fds: (*walk).internet_fds,
    };
    (*memo).walked(walked, slept_switches);
    walked
}

/// How often a task was taken off its CPU, if it sleeps and nobody shares its files: they are the same ones until it has run.
#[inline(always)]
unsafe fn slept_switches(task: Object, files: Object) -> Option<u64> {
    let signal = load_object!(task, task_signal);
    let is_alone = load_u32!(files, files_count) == 1 && load_u32!(signal, signal_nr_threads) == 1;
    let sleeps = load_u32!(task, task_state) != 0;
    (is_alone && sleeps)
        .then(|| load_u64!(task, task_nvcsw).wrapping_add(load_u64!(task, task_nivcsw)))
}

/// The sockets of a process that has slept since they were remembered: it holds them still, but they may have another state.
#[inline(always)]
unsafe fn write_known_sockets(seq: SeqFile, memo: *mut FileMemo, pid: u32) {
    let mut number = 0;
    while let Some(known) = (*memo).known(number) {
        let (sock, protocol) = ((*known).sock as usize, (*known).protocol as u16);
        if let Some(sample) = sample_of(read_address(sock), sock, protocol, pid) {
            write_socket(seq, sample);
        }
        number += 1;
    }
}

#[inline(always)]
unsafe fn walk_small(context: &mut LoopContext, words: u32, start_boot_ns: u64) {
    let walk = context.walk;
    let mut bits = [0_u64; FEW_WORDS];
    let open_bits = (*walk).open_bits as usize;
    if words <= 1 {
        bits[0] = probe_u64(open_bits);
    } else if words as usize == FEW_WORDS {
        bits = bpf_probe_read_kernel(open_bits as *const [u64; FEW_WORDS]).unwrap_or_default();
    } else {
        bits[0] = probe_u64(open_bits);
        bits[1] = probe_u64(open_bits + 8);
        if words > 2 {
            bits[2] = probe_u64(open_bits + 16);
        }
    }
    let mut word = 0;
    while word < FEW_WORDS {
        if bits[word] != 0 {
            hash_word(context, word, bits[word]);
        }
        word += 1;
    }
    let memo = context.memo;
    if (*memo).holds(start_boot_ns, (*walk).files_hash) {
        let internet_bits = (*memo).internet_bits;
        visit_words(context, &internet_bits);
        // A file in the memory of another one, at the same descriptor.
        if (*walk).internet_fds != (*memo).files.internet_fds {
            (*memo).forget();
        }
    } else {
        (*memo).begin(start_boot_ns, (*walk).files_hash, (*walk).pid);
        visit_words(context, &bits);
    }
}

#[inline(always)]
unsafe fn visit_words(context: &mut LoopContext, bits: &[u64; FEW_WORDS]) {
    let mut word = 0;
    while word < FEW_WORDS {
        if bits[word] != 0 {
            (*context.walk).word = bits[word];
            (*context.walk).first = word as u64 * 64;
            visit_word(context, bits[word]);
        }
        word += 1;
    }
}

/// Reads the descriptors of one word, and adds them to the hash.
#[inline(always)]
unsafe fn hash_word(context: &mut LoopContext, word: usize, bits: u64) {
    let walk = context.walk;
    let Some(descriptors) = DESCRIPTORS.get_ptr_mut(0) else {
        return;
    };
    (*walk).open_fds += bits.count_ones();
    (*walk).first = word as u64 * 64;
    let descriptors = descriptors.cast::<u64>().add(word * 64);
    let slots = read_descriptors(descriptors, (*walk).descriptors, word as u64, bits);
    (*walk).files_hash = hash_descriptors(word as u64 * 64, slots as u64, (*walk).files_hash);
}

/// Global, so that the verifier walks its loop once and not for each call. `bpf_loop` costs five times as much per turn.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hash_descriptors(first: u64, slots: u64, hash: u64) -> u64 {
    let Some(descriptors) = DESCRIPTORS.get_ptr(0) else {
        return hash;
    };
    let mut hash = hash;
    let mut slot = 0;
    while slot < 64 && slot < slots {
        let at = first.wrapping_add(slot);
        // SAFETY: the index is masked to the length of the array.
        let file = unsafe {
            *descriptors
                .cast::<u64>()
                .add(read_volatile(&raw const at) as usize & (DESCRIPTOR_SLOTS - 1))
        };
        hash = (hash ^ file).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        slot += 1;
    }
    hash
}

/// Reads the descriptors of one word up to the highest open one; how many that are, or 0.
#[inline(always)]
unsafe fn read_descriptors(into: *mut u64, array: u64, word: u64, bits: u64) -> usize {
    let slots = 64 - bits.leading_zeros();
    let bytes = slots * 8;
    // Volatile, so that the bound stays visible to the verifier.
    let bytes = read_volatile(&raw const bytes) & 0x3ff;
    let bytes = if bytes > 512 { 512 } else { bytes };
    let from = array.wrapping_add(word * 512) as *const c_void;
    if raw_probe_read(into.cast(), bytes, from) == 0 {
        slots as usize
    } else {
        0
    }
}

#[inline(always)]
unsafe fn visit_word(context: *mut LoopContext, bits: u64) {
    if bits & bits.wrapping_sub(1) == 0 {
        // A listener's only socket: a call costs less than a loop of one.
        visit_descriptor(0, context);
        return;
    }
    bpf_loop(
        bits.count_ones(),
        visit_descriptor as *mut c_void,
        context.cast(),
        0,
    );
}

#[inline(never)]
extern "C" fn walk_word(index: u64, context: *mut LoopContext) -> i64 {
    // SAFETY: the context is the one that `walk_files` passed.
    unsafe {
        let walk = (*context).walk;
        let bits = probe_u64((*walk).open_bits.wrapping_add(index * 8) as usize);
        let Some(descriptors) = DESCRIPTORS.get_ptr_mut(0) else {
            return 1;
        };
        if bits != 0 && read_descriptors(descriptors.cast(), (*walk).descriptors, index, bits) > 0 {
            (*walk).open_fds += bits.count_ones();
            (*walk).word = bits;
            visit_word(context, bits);
        }
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
        let bit = word & word.wrapping_neg();
        let slot = (*walk).first as usize + word.trailing_zeros() as usize;
        let Some(descriptors) = DESCRIPTORS.get_ptr(0) else {
            return 1;
        };
        let file = *descriptors
            .cast::<u64>()
            .add(read_volatile(&raw const slot) & (DESCRIPTOR_SLOTS - 1))
            as usize;
        if file != 0 && !visit_known(context, file as u64) {
            visit_file(context, file, bit);
        }
    }
    0
}

/// A socket that the last full walk saw: it is that one still if the socket behind the file says so itself.
#[inline(always)]
unsafe fn visit_known(context: *mut LoopContext, file: u64) -> bool {
    if offset!(socket_file) == 0 {
        return false;
    }
    let walk = (*context).walk;
    let Some(known) = (*(*context).memo).known((*walk).internet_fds) else {
        return false;
    };
    let Ok([socket_file, sock]) =
        bpf_probe_read_kernel(((*known).socket as usize + offset!(socket_file)) as *const [u64; 2])
    else {
        return false;
    };
    if file != socket_file || sock != (*known).sock || sock == 0 {
        return false;
    }
    write_visited(context, sock as usize, (*known).protocol as u16);
    true
}

#[inline(always)]
unsafe fn visit_file(context: *mut LoopContext, file: usize, bit: u64) {
    let walk = (*context).walk;
    if probe_u64(file + offset!(file_f_op)) != (*walk).socket_operations {
        return;
    }
    let socket = probe_u64(file + offset!(file_private_data)) as usize;
    let sock = probe_u64(socket + offset!(socket_sk)) as usize;
    if sock == 0 {
        return;
    }
    let number = (*walk).internet_fds;
    let protocol = socket_protocol(sock);
    if write_visited(context, sock, protocol) {
        let known = KnownSocket {
            socket: socket as u64,
            sock: sock as u64,
            protocol: u64::from(protocol),
        };
        (*(*context).memo).learn(number, (*walk).first, bit, known);
    }
}

/// False for a socket outside of the Internet families.
#[inline(always)]
unsafe fn write_visited(context: *mut LoopContext, sock: usize, protocol: u16) -> bool {
    let walk = (*context).walk;
    let Some(sample) = sample_of(read_address(sock), sock, protocol, (*walk).pid) else {
        return false;
    };
    (*walk).internet_fds += 1;
    if (*walk).written < MAX_SOCKETS {
        (*walk).written += 1;
        write_socket((*context).seq, sample);
    }
    true
}
