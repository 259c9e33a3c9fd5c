//! What a restore has got to, on the disk: one file beside the data directory to be.
//!
//! Inside the data directory nothing can lie before the copy: pgBackRest refuses one that is not empty, and with `--delta` it
//! removes what the backup does not hold (src/command/restore/restore.c, 2.45 to 2.60). Each stage is noted when it is done,
//! and can be done again: a kill at any instant costs that stage.

use super::RestoreError;
use super::socket::{make_socket, unlink_socket};
use crate::decide::restore::{Plan, Target};
use crate::durable;
use crate::epoch;
use crate::wal::{Lsn, SegmentName};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file's name in the working folder.
const FILE_NAME: &str = "state.json";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// It is decided, and nothing is written.
    Planned,
    /// The backup is copied.
    Copied,
    /// What would tie the copy to its origin is taken out of it.
    Armed,
    /// The target is reached.
    Reached,
    /// The copy was promoted, looked at, and stopped.
    Proved,
}

/// What a restore was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) target: Target,
    pub(super) set: Option<String>,
    pub(super) repository: Option<u32>,
    pub(super) stanza: String,
    pub(super) tablespaces: Vec<(String, PathBuf)>,
}

/// The plan, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Way {
    pub(super) backup: String,
    pub(super) repository: u32,
    pub(super) timeline: u32,
    pub(super) first: SegmentName,
    pub(super) segments: u64,
    pub(super) end: u64,
    pub(super) segment_bytes: u64,
    pub(super) size: u64,
    pub(super) version: String,
}

/// A failure that happens again as long as everything is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) text: String,
    pub(super) fingerprint: String,
}

/// What the replay came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    /// PostgreSQL's own words on where it stopped.
    pub(super) words: Option<String>,
    /// The newest commit that was replayed, in microseconds since 1970.
    pub(super) last_commit: Option<i64>,
}

/// Where a restore stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) wanted: Wanted,
    /// The data directory; unknown to 0.2.0.
    #[serde(default)]
    pub(super) data: Option<PathBuf>,
    pub(super) way: Way,
    pub(super) stage: Stage,
    /// When it began, in seconds since 1970.
    pub(super) began_at: i64,
    /// Whether what lies in the data directory may be removed: it was empty, or shall be replaced.
    pub(super) ours: bool,
    /// What the archive was like.
    pub(super) fingerprint: String,
    pub(super) failure: Option<Remembered>,
    #[serde(default)]
    pub(super) reached: Reached,
}

impl State {
    /// One that begins now.
    pub(super) fn new(wanted: Wanted, data: &Path, way: Way, ours: bool, fingerprint: String) -> Self {
        Self {
            wanted,
            data: Some(data.to_owned()),
            way,
            stage: Stage::Planned,
            began_at: epoch::now(),
            ours,
            fingerprint,
            failure: None,
            reached: Reached::default(),
        }
    }
}

impl Way {
    /// Where the last segment begins that is replayed, as it was listed.
    pub(super) fn last(&self) -> Lsn {
        let before = self.end.saturating_sub(1);
        Lsn(before - before.checked_rem(self.segment_bytes).unwrap_or(0))
    }

    /// What of a plan is kept.
    pub(super) fn of(plan: &Plan, segment_bytes: u64, size: u64, version: String) -> Self {
        Self {
            backup: plan.backup.clone(),
            repository: plan.repository,
            timeline: plan.timeline,
            first: plan.first,
            segments: plan.segments,
            end: plan.end,
            segment_bytes,
            size,
            version,
        }
    }
}

/// The working folder, which no second restore enters.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, RestoreError> {
        durable::create_private_folder(path).map_err(|error| RestoreError::file("create", path, error))?;
        let lock = path.join("owner");
        let failed = |error| RestoreError::file("open", &lock, error);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock).map_err(failed)?;
        if fs2::FileExt::try_lock_exclusive(&file).is_err() {
            return Err(RestoreError::Refused(format!(
                "another restore is running in {}: wait for it to end",
                path.display()
            )));
        }
        for part in ["lock", "log", "spool"] {
            let part = path.join(part);
            durable::create_private_folder(&part).map_err(|error| RestoreError::file("create", &part, error))?;
        }
        make_socket(path).map_err(|error| RestoreError::file("create the socket's folder in", path, error))?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// The path, as it was given.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state of a working folder; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<State>, RestoreError> {
        let path = path.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes).map_err(io::Error::from);
                state.map(Some).map_err(|error| RestoreError::file("read", &path, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RestoreError::file("read", &path, error)),
        }
    }

    /// Notes the state, durably.
    pub(super) fn write(&self, state: &State) -> Result<(), RestoreError> {
        let path = self.path.join(FILE_NAME);
        let bytes = serde_json::to_vec_pretty(state).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| durable::replace(&path, &bytes, 0o600, None));
        written.map_err(|error| RestoreError::file("write", &path, error))
    }

    /// Removes it with all that it holds: the state first, so that no half of it is taken for a restore under way.
    pub(super) fn remove(self) -> Result<(), RestoreError> {
        let failed = |error| RestoreError::file("remove", &self.path, error);
        durable::remove(&self.path.join(FILE_NAME)).map_err(failed)?;
        unlink_socket(&self.path).map_err(failed)?;
        fs::remove_dir_all(&self.path).map_err(failed)
    }
}
