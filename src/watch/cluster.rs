//! The cluster that is watched, as of one poll: the primary's facts, the ledger, and pgBackRest for it.
//!
//! Ledger and configuration are opened anew at each poll, because either may have become another's meanwhile. What is
//! not a primary of this data directory is not watched, and nothing is made there.

use super::Request;
use super::tools::Tools;
use crate::data_directory::{DataDirectory, Recovery};
use crate::decide::stanza::{Past, has_never_archived};
use crate::decide::watch::Failures;
use crate::ledger::state::{Place, State};
use crate::ledger::{DEFERRED, Ledger, LedgerError};
use crate::log;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::{Client, LocalServer, locks};
use crate::postgres::{Primary, Server};
use crate::push;
use crate::settings::role;
use crate::wal::WalFile;
use rustix::process::geteuid;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// A cluster on a primary that answers.
pub(super) struct Cluster {
    pub(super) tools: Rc<Tools>,
    pub(super) client: Arc<Client>,
    pub(super) ledger: Ledger,
    pub(super) primary: Primary,
}

/// Why nothing is watched in this poll.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWatched {
    /// Only a primary is.
    #[error("this server is a standby")]
    Standby,
    /// Another server answers in the standby's place.
    #[error("this data directory is a standby's, though a primary answers")]
    StandbysDirectory,
    /// Another cluster's server answers.
    #[error("the server that answers is not the one of {}; check PGHOST and PGPORT", .0.display())]
    AnothersServer(PathBuf),
    /// The bucket's settings were refused.
    #[error("archiving is switched off ({0})")]
    ArchivingOff(String),
    /// Without the ledger no gap is known.
    #[error("{}", log::chain(.0))]
    Ledger(#[from] LedgerError),
    /// Writing it anew would lose what it says.
    #[error(".pgbackrest_backup_state can't be read: {0}")]
    BackupState(std::io::Error),
}

impl NotWatched {
    /// Whether somebody has to look at it.
    pub(super) fn is_trouble(&self) -> bool {
        match self {
            Self::Standby | Self::StandbysDirectory | Self::ArchivingOff(_) => false,
            Self::AnothersServer(_) | Self::Ledger(_) | Self::BackupState(_) => true,
        }
    }
}

impl Cluster {
    /// Opens the ledger, if a primary of this data directory has answered.
    pub(super) fn open(tools: &Rc<Tools>, server: Server) -> Result<Self, NotWatched> {
        let Server::Primary(primary) = server else { return Err(NotWatched::Standby) };
        let Request { common, data_directory, environment, .. } = &tools.request;
        if data_directory.recovery() == Recovery::Standby {
            return Err(NotWatched::StandbysDirectory);
        }
        if data_directory.control().is_some_and(|control| control.system_id != primary.system_id) {
            return Err(NotWatched::AnothersServer(data_directory.path().to_owned()));
        }
        if let Some(why) = data_directory.invalid_bucket() {
            return Err(NotWatched::ArchivingOff(why));
        }
        let client = Arc::new(common.client(environment, data_directory.path()));
        let ledger = push::open_ledger(common, data_directory)?;
        Ok(Self { tools: Rc::clone(tools), client, ledger, primary })
    }

    /// What the watcher is asked for.
    pub(super) fn request(&self) -> &Request {
        &self.tools.request
    }

