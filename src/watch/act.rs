//! Acting: what an action asks of which part, and what follows from the answers by [`crate::decide::watch`].

use super::catalog_keeper::CatalogKeeper;
use super::cluster::Cluster;
use super::prover::Prover;
use super::{Watcher, look_up, marker};
use crate::backup_state::{LAST_DIFF_AT, LAST_FULL_AT};
use crate::decide::watch::{AfterCatalog, Kind, Obstacle, Reason, after_catalog, obstacle};
use crate::log;
use crate::pgbackrest::info::{Newest, Stanza};

impl Watcher {
    /// Writes a heartbeat.
    pub(super) fn heartbeat(&self) {
        match self.server.heartbeat(&mut || self.tools.shutdown.is_requested()) {
            Ok(()) => self.tools.log.forget("heartbeat"),
            Err(error) => self.tools.log.warn("heartbeat", &format!("no heartbeat: {}", log::chain(&error))),
        }
    }

    /// Asks the catalog, and does what follows from its answer.
    pub(super) fn ask_catalog(&mut self, cluster: &Cluster) {
        let Some(answer) = self.catalog.ask(cluster, &mut self.stamps) else { return };
        let has_full = self.stamps.last_full_at.is_some();
        match after_catalog(&answer.catalog, has_full, cluster.archive_is_locked()) {
            AfterCatalog::Confirmed => {
                self.tools.log.info("catalog", "catalog verified: full backup present");
                self.hold_against_archive(cluster, answer.stanza.as_ref());
            }
            AfterCatalog::Adopt(newest) => {
                self.adopt(cluster, newest, answer.at);
                self.hold_against_archive(cluster, answer.stanza.as_ref());
            }
            AfterCatalog::TakeFull { cleared } => {
                self.tools.log.forget("catalog");
                if cleared {
                    tracing::warn!("catalog shows no full backup despite local state: clearing last_full_at");
                    self.stamps.note(cluster, &[(LAST_FULL_AT, None), (LAST_DIFF_AT, None)]);
                }
                self.begin_backup(cluster, Kind::Full, Reason::NoFull);
            }
            AfterCatalog::CreateStanza => {
                if self.catalog.create_stanza(cluster, answer.at) {
                    self.begin_backup(cluster, Kind::Full, Reason::NoFull);
                }
            }
            AfterCatalog::BackOff => {
                let wait = self.backoff();
                self.catalog.back_off(cluster, &answer, wait);
            }
        }
    }

    /// Takes over the times of the catalog's backups. One of a clock that was ahead counts as made now: a stamp in the
    /// future would count as unset.
    fn adopt(&mut self, cluster: &Cluster, newest: Newest, now: i64) {
        self.tools.log.forget("catalog");
        tracing::info!("no full backup was on record, and the catalog has one: it is adopted");
        let (full, any) = (newest.full.min(now), newest.any.min(now));
        self.stamps.note(cluster, &[(LAST_FULL_AT, Some(full)), (LAST_DIFF_AT, Some(any))]);
    }

    fn hold_against_archive(&mut self, cluster: &Cluster, stanza: Option<&Stanza>) {
        if let Some(stanza) = stanza {
            self.prover.hold_against_archive(cluster, stanza, &mut self.stamps);
        }
    }

    /// Closes what needs no backup.
    pub(super) fn look_up(&mut self, cluster: &Cluster) {
        if !Prover::look_up_before_backup(cluster) {
            self.backup.back_off();
        }
        marker::clear_explained(cluster);
    }

    /// Begins a backup, unless what has been done in this poll stands against it.
    pub(super) fn begin_backup(&mut self, cluster: &Cluster, kind: Kind, reason: Reason) {
        let state = cluster.state().unwrap_or_default();
        let seen = self.observe(cluster, &state, &[]);
        match obstacle(reason, &seen, &self.memory(), &self.schedule()) {
            None if !cluster.must_end() => self.backup.begin(cluster, kind, reason),
            None | Some(Obstacle::Overtaken) => {}
            Some(Obstacle::Locked) => {
                let line = "no backup is begun: another process holds pgBackRest's backup lock";
                self.tools.log.info("backup", line);
            }
        }
    }

    /// Takes up the backup that has ended. False when none has.
    pub(super) fn take_up_backup(&mut self) -> bool {
        let Some(cluster) = self.cluster.clone() else { return false };
        let Some((begun, result)) = self.backup.take_ended() else { return false };
        match result {
            Ok(completed) => {
                let (prover, stamps) = (&mut self.prover, &mut self.stamps);
                self.backup.note_completed(&cluster, &begun, completed, prover, stamps);
                if let Err(error) = self.server.anchor(&mut || cluster.must_end()) {
                    let error = log::chain(&error);
                    tracing::warn!("no anchor for recovery_target_time: {error}; nothing needs to be done");
                }
                look_up::note_repositories(&cluster);
                CatalogKeeper::note_new_backup(&cluster);
            }
            Err(why) => {
                let wait = self.backoff();
                self.backup.note_failed(&begun, &why, wait);
            }
        }
        true
    }
}
