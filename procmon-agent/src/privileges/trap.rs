//! What happens to a system call that the filter does not allow: it fails with EPERM as far as the caller can tell, and is
//! counted, so that the log and the metrics can name it.
#![expect(
    unsafe_code,
    reason = "a handler of SIGSYS is installed, and answers in the registers of the caller"
)]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// System calls have numbers below this on every architecture that is supported.
const SLOTS: usize = 512;
/// Those of which the log has said that they were denied.
static LOGGED: [AtomicBool; SLOTS] = [const { AtomicBool::new(false) }; SLOTS];
/// What a program may take for "this kernel is older": then libraries fall back on calls that are allowed.
const FIRST_UNKNOWN: usize = 463;

static DENIED: [AtomicU32; SLOTS] = [const { AtomicU32::new(0) }; SLOTS];

/// How often a system call was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    pub number: usize,
    pub count: u32,
}

/// What was denied since the agent started. The last possible number stands for all greater ones.
pub fn denied() -> Vec<Denied> {
    DENIED
        .iter()
        .enumerate()
        .map(|(number, count)| Denied {
            number,
            count: count.load(Ordering::Relaxed),
        })
        .filter(|denied| denied.count > 0)
        .collect()
}

/// Says of each system call once that it was denied.
pub(crate) fn log_denied() {
    for Denied { number, .. } in denied() {
        if !LOGGED[number].swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the filter denied system call {number} (see `ausyscall {number}`); the agent goes on without. Please \
                 report it: procmon does not expect it, and hardening: false allows it"
            );
        }
    }
}

fn answer(number: usize) -> i32 {
    if let Some(count) = DENIED.get(number.min(SLOTS - 1)) {
        count.fetch_add(1, Ordering::Relaxed);
    }
    if number >= FIRST_UNKNOWN {
        libc::ENOSYS
    } else {
        libc::EPERM
    }
}

/// Called by the kernel in the thread whose call was denied, which is otherwise in no handler of ours.
#[cfg(target_arch = "x86_64")]
extern "C" fn on_denied(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: SA_SIGINFO makes the kernel pass a ucontext_t, which is ours until the handler returns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let result = &mut registers[libc::REG_RAX as usize];
    // The kernel has put the number of the call back to where its result goes.
    *result = -i64::from(answer(*result as usize));
}

/// As above.
#[cfg(target_arch = "aarch64")]
extern "C" fn on_denied(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: SA_SIGINFO makes the kernel pass a ucontext_t, which is ours until the handler returns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.regs };
    // The number of a call is in x8, its result in x0.
    let number = registers[8] as usize;
    registers[0] = -i64::from(answer(number)) as u64;
}

/// Makes denied calls fail instead of killing the agent.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn install() -> std::io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_denied as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the action is initialised, and the handler touches nothing but atomics and its context.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn install() -> std::io::Result<()> {
    Err(std::io::Error::other("not supported on this architecture"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(answer(libc::SYS_chroot as usize), libc::EPERM);
        assert_eq!(answer(100_000), libc::ENOSYS);
        let chroot = Denied {
            number: libc::SYS_chroot as usize,
            count: 1,
        };
        let beyond = Denied {
            number: SLOTS - 1,
            count: 1,
        };
        assert_eq!(denied(), [chroot, beyond]);
    }
}
