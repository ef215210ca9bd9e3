//! A folder that ends with the server, and those that servers left behind that were killed.

use std::fs::File;
use std::path::Path;

use anyhow::Context;

use super::Place;

const PREFIX: &str = "procmon-temporary-";

/// A place for what is not kept beyond this run.
pub(super) fn place() -> anyhow::Result<Place> {
    remove_abandoned(&std::env::temp_dir());
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir();
    let folder = folder.with_context(|| {
        format!(
            "cannot create a folder in {}: set TMPDIR to one that can be written",
            std::env::temp_dir().display()
        )
    })?;
    Ok(Place::Temporary(folder))
}

/// A server that runs has its folder's lock. What cannot be looked at or removed stays: it may be somebody else's.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if is_ours
            && let Ok(lock) = File::open(path.join("lock"))
            && lock.try_lock().is_ok()
        {
            tracing::info!(path = %path.display(), "removing what a server left that was killed");
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "it cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_or_of_others_stays() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = |name: &str, locked: bool| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).expect("a folder");
            let lock = locked.then(|| File::create(path.join("lock")).expect("a lock"));
            (path, lock)
        };
        let (abandoned, lock) = folder("procmon-temporary-1", true);
        drop(lock);
        let (in_use, held) = folder("procmon-temporary-2", true);
        held.as_ref().expect("made").lock().expect("it locks");
        let (new, _) = folder("procmon-temporary-3", false);
        let (other, _lock) = folder("other", true);
        remove_abandoned(parent.path());
        assert!(!abandoned.exists());
        assert!(in_use.exists() && new.exists() && other.exists());
    }
}
