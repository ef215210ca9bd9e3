//! A BPF file system of the test's own: nothing that is pinned in it is anybody else's.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

pub(crate) struct Bpffs {
    folder: tempfile::TempDir,
}

impl Bpffs {
    pub(crate) fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let target = CString::new(folder.path().as_os_str().as_bytes())?;
        // SAFETY: all strings end with NUL and outlive the call.
        let result = unsafe {
            libc::mount(
                c"bpf".as_ptr(),
                target.as_ptr(),
                c"bpf".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
        let error = std::io::Error::last_os_error();
        ensure!(
            result == 0,
            "this test needs root, to mount a BPF file system: {error}"
        );
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let unmounted = CString::new(self.path().as_os_str().as_bytes())
            .context("a path")
            // SAFETY: the string ends with NUL and outlives the call. What is pinned goes with the mount.
            .map(|target| unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) });
        assert!(
            unmounted.is_ok_and(|result| result == 0),
            "cannot unmount {}",
            self.path().display()
        );
    }
}
