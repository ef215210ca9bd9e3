//! Work that a signal must not cut short: the verifier gives up with EAGAIN when one is pending.
#![expect(
    unsafe_code,
    reason = "the mask of signals of a thread has no safe wrapper"
)]

use std::mem::MaybeUninit;

/// Keeps signals of this thread waiting until `work` is done; other threads get them meanwhile.
pub(super) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::uninit();
    // SAFETY: `all` is filled before it is read, and `before` is written where the call succeeds.
    let is_masked = unsafe {
        let mut all = MaybeUninit::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = work();
    if is_masked {
        // SAFETY: the call above has written `before`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
    }
    result
}
