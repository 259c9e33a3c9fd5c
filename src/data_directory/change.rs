//! What changed the data directory's own entries a moment ago: a promotion's trace, or something else.
//!
//! PostgreSQL removes `promote` before it reads on from the archive (xlogrecovery.c, `CheckForStandbyTrigger`). Nothing else
//! in the directory tells of the request then, but a file that was removed leaves no entry of that moment behind, while one
//! that was made or renamed does.

use super::{DataDirectory, STATE_FOLDER, changed};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long after a change of the data directory's own entries a promotion may be under way.
const PROMOTION: Duration = Duration::from_secs(15);
/// How far the times may lie apart that the kernel gives to a folder and to its entry in one and the same call: its clock
/// for files ticks every 1 to 10 ms.
const ONE_CALL: Duration = Duration::from_millis(30);

/// What changed the data directory's own entries a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// A file that is there was made or renamed (`current_logfiles`, `postgresql.auto.conf`).
    Made,
    /// None of those that are there: one was removed, as PostgreSQL removes `promote`.
    Removed,
}

impl DataDirectory {
    /// Whether PostgreSQL may have noticed such a request a moment ago. It removes the file then, before it reads on from
    /// the archive (`CheckForStandbyTrigger`), and what is left is that the directory's entries have changed. The start of
    /// a server changes them too (`backup_label` is renamed), and writes its pid file, in place, once it takes connections;
    /// before that a promotion could only fail.
    #[must_use]
    pub fn change(&self) -> Change {
        let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let (Some(changed), Some(ready)) = (modified(&self.0), modified(&self.0.join("postmaster.pid"))) else {
            return Change::Nothing;
        };
        let takes_connections = || self.postmaster().is_some_and(|postmaster| postmaster.takes_connections);
        if changed <= ready || changed.elapsed().map_or(true, |age| age >= PROMOTION) || !takes_connections() {
            return Change::Nothing;
        }
        // Our own folder is made when a call of a promotion leaves its note: that explains nothing away.
        let others =
            fs::read_dir(&self.0).into_iter().flatten().flatten().filter(|entry| entry.file_name() != STATE_FOLDER);
        let mut entries = others.filter_map(|entry| entry.metadata().ok());
        if entries.any(|entry| is_of(&entry, changed)) { Change::Made } else { Change::Removed }
    }
}

/// Whether an entry was made or renamed at a moment. A rename sets the time of the inode's change; a folder's is also that
/// of its own entries, so of a folder only its making counts.
fn is_of(entry: &Metadata, moment: SystemTime) -> bool {
    let nanoseconds = u64::try_from(entry.ctime_nsec()).unwrap_or(0);
    let renamed = (!entry.is_dir()).then(|| changed(entry) + Duration::from_nanos(nanoseconds));
    let near = |at: SystemTime| {
        let apart = at.duration_since(moment).unwrap_or_else(|error| error.duration());
        apart <= ONE_CALL
    };
    renamed.is_some_and(near) || entry.created().is_ok_and(near)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests stand in for PostgreSQL")]
mod tests {
    use super::*;

    /// Writes a pid file in this state, and gives it and the directory ages in seconds.
    fn aged(root: &Path, status: &str, ready: u64, changed: u64) {
        let pid = root.join("postmaster.pid");
        let text = format!("{}\n/data\n1763800000\n5432\n/tmp\n*\n 1 2\n{status}\n", std::process::id());
        fs::write(&pid, text).unwrap();
        let set = |path: &Path, age: u64| {
            let time = SystemTime::now() - Duration::from_secs(age);
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        };
        set(&pid, ready);
        set(root, changed);
    }

    #[test]
    fn a_directory_that_changed_after_its_server_was_ready_may_be_in_a_promotion() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path().to_owned());
        assert_eq!(directory.change(), Change::Nothing, "no server");
        for (status, ready, changed, expected) in [
            ("standby", 60, 1, Change::Removed),
            ("standby", 60, 61, Change::Nothing),
            ("standby", 1, 5, Change::Nothing),
            ("standby", 90, 60, Change::Nothing),
            ("starting", 60, 1, Change::Nothing),
            ("stopping", 60, 1, Change::Nothing),
        ] {
            aged(folder.path(), status, ready, changed);
            assert_eq!(directory.change(), expected, "{status} {ready} {changed}");
        }
        fs::write(folder.path().join("promote"), "").unwrap();
        assert!(directory.promotion_is_asked_for());
    }

    #[test]
    fn what_is_made_or_renamed_in_a_directory_is_told_from_what_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let directory = DataDirectory::new(root.to_owned());
        aged(root, "standby", 60, 60);
        // What the pid file's own making and the preparation left is over then.
        let pause = || std::thread::sleep(ONE_CALL * 4);
        pause();
        fs::write(root.join("current_logfiles.tmp"), "").unwrap();
        pause();
        fs::rename(root.join("current_logfiles.tmp"), root.join("current_logfiles")).unwrap();
        assert_eq!(directory.change(), Change::Made, "renamed");
        pause();
        fs::create_dir(root.join("folder")).unwrap();
        assert_eq!(directory.change(), Change::Made, "a folder");
        pause();
        fs::write(root.join("promote"), "").unwrap();
        assert_eq!(directory.change(), Change::Made, "made");
        fs::remove_file(root.join("promote")).unwrap();
        pause();
        assert_eq!(directory.change(), Change::Removed);
        fs::create_dir(root.join(STATE_FOLDER)).unwrap();
        assert_eq!(directory.change(), Change::Removed, "our own folder");
    }
}
