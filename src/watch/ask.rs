//! Short calls of pgBackRest: the catalog, a stanza, a push, a listing. Each has a time limit and ends with the watcher.

use super::Watcher;
use crate::decide::holes::MOST_NAMES;
use crate::pgbackrest::info::{Catalog, Stanza};
use crate::pgbackrest::{Client, Failure, Interruption, NoListing, PushMode, Watch};
use crate::wal::{WalFile, listed};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the catalog may take to answer; a listing too.
const ASK_LIMIT: Duration = Duration::from_mins(1);
/// How long a stanza may take to be created, and a file to be pushed.
const WORK_LIMIT: Duration = Duration::from_mins(2);
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

impl Watcher {
    /// The names in a folder of a repository, all of them.
    pub(super) fn list(&mut self, repository: u32, folder: &str) -> Result<String, NoListing> {
        let text = self.call(ASK_LIMIT, |client, watch| client.list(repository, folder, watch))?;
        if text.lines().count() >= MOST_NAMES { Err(NoListing::TooLong) } else { Ok(text) }
    }

    /// Asks the catalog for this cluster's full backups.
    pub(super) fn catalog(&mut self, system_id: u64) -> (Catalog, Option<Stanza>) {
        self.call(ASK_LIMIT, |client, watch| client.catalog(system_id, watch))
    }

    /// What `info` says of the stanza.
    pub(super) fn info(&mut self) -> Result<Stanza, Failure> {
        self.call(ASK_LIMIT, |client, watch| client.info(None, watch))
    }

    /// Creates the stanza.
    pub(super) fn create_stanza(&mut self) -> Result<(), Failure> {
        self.call(WORK_LIMIT, Client::create_stanza)
    }

    /// Pushes a file again, and proves it: a success without a drop, and the file in every repository's listing.
    pub(super) fn push_again(
        &mut self,
        file: &WalFile,
        path: &Path,
        archives: &[(u32, String)],
    ) -> Result<(), NotStored> {
        let pushed = self.call(WORK_LIMIT, |client, watch| client.push(path, PushMode::Synchronous, watch));
        if !pushed.answer.map_err(NotStored::Failed)?.dropped.is_empty() {
            return Err(NotStored::Dropped);
        }
        if archives.is_empty() {
            return Err(NotStored::NoArchive);
        }
        archives.iter().try_for_each(|(key, archive)| self.lists(*key, archive, file))
    }

    /// Whether a repository's listing shows the file.
    fn lists(&mut self, key: u32, archive: &str, file: &WalFile) -> Result<(), NotStored> {
        let name = file.to_string();
        let stanza = self.client.stanza();
        let folder = match file {
            WalFile::History(_) => format!("archive/{stanza}/{archive}"),
            _ => format!("archive/{stanza}/{archive}/{}", name.get(..16).unwrap_or_default()),
        };
        let listing = self.list(key, &folder).map_err(NotStored::NoListing)?;
        if listing.lines().any(|line| listed(line) == Some(*file)) { Ok(()) } else { Err(NotStored::NotListed(key)) }
    }

    /// One call, at most so long, that ends with the watcher. systemd hears meanwhile that the watcher lives.
    fn call<T>(&mut self, limit: Duration, ask: impl FnOnce(&Client, Watch<'_>) -> T) -> T {
        let (signals, told, started) = (&self.signals, Cell::new(self.told), Instant::now());
        let watch = Watch::by(|_| {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            told.set(told.get() || signals.wait(Duration::ZERO));
            let late = (started.elapsed() >= limit).then_some(Interruption::TimeLimit);
            if told.get() { Some(Interruption::Signal) } else { late }
        });
        let answer = ask(&self.client, watch);
        self.told = told.get();
        answer
    }
}
