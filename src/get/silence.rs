//! A standby's note that the repository was silent the last time it was asked.
//!
//! PostgreSQL's startup process waits for `restore_command` and sees nothing else meanwhile: no request for a promotion,
//! no WAL that could be streamed. A repository that takes connections and never answers would hold a standby for the whole
//! time limit at every call. So the first such call leaves this note, a file in the state directory, and the next ones are
//! short, until one succeeds. Every few minutes one of them is a little less short: a repository that is slow to begin gets
//! its chance. What was silent only for the time that a promotion waits is noted apart, and soon forgotten: that says
//! little of a repository, and shall shorten nothing but the promotion's further calls.

use crate::data_directory::DataDirectory;
use crate::decide::get::Before;
use crate::durable;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The note's name in the state directory.
const NAME: &str = "get-silent";
/// What it holds after a short silence; after a long one it is empty.
const BRIEFLY: &str = "briefly";
/// How long a short silence counts.
const SOON_OVER: Duration = Duration::from_mins(1);
/// How long the short calls after a long one are all equally short.
const LONG: Duration = Duration::from_mins(5);

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

    /// What is noted of the repository's silence.
    pub(super) fn before(&self) -> Before {
        let Some(path) = &self.0 else { return Before::Heard };
        let Ok(at) = fs::metadata(path).and_then(|note| note.modified()) else { return Before::Heard };
        // A time in the future is a clock's that was set back.
        let age = at.elapsed().unwrap_or_default();
        let brief = fs::read(path).is_ok_and(|note| note.starts_with(BRIEFLY.as_bytes()));
        match (brief, age) {
            (true, age) if age < SOON_OVER => Before::Briefly,
            (true, _) => Before::Heard,
            (false, age) if age < LONG => Before::Silent,
            (false, _) => Before::LongSilent,
        }
    }

    /// Notes that it was, `briefly` or for long. What can't be noted is done without.
    pub(super) fn note(&self, briefly: bool) {
        let is_said = match self.before() {
            Before::Heard => false,
            Before::Briefly | Before::LongSilent => briefly,
            Before::Silent => true,
        };
        let Some(path) = self.0.as_ref().filter(|_| !is_said) else { return };
        let made = path.parent().map_or(Ok(()), durable::create_private_folder);
        let text = if briefly { BRIEFLY } else { "" };
        if let Err(error) = made.and_then(|()| durable::publish(path, text.as_bytes())) {
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
