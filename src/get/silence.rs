//! A standby's note that the repository was silent the last time it was asked.
//!
//! PostgreSQL's startup process waits for `restore_command` and sees nothing else meanwhile: no request for a promotion,
//! no WAL that could be streamed. A repository that takes connections and never answers would hold a standby for the whole
//! time limit at every call. So the first such call leaves this note, an empty file in the state directory, and the next
//! ones are short, until one succeeds. The note expires: a repository that is slow to begin is given its time again.

use crate::data_directory::DataDirectory;
use crate::durable;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The note's name in the state directory.
const NAME: &str = "get-silent";
/// How long it counts.
const EXPIRES: Duration = Duration::from_mins(5);

/// Where the note is, if it may be made at all.
#[derive(Debug)]
pub(super) struct Silence(Option<PathBuf>);

impl Silence {
    /// The note in a state directory. Nothing is made for another user than the data directory's: the server's own
    /// programs could not write there any more.
    pub(super) fn of(state_dir: Option<&Path>, directory: Option<&DataDirectory>) -> Self {
        let ours = rustix::process::geteuid().as_raw();
        let owned = directory.and_then(|directory| fs::metadata(directory.path()).ok());
        let owned = owned.is_some_and(|directory| directory.uid() == ours);
        Self(state_dir.filter(|_| owned).map(|folder| folder.join(NAME)))
    }

    /// Whether the repository was silent before.
    pub(super) fn is_noted(&self) -> bool {
        let at = self.0.as_ref().and_then(|path| fs::metadata(path).ok()?.modified().ok());
        // A time in the future is a clock's that was set back.
        at.is_some_and(|at| at.elapsed().map_or(true, |age| age < EXPIRES))
    }

    /// Notes that it was. What can't be noted is done without.
    pub(super) fn note(&self) {
        let Some(path) = self.0.as_ref().filter(|_| !self.is_noted()) else { return };
        let made = path.parent().map_or(Ok(()), durable::create_private_folder);
        if let Err(error) = made.and_then(|()| durable::publish(path, b"")) {
            tracing::debug!("can't make {}: {error}", path.display());
        }
    }

    /// It answers.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
