//! Gives memory back that only starting needed.
#![expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]

/// Reading BTF takes some 20 MiB in small pieces, which glibc keeps for reuse unless told otherwise.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only returns free pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
}
