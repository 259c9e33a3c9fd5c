//! `.pgbackrest_backup_state`: what the watcher remembers across restarts, shared with the shell scripts before it.
//!
//! `key=value` lines, integers; the last line of a key wins, and one without a number unsets it; keys that are not ours are
//! kept as they stand. `watch` writes it, by rename and durably, and only after PostgreSQL has answered: an entrypoint that
//! changes owners in a fresh data directory fails on a file that vanishes under it. `status` only reads it.

use crate::durable;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name in the data directory.
pub const FILE_NAME: &str = ".pgbackrest_backup_state";

/// When the newest full backup ended.
pub const LAST_FULL_AT: &str = "last_full_at";
/// When the newest backup of any kind ended.
pub const LAST_DIFF_AT: &str = "last_diff_at";
/// When the catalog last gave a conclusive answer.
pub const LAST_VERIFY_AT: &str = "last_catalog_verify_at";
/// PostgreSQL's count of failed pushes in spite of which nothing is missing.
pub const PROVEN_FAILURES: &str = "last_full_failed_count";
/// When the counter began that [`PROVEN_FAILURES`] was read from.
pub const STATS_RESET: &str = "guard_stats_reset";
/// The cluster that the stamps are about: PostgreSQL's system identifier.
pub const SYSTEM_ID: &str = "guard_system_id";

/// The file's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupState {
    path: PathBuf,
    lines: Vec<String>,
}

impl BackupState {
    /// Reads the file of a data directory. A missing one is empty.
    ///
    /// # Errors
    /// When it is there and can't be read: writing it anew would lose what it says.
    pub fn read(pgdata: &Path) -> io::Result<Self> {
        let path = pgdata.join(FILE_NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, lines: text.lines().map(str::to_owned).collect() })
    }

    /// A key's number; what is none counts as unset.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        let of_key = |line: &String| {
            line.split_once('=').filter(|(name, _)| name.trim() == key).map(|(_, v)| v.trim().to_owned())
        };
        self.lines.iter().rev().find_map(of_key)?.parse().ok()
    }

    /// A key's time, in seconds since 1970; one in the future comes from a clock that was set back, and counts as unset.
    #[must_use]
    pub fn time(&self, key: &str, now: i64) -> Option<i64> {
        self.number(key).filter(|at| is_past(*at, now))
    }

    /// Whether it names another cluster than the one of this system identifier.
    #[must_use]
    pub fn is_about_another(&self, system_id: u64) -> bool {
        self.number(SYSTEM_ID).is_some_and(|known| u64::try_from(known) != Ok(system_id))
    }

    /// Whether a key has a value that is no number.
    #[must_use]
    pub fn is_corrupt(&self, key: &str) -> bool {
        let has = self.lines.iter().any(|line| {
            line.split_once('=').is_some_and(|(name, value)| name.trim() == key && !value.trim().is_empty())
        });
        has && self.number(key).is_none()
    }

    /// Sets or unsets keys and writes the file, if that changes anything.
    ///
    /// # Errors
    /// What the system says; then the old file stays.
    pub fn set(&mut self, pairs: &[(&str, Option<i64>)]) -> io::Result<()> {
        if pairs.iter().all(|(key, value)| self.number(key) == *value) {
            return Ok(());
        }
        let ours = |line: &String| {
            line.split_once('=').is_some_and(|(name, _)| pairs.iter().any(|(key, _)| name.trim() == *key))
        };
        self.lines.retain(|line| !ours(line));
        self.lines.extend(pairs.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))));
        let text = self.lines.join("\n") + "\n";
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        durable::copy_into(&mut text.as_bytes(), folder, FILE_NAME)
    }
}

/// Whether a stamp is a time at all, and not in the future. Zero is what scripts write for none.
#[must_use]
pub fn is_past(at: i64, now: i64) -> bool {
    (1..=now).contains(&at)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_are_kept_and_the_last_line_of_a_key_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, "theirs=a b\nlast_full_at=1\nlast_full_at=2\nlast_diff_at=17O0\n").unwrap();
        let mut file = BackupState::read(folder.path()).unwrap();
        assert_eq!((file.number("last_full_at"), file.number("last_diff_at")), (Some(2), None));
        assert!(file.is_corrupt("last_diff_at") && !file.is_corrupt("last_full_at") && !file.is_corrupt("other"));
        file.set(&[("last_full_at", Some(3)), ("last_diff_at", None), ("new", Some(4))]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs=a b\nlast_full_at=3\nnew=4\n");
        assert_eq!(BackupState::read(folder.path()).unwrap(), file);
    }

    #[test]
    fn what_is_no_past_time_is_unset() {
        let state = |text: &str| BackupState { path: PathBuf::new(), lines: text.lines().map(str::to_owned).collect() };
        let times = |state: &BackupState| (state.time(LAST_FULL_AT, 500), state.time(LAST_DIFF_AT, 500));
        assert_eq!(times(&state("last_full_at=17O0\nlast_diff_at=99\nother=1\nlast_diff_at=\nx\n")), (None, None));
        assert_eq!(times(&state("last_full_at=100\nlast_full_at=200\nlast_diff_at=501\n")), (Some(200), None));
        assert_eq!(times(&state("last_full_at=0\nlast_diff_at=-1\n")), (None, None));
        let ours = state("guard_system_id=7\n");
        assert!(!ours.is_about_another(7) && ours.is_about_another(8) && !state("").is_about_another(7));
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = BackupState::read(folder.path()).unwrap();
        file.set(&[("last_full_at", None)]).unwrap();
        assert!(!folder.path().join(FILE_NAME).exists());
    }
}
