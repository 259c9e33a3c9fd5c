//! Backups that others take: whether they do, and what waits for one of theirs.
//!
//! pgBackRest's version is asked only where a repository is on another host, and again after a while: an upgrade changes
//! who may take a backup.

use super::catalog_keeper::change_record;
use super::cluster::Cluster;
use crate::decide::regime::{Others, Remote, others};
use crate::decide::watch::{Kind, Reason};
use crate::epoch;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::version::Version;
use crate::settings::TakenBy;
use std::time::{Duration, Instant};

/// How long an answer of `pgbackrest version` holds.
const VERSION_HOLDS: Duration = Duration::from_mins(10);

/// Who takes the backups.
#[derive(Debug, Default)]
pub(super) struct Regime {
    /// Why the watcher takes none; `None`: it does.
    pub(super) others: Option<Others>,
    /// When a backup of others was last waited for, in seconds since 1970.
    pub(super) waited_at: Option<i64>,
    version: Option<(Instant, Option<Version>)>,
}

impl Regime {
    /// Looks who takes the backups, says so where it changes, and notes it for `status`.
    pub(super) fn look(&mut self, cluster: &Cluster) {
        let asked = cluster.request().watch.taken_by == TakenBy::Others;
        let config = cluster.client.config();
        let checks_mode = config.is_none_or(|config| config.option("backup", "archive-mode-check") != Some("n"));
        let always = cluster.primary.archives_always && checks_mode;
        let remote = config.and_then(Config::remote_repository).filter(|_| !asked && !always);
        let remote = remote.map(|repository| Remote { repository, version: self.version(cluster) });
        self.others = others(asked, always, remote);
        self.say(cluster);
        let why = self.others.map(|why| why.to_string());
        change_record(cluster, |record| {
            let changes = record.others != why;
            record.others = why;
            changes
        });
    }

    fn version(&mut self, cluster: &Cluster) -> Option<Version> {
        let known = self.version.filter(|(asked, version)| version.is_some() && asked.elapsed() < VERSION_HOLDS);
        let (_, version) = *self.version.insert(known.unwrap_or_else(|| (Instant::now(), cluster.version())));
        version
    }

    fn say(&self, cluster: &Cluster) {
        let log = &cluster.tools.log;
        match self.others {
            None => log.forget("regime"),
            Some(why) if why.is_forced() => {
                let to_do = match why {
                    Others::ArchivesAlways => "set archive_mode=on, or archive-mode-check=n for pgBackRest",
                    Others::RepositoryHost { .. } | Others::Asked => "let the repository host take them",
                };
                let line = format!(
                    "no backup is taken here: {why}; all else is done, as with WAL_BACKUP_TAKEN_BY=others; to do: {to_do}"
                );
                log.warn("regime", &line);
            }
            Some(why) => log.info("regime", &format!("others take the backups ({why})")),
        }
    }

    /// Says what waits for a backup by others. `newest`: when the newest one ended that there should be a newer one of.
    pub(super) fn wait(&mut self, cluster: &Cluster, kind: Kind, reason: Reason, newest: Option<i64>) {
        self.waited_at = Some(epoch::now());
        let backup = match kind {
            Kind::Full => "a full backup",
            Kind::Diff => "a differential or full backup",
        };
        let since = newest.and_then(|at| jiff::Timestamp::from_second(at).ok());
        let since = since.map_or_else(|| "none is known".to_owned(), |at| format!("the newest ended at {at}"));
        let what = match reason {
            Reason::NoFull => format!("nothing can be restored: it takes {backup}"),
            Reason::Gap | Reason::Behind => format!("a gap can't be healed and waits for {backup}"),
            Reason::Unproven => {
                format!("pushes have failed, and that nothing is missing can only be shown by {backup}")
            }
            Reason::Due => format!("{backup} is overdue by the configured intervals ({since})"),
        };
        cluster.tools.log.warn("waits", &format!("{what}, by whoever takes them"));
    }
}
