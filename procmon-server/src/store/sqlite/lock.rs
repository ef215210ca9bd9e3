//! One server at a time per data folder.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use procmon_common::folder_lock::{FolderLockError, lock_folder};

/// A server that is just being replaced may hold it a moment longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes the folder, which must be writable; it is free again when the file is closed.
pub(super) fn lock(folder: &Path) -> anyhow::Result<File> {
    let shown = folder.display();
    lock_folder(folder, PATIENCE).map_err(|error| match error {
        FolderLockError::Unwritable(error) => anyhow::Error::from(error).context(format!(
            "cannot write in {shown}: give it to the user who runs the server, or choose another folder with --data-dir"
        )),
        FolderLockError::Held(pid) => anyhow!(
            "{shown} is in use by another procmon-server (pid {pid}): stop that one, or choose another folder with --data-dir"
        ),
        FolderLockError::Failed(error) => anyhow!("cannot lock {shown}: {error}"),
    })
}