    /// Where the server listens, whatever pgBackRest's configuration says.
    pub(super) fn local_server(&self) -> LocalServer {
        let (socket, port) = self.directory().socket();
        let role = role::for_pgbackrest(&self.tools.request.environment, geteuid().as_raw());
        LocalServer { data_directory: self.directory().path().to_owned(), socket, port, role }
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &DataDirectory {
        &self.tools.request.data_directory
    }

    /// Where copies lie that are being pushed again.
    pub(super) fn copies(&self) -> PathBuf {
        self.ledger.folder().join("heal")
    }

    /// Whether the watcher is to end.
    pub(super) fn must_end(&self) -> bool {
        self.tools.shutdown.is_requested()
    }

    /// The ledger's newest state: a push may have changed it a moment ago.
    pub(super) fn state(&self) -> Option<State> {
        Ledger::peek(self.ledger.folder()).ok().flatten()
    }

    /// PostgreSQL's failures as of this poll.
    pub(super) fn failures(&self) -> Failures {
        let count = i64::try_from(self.primary.failed_count).unwrap_or(i64::MAX);
        Failures { count, since: self.primary.stats_reset }
    }

    /// The node and the repositories.
    pub(super) fn place(&self) -> Place {
        let control = self.directory().control();
        Place { control_inode: control.map(|control| control.inode), repositories: self.client.identities() }
    }

    /// The numbers of the configured repositories; none where the configuration can't be read.
    pub(super) fn repositories(&self) -> Vec<u32> {
        self.client.config().map(Config::repositories).unwrap_or_default()
    }

    /// Into which of them backups are made: all, or those that were asked for and are configured.
    pub(super) fn backup_repositories(&self) -> Vec<u32> {
        let mut repositories = self.repositories();
        if let Some(asked) = &self.request().watch.backup_repositories {
            repositories.retain(|key| asked.numbers().contains(key));
            if repositories.is_empty() {
                let line = "WAL_BACKUP_REPOS names no configured repository: backups go into all of them";
                self.tools.log.warn("backup repositories", line);
                return self.repositories();
            }
        }
        repositories
    }

    /// Whether nothing of this cluster was ever archived, as far as the server and its files tell. What was given up was not.
    pub(super) fn has_never_archived(&self) -> bool {
        let (state, watch) = (self.state().unwrap_or_default(), &self.request().watch);
        let deferred = self.ledger.folder().join(DEFERRED);
        let done = fs::read_dir(self.directory().archive_status()).into_iter().flatten().flatten();
        let done = done.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".done")?.parse().ok()).collect();
        let kept = fs::read_dir(&deferred).map_or(0, |entries| entries.flatten().count() as u64);
        let past = Past {
            timeline: self.primary.timeline,
            archived_count: self.primary.archived_count,
            given_up_count: state.push.dropped_count + state.push.overflowed_count + kept,
            done,
        };
        has_never_archived(&past, |file| {
            let lies = |folder: &std::path::Path| folder.join(file.to_string()).exists();
            is_lost(&state, file) || lies(&deferred) || watch.overflow.as_deref().is_some_and(lies)
        })
    }

    /// Whether the one repository is a store that `setup` has configured for this cluster, under a path with its identifier: then
    /// nothing is unmounted, and another bucket is one that was named on purpose.
    pub(super) fn is_in_setups_store(&self) -> bool {
        let noted = self.directory().repository_path();
        self.client.config().is_some_and(|config| {
            let option = |name: &str| config.option("archive-push", name);
            config.repositories() == [1]
                && option("repo1-type").is_some_and(|kind| kind == "s3")
                && noted.is_some()
                && option("repo1-path") == noted.as_deref()
        })
    }

    /// Whether a push holds pgBackRest's lock, or its async process lives.
    pub(super) fn archive_is_locked(&self) -> bool {
        let stanza = self.client.stanza();
        self.lock_path()
            .is_some_and(|path| locks::worker(&path, stanza).is_some() || locks::is_held(&path, stanza, "archive"))
    }

    /// Whether a backup or an expiry holds it.
    pub(super) fn backup_is_locked(&self) -> bool {
        let stanza = self.client.stanza();
        self.lock_path().is_some_and(|path| {
            let held = |command| locks::held_since(&path, stanza, "backup", command).is_some();
            held("backup") || held("expire") || locks::is_held(&path, stanza, "backup")
        })
    }

    /// Where pgBackRest's locks lie.
    pub(super) fn lock_path(&self) -> Option<PathBuf> {
        self.client.config().map(|config| config.lock_path("archive-push"))
    }
}

/// Whether a file is in an open gap of a state.
pub(super) fn is_lost(state: &State, file: &WalFile) -> bool {
    let lost = |(segment, partial)| state.gaps.open_gap_of(segment, partial, state.segment_size()).is_some();
    file.losable().is_some_and(lost)
}
