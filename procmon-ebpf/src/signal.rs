//! `signal_generate`: who sends a signal that may end a process. Kept in a table until the exit, whose record then names the
//! sender: no record of its own, and `current` is the sender only here.

use aya_ebpf::helpers::bpf_get_current_task_btf;
use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use procmon_common::kernel::{Killer, SentSignal};

use crate::maps::SENT_SIGNALS;
use crate::offsets::{Object, load_object, load_u32, load_u64, offset, probe_u32};
use crate::task::{write_comm, zero};

/// `TRACE_SIGNAL_DELIVERED`: queued, and not ignored.
const DELIVERED: u64 = 0;
/// `SEND_SIG_NOINFO`: sent on behalf of `current`. `SEND_SIG_PRIV`, 1, is the kernel's own.
const NO_INFO: usize = 0;
const SI_USER: i32 = 0;
const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;
/// By default ignored, or stop and continue: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH.
const HARMLESS: u64 = 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 28;

#[btf_tracepoint(function = "signal_generate")]
pub(crate) fn signal_sent(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments are the signal, its info, the target thread, whether it is for the group, and the result.
    unsafe {
        let arguments = ctx.as_ptr().cast::<u64>();
        let signal = *arguments as u32;
        if HARMLESS >> (signal & 63) & 1 != 0 || *arguments.add(4) as u32 as u64 != DELIVERED {
            return 0;
        }
        let target = *arguments.add(2).cast::<Object>();
        let sender = load_object!(bpf_get_current_task_btf() as Object, task_group_leader);
        let pid = load_u32!(target, task_tgid);
        if is_sent_by_a_process(
            *arguments.add(1) as usize,
            load_u32!(sender, task_tgid) == pid,
        ) {
            note(pid, signal, target, sender);
        }
    }
    0
}

#[inline(always)]
unsafe fn is_sent_by_a_process(info: usize, to_itself: bool) -> bool {
    if info <= 1 {
        // What a process gets for its own fault (SIGPIPE) looks like this too.
        return info == NO_INFO && !to_itself;
    }
    let code = probe_u32(info + offset!(siginfo_code)) as i32;
    code == SI_USER || code == SI_QUEUE || code == SI_TKILL
}

#[inline(always)]
unsafe fn note(pid: u32, signal: u32, target: Object, sender: Object) {
    let target_leader = load_object!(target, task_group_leader);
    let cred = load_object!(sender, task_real_cred);
    let mut noted = core::mem::MaybeUninit::<SentSignal>::uninit();
    let note = noted.as_mut_ptr();
    (*note).target_start_boot_ns = load_u64!(target_leader, task_start_boottime);
    (*note).signal = signal;
    (*note).padding = 0;
    let killer = &raw mut (*note).killer;
    (*killer).start_boot_ns = load_u64!(sender, task_start_boottime);
    (*killer).pid = load_u32!(sender, task_tgid);
    (*killer).uid = load_u32!(cred, cred_uid);
    write_comm(&raw mut (*killer).comm, sender);
    // Full: the oldest goes, and its exit has no sender.
    let _ = SENT_SIGNALS.insert(pid, &*note, 0);
}

/// Takes out who sent the signal that ends this thread group.
#[inline(always)]
pub(crate) unsafe fn take_killer(killer: *mut Killer, pid: u32, start_boot_ns: u64, signal: u32) {
    zero(killer);
    if signal == 0 {
        return;
    }
    let Some(sent) = SENT_SIGNALS.get_ptr(pid) else {
        return;
    };
    if (*sent).signal == signal && (*sent).target_start_boot_ns == start_boot_ns {
        *killer = (*sent).killer;
    }
    let _ = SENT_SIGNALS.remove(pid);
}
