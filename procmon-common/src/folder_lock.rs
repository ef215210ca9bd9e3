//! One process at a time per folder. The kernel lets go of the lock however its holder ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const FILE: &str = "lock";
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Why a folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum FolderLockError {
    #[error("cannot write in it: {0}")]
    Unwritable(io::Error),
    #[error("pid {0} has it")]
    Held(String),
    #[error("cannot lock it: {0}")]
    Failed(io::Error),
}

/// Takes the folder; it is free again when the file is closed. One that is just being replaced may hold it for as long as
/// `patience`.
pub fn lock_folder(folder: &Path, patience: Duration) -> Result<File, FolderLockError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options
        .open(folder.join(FILE))
        .map_err(FolderLockError::Unwritable)?;
    match lock_patiently(&file, patience) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FolderLockError::Held(holder(&mut file))),
        Err(TryLockError::Error(error)) => return Err(FolderLockError::Failed(error)),
    }
    // Only for whoever comes next and is told: a disk that is full keeps nobody from starting.
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    Ok(file)
}

/// Who has the folder now. `None`: nobody, or that cannot be told.
pub fn folder_holder(folder: &Path) -> Option<String> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .open(folder.join(FILE))
        .ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Some(holder(&mut file)),
        _ => None,
    }
}

/// Locks a file or folder that is open.
pub fn lock_patiently(file: &File, patience: Duration) -> Result<(), TryLockError> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(ASKED_EVERY);
            }
            result => return result,
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    let _ = file.read_to_string(&mut pid);
    pid.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_other_is_told_who() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(folder_holder(folder.path()), None);
        let held = lock_folder(folder.path(), Duration::ZERO).expect("nobody has it");
        let own = std::process::id().to_string();
        let refused = lock_folder(folder.path(), Duration::ZERO).expect_err("it is held");
        assert!(
            matches!(&refused, FolderLockError::Held(pid) if *pid == own),
            "{refused}"
        );
        assert_eq!(folder_holder(folder.path()), Some(own));
        drop(held);
        assert_eq!(folder_holder(folder.path()), None);
        lock_folder(folder.path(), Duration::ZERO).expect("it is free again");
        let missing = lock_folder(&folder.path().join("missing"), Duration::ZERO);
        assert!(matches!(missing, Err(FolderLockError::Unwritable(_))));
    }
}
