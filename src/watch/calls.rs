//! Short calls of pgBackRest: the catalog, a stanza, a push, a fetch, a listing. Each has a time limit and ends with the watcher.

use super::cluster::Cluster;
use crate::decide::holes::MOST_NAMES;
use crate::pgbackrest::info::{CatalogAnswer, Stanza};
use crate::pgbackrest::version::Version;
use crate::pgbackrest::{Drain, Drained, Failure, Fetch, Fetched, Interruption, NoListing, PushMode, Pushed, Watch};
use crate::wal::{WalFile, listed};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the catalog may take to answer; a listing too.
const ASK_LIMIT: Duration = Duration::from_mins(1);
/// How long a stanza may take to be created, and a file to be pushed.
const WORK_LIMIT: Duration = Duration::from_mins(2);
/// How long one push may hold the archive's lock before the watcher goes on to something else.
pub(super) const ONE_PUSH: Duration = Duration::from_secs(5);
/// Between two looks at that lock.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// Another process holds a lock (pgBackRest's error.auto.c, `LockAcquireError`).
const LOCKED: i32 = 50;
/// Characters of pgBackRest's message in a line.
pub(super) const MESSAGE_LENGTH: usize = 500;

/// Why a file that was pushed again is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    /// pgBackRest failed.
    #[error("{}", .0.shown(MESSAGE_LENGTH))]
    Failed(Failure),
    /// pgBackRest dropped it (`archive-push-queue-max`), and called that a success.
    #[error("pgBackRest dropped it")]
    Dropped,
    /// A repository's listing does not show it.
    #[error("repository {0} does not list it")]
    NotListed(u32),
    /// A listing can't be had.
    #[error("{}", words(.0))]
    NoListing(NoListing),
    /// No repository names this cluster's archive.
    #[error("no repository names this cluster's archive")]
    NoArchive,
}

/// Why there is no listing.
pub(super) fn words(why: &NoListing) -> String {
    match why {
        NoListing::Failed(failure) => failure.shown(MESSAGE_LENGTH),
        NoListing::TooLong => format!("it is longer than {MOST_NAMES} names"),
    }
}

impl Cluster {
    /// The names in a folder of a repository, all of them.
    pub(super) fn list(&self, repository: u32, folder: &str) -> Result<String, NoListing> {
        let text = self.client.list(repository, folder, self.watch(ASK_LIMIT))?;
        if text.lines().count() >= MOST_NAMES { Err(NoListing::TooLong) } else { Ok(text) }
    }

    /// Asks the catalog for this cluster's full backups.
    pub(super) fn catalog(&self) -> (CatalogAnswer, Option<Stanza>) {
        self.client.catalog(self.primary.system_id, self.watch(ASK_LIMIT))
    }

    /// What `info` says of the stanza.
    pub(super) fn info(&self) -> Result<Stanza, Failure> {
        self.client.info(None, self.watch(ASK_LIMIT))
    }

    /// pgBackRest's version; `None` where it can't be told.
    pub(super) fn version(&self) -> Option<Version> {
        self.client.version(self.watch(ASK_LIMIT)).ok()
    }

    /// Creates the stanza. A push that has begun meanwhile holds the archive's lock for most of a second.
    pub(super) fn create_stanza(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let created = self.client.create_stanza(&self.local_server(), self.watch(WORK_LIMIT));
            let is_locked = created.as_ref().is_err_and(|why| why.code() == Some(LOCKED));
            if !is_locked || began.elapsed() > ONE_PUSH || self.tools.shutdown.wait(PAUSE) {
                return created;
            }
        }
    }

    /// Where each repository that can be read keeps this cluster's WAL.
    pub(super) fn readable_archives(&self, stanza: &Stanza) -> Vec<Archive> {
        let archive = |repository: u32| {
            let id = stanza.archive_id(self.primary.system_id, repository);
            Some(Archive { repository, id: id.filter(|_| stanza.is_readable(repository))?.to_owned() })
        };
        self.repositories().into_iter().filter_map(archive).collect()
    }

    /// Pushes one file at once, whether or not PostgreSQL has marked it as waiting.
    pub(super) fn push(&self, path: &Path) -> Result<Pushed, Failure> {
        self.client.push(path, PushMode::Synchronous, self.watch(WORK_LIMIT)).answer
    }

    /// Pushes what is marked in a drain.
    pub(super) fn drain(&self, drain: &Drain, names: &[String]) -> Drained {
        self.client.drain(drain, names, self.watch(WORK_LIMIT))
    }

    /// Fetches a file from one repository.
    pub(super) fn fetch(&self, file: &WalFile, to: &Path, repository: u32) -> Fetched {
        let fetch =
            Fetch { file, to, data_directory: None, repository: Some(repository), synchronous: true, verbose: false };
        self.client.fetch(&fetch, self.watch(WORK_LIMIT)).answer
    }

    /// Pushes a file again, and proves it: a success without a drop, and the file in every repository's listing.
    pub(super) fn push_again(&self, file: &WalFile, path: &Path, archives: &[Archive]) -> Result<(), NotStored> {
        if !self.push(path).map_err(NotStored::Failed)?.dropped.is_empty() {
            return Err(NotStored::Dropped);
        }
        if archives.is_empty() {
            return Err(NotStored::NoArchive);
        }
        archives.iter().try_for_each(|archive| self.proves(archive, file))
    }

    /// Whether a repository's listing shows the file.
    fn proves(&self, archive: &Archive, file: &WalFile) -> Result<(), NotStored> {
        let name = file.to_string();
        let folder = match file {
            WalFile::History(_) => archive.path(self.client.stanza()),
            _ => archive.folder(self.client.stanza(), name.get(..16).unwrap_or_default()),
        };
        let listing = self.list(archive.repository, &folder).map_err(NotStored::NoListing)?;
        if listing.lines().any(|line| listed(line) == Some(*file)) {
            Ok(())
        } else {
            Err(NotStored::NotListed(archive.repository))
        }
    }

    /// A watch over one call: it takes at most so long, and ends with the watcher. systemd hears meanwhile that the watcher
    /// lives.
    fn watch(&self, limit: Duration) -> Watch<'_> {
        let started = Instant::now();
        Watch::by(move |_| {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            let late = (started.elapsed() >= limit).then_some(Interruption::TimeLimit);
            if self.must_end() { Some(Interruption::Signal) } else { late }
        })
    }
}

/// Where a repository keeps this cluster's WAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub(super) repository: u32,
    /// The archive's name there, as `15-1`.
    pub(super) id: String,
}

impl Archive {
    /// Its path in the repository.
    pub(super) fn path(&self, stanza: &str) -> String {
        format!("archive/{stanza}/{}", self.id)
    }

    /// The path of one of its folders.
    pub(super) fn folder(&self, stanza: &str, folder: &str) -> String {
        format!("archive/{stanza}/{}/{folder}", self.id)
    }
}
