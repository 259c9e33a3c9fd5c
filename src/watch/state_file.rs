//! `.pgbackrest_backup_state`: what the watcher remembers across restarts, shared with the shell scripts before it.
//!
//! `key=value` lines, integers; the last line of a key wins; keys that are not ours are kept as they stand. It is written
//! by rename and made durable, and only after PostgreSQL has answered: an entrypoint that changes owners in a fresh data
//! directory fails on a file that vanishes under it.

use crate::durable;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name in the data directory.
const NAME: &str = ".pgbackrest_backup_state";

/// The file's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StateFile {
    path: PathBuf,
    lines: Vec<String>,
}

impl StateFile {
    /// Reads the file of a data directory. A missing one is empty.
    ///
    /// # Errors
    /// When it is there and can't be read: writing it anew would lose what it says.
    pub(super) fn read(pgdata: &Path) -> io::Result<Self> {
        let path = pgdata.join(NAME);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, lines: text.lines().map(str::to_owned).collect() })
    }

    /// A key's number; what is none counts as unset.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        let of_key = |line: &String| {
            line.split_once('=').filter(|(name, _)| name.trim() == key).map(|(_, v)| v.trim().to_owned())
        };
        self.lines.iter().rev().find_map(of_key)?.parse().ok()
    }

    /// Whether a key has a value that is no number.
    pub(super) fn is_corrupt(&self, key: &str) -> bool {
        let has = self.lines.iter().any(|line| {
            line.split_once('=').is_some_and(|(name, value)| name.trim() == key && !value.trim().is_empty())
        });
        has && self.number(key).is_none()
    }

    /// Sets or unsets keys and writes the file, if that changes anything.
    pub(super) fn set(&mut self, pairs: &[(&str, Option<i64>)]) -> io::Result<()> {
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
        durable::copy_into(&mut text.as_bytes(), folder, NAME)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_are_kept_and_the_last_line_of_a_key_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        fs::write(&path, "theirs=a b\nlast_full_at=1\nlast_full_at=2\nlast_diff_at=17O0\n").unwrap();
        let mut file = StateFile::read(folder.path()).unwrap();
        assert_eq!((file.number("last_full_at"), file.number("last_diff_at")), (Some(2), None));
        assert!(file.is_corrupt("last_diff_at") && !file.is_corrupt("last_full_at") && !file.is_corrupt("other"));
        file.set(&[("last_full_at", Some(3)), ("last_diff_at", None), ("new", Some(4))]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs=a b\nlast_full_at=3\nnew=4\n");
        assert_eq!(StateFile::read(folder.path()).unwrap(), file);
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = StateFile::read(folder.path()).unwrap();
        file.set(&[("last_full_at", None)]).unwrap();
        assert!(!folder.path().join(NAME).exists());
    }
}
