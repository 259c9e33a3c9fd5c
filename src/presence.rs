//! That a watcher runs: a file in the state directory that it holds a shared lock on for as long as it lives.
//!
//! A pid would outlive its process, and a stamp tells only that one has run. Whoever looks takes no lock: the kernel lists
//! who holds what.

use crate::pgbackrest::locks;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The file's name in the state directory.
const FILE_NAME: &str = "watcher";

/// The lock of a watcher that runs.
#[derive(Debug)]
pub struct Presence(File);

impl Presence {
    /// Holds the lock in a state directory that is there; two watchers may.
    ///
    /// # Errors
    /// When the file can't be made or locked.
    pub fn hold(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        fs2::FileExt::try_lock_shared(&file)?;
        Ok(Self(file))
    }

    /// Whether it still is the file of that state directory.
    #[must_use]
    pub fn is_in(&self, folder: &Path) -> bool {
        let there = folder.join(FILE_NAME).metadata();
        let ours = self.0.metadata();
        ours.is_ok_and(|ours| there.is_ok_and(|there| (ours.dev(), ours.ino()) == (there.dev(), there.ino())))
    }
}

/// Whether a watcher of this state directory runs.
#[must_use]
pub fn is_watched(folder: &Path) -> bool {
    locks::is_file_held(&folder.join(FILE_NAME))
}

/// Whether a watcher of this state directory has ever run.
#[must_use]
pub fn was_watched(folder: &Path) -> bool {
    folder.join(FILE_NAME).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_seen_for_as_long_as_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_watched(folder.path()) && !was_watched(folder.path()));
        let first = Presence::hold(folder.path()).unwrap();
        let second = Presence::hold(folder.path()).unwrap();
        assert!(first.is_in(folder.path()) && is_watched(folder.path()));
        drop(first);
        assert!(is_watched(folder.path()), "the other one");
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        assert!(!second.is_in(folder.path()) && !is_watched(folder.path()));
        let second = Presence::hold(folder.path()).unwrap();
        drop(second);
        assert!(!is_watched(folder.path()) && was_watched(folder.path()));
    }
}
