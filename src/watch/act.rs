//! Acting: what an action asks of which part, and what follows from the answers by [`crate::decide::watch`].

use super::calls::{MESSAGE_LENGTH, ONE_PUSH, PAUSE};
use super::catalog_keeper::CatalogKeeper;
use super::cluster::Cluster;
use super::prover::LookedUp;
use super::{Watcher, look_up, marker};
use crate::backup_state::{LAST_DIFF_AT, LAST_FULL_AT};
use crate::decide::regime::adopted;
use crate::decide::watch::{AfterCatalog, Kind, Obstacle, Reason, after_catalog, obstacle};
use crate::epoch;
use crate::log;
use crate::pgbackrest::config::Config;
use crate::pgbackrest::info::{CatalogAnswer, Doubt, Newest, Stanza};
use std::rc::Rc;
use std::time::Instant;

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
        let may_create =
            self.tools.request.create_stanza || cluster.has_never_archived() || cluster.is_in_setups_store();
        let is_missing = matches!(answer.catalog, CatalogAnswer::Inconclusive { doubt: Doubt::StanzaMissing, .. });
        let is_locked = !has_full && is_missing && self.stays_locked(cluster);
        match after_catalog(&answer.catalog, has_full, is_locked, may_create) {
            AfterCatalog::Confirmed => {
                self.tools.log.info("catalog", "catalog verified: full backup present");
                self.adopt_newer(cluster, &answer.catalog);
                self.hold_against_archive(cluster, answer.stanza.as_ref());
                self.fill_empty(cluster, answer.stanza.as_ref());
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
            AfterCatalog::StanzaGone => {
                let line = "no stanza is created: this cluster has archived before, and the configured repository \
                            holds nothing of it; to do: check that it is mounted and that its path or bucket is \
                            right; if it is new, run pgbackrest-guard watch --once --create-stanza";
                self.tools.log.warn("stanza", line);
                let wait = self.backoff();
                self.catalog.back_off(cluster, &answer, wait);
            }
            AfterCatalog::BackOff => {
                let wait = self.backoff();
                self.catalog.back_off(cluster, &answer, wait);
            }
        }
    }

    /// Whether the archive's lock is held, and not only for a moment: a push that fails for want of a stanza holds it for most
    /// of a second, and PostgreSQL starts the next one a second later.
    fn stays_locked(&self, cluster: &Cluster) -> bool {
        let began = Instant::now();
        while cluster.archive_is_locked() {
            if began.elapsed() > ONE_PUSH || self.tools.shutdown.wait(PAUSE) {
                return true;
            }
        }
        false
    }

    /// Takes over the times of the catalog's backups. One of a clock that was ahead counts as made now: a stamp in the
    /// future would count as unset.
    fn adopt(&mut self, cluster: &Cluster, newest: Newest, now: i64) {
        self.tools.log.forget("catalog");
        tracing::info!("no full backup was on record, and the catalog has one: it is adopted");
        let (full, any) = (newest.full.min(now), newest.any.min(now));
        self.stamps.note(cluster, &[(LAST_FULL_AT, Some(full)), (LAST_DIFF_AT, Some(any))]);
    }

    /// Takes over what others took since. A backup of our own has a stamp of a moment after its end, which stays.
    fn adopt_newer(&mut self, cluster: &Cluster, catalog: &CatalogAnswer) {
        let CatalogAnswer::Present(newest) = catalog else { return };
        let (stamps, now) = (&mut self.stamps, epoch::now());
        let (full, any, others) = (stamps.last_full_at, stamps.last_diff_at, self.regime.others.is_some());
        let Some(adopted) = adopted(full, any, *newest, others, now) else { return };
        let (kind, at) =
            if full == Some(adopted.full) { ("backup", adopted.any) } else { ("full backup", adopted.full) };
        let ended = jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        tracing::info!("the newest {kind} in the catalog ended at {ended} and is adopted: others took it");
        stamps.note(cluster, &[(LAST_FULL_AT, Some(adopted.full)), (LAST_DIFF_AT, Some(adopted.any))]);
    }

    fn hold_against_archive(&mut self, cluster: &Cluster, stanza: Option<&Stanza>) {
        if let Some(stanza) = stanza {
            self.prover.hold_against_archive(cluster, stanza, &mut self.stamps);
        }
    }

    /// Closes what needs no backup, and adopts what others took.
    pub(super) fn look_up(&mut self, cluster: &Cluster) {
        match self.prover.look_up_before_backup(cluster, &mut self.stamps) {
            LookedUp::Readable(stanza) => {
                self.backup.note_readable(&stanza);
                let repositories = cluster.client.config().map(Config::repositories).unwrap_or_default();
                self.adopt_newer(cluster, &stanza.catalog(cluster.primary.system_id, &repositories));
            }
            LookedUp::Unreadable => self.backup.back_off(),
            LookedUp::NoAnswer => {}
        }
        marker::clear_explained(cluster);
    }

    /// Takes a full into the repositories that have none, though others have.
    fn fill_empty(&mut self, cluster: &Cluster, stanza: Option<&Stanza>) {
        let Some(stanza) = stanza else { return };
        let mut empty = cluster.backup_repositories();
        empty.retain(|key| stanza.lacks_a_full(cluster.primary.system_id, *key));
        if !empty.is_empty() {
            self.begin_backup_in(cluster, Kind::Full, Reason::NoFull, empty);
        }
    }

    /// Begins a backup, unless what has been done in this poll stands against it.
    pub(super) fn begin_backup(&mut self, cluster: &Cluster, kind: Kind, reason: Reason) {
        let all = cluster.backup_repositories();
        let into = if reason == Reason::Gap { self.backup.for_a_gap(cluster, all) } else { all };
        if !into.is_empty() {
            self.begin_backup_in(cluster, kind, reason, into);
        }
    }

    fn begin_backup_in(&mut self, cluster: &Cluster, kind: Kind, reason: Reason, repositories: Vec<u32>) {
        let state = cluster.state().unwrap_or_default();
        let seen = self.observe(cluster, &state, &[]);
        match obstacle(reason, &seen, &self.memory(), &self.schedule()) {
            None if !cluster.must_end() => {
                self.driller.end();
                self.backup.begin(cluster, kind, reason, repositories);
            }
            None | Some(Obstacle::Overtaken) => {}
            Some(Obstacle::Others) => {
                let newest = if kind == Kind::Full { self.stamps.last_full_at } else { self.stamps.last_diff_at };
                self.regime.wait(cluster, kind, reason, newest);
            }
            Some(Obstacle::Locked) => {
                let line = "no backup is begun: another process holds pgBackRest's backup lock";
                self.tools.log.info("backup", line);
            }
        }
    }

    /// Walks up to what the backup has had archived, so that `status` knows at once what can be restored from it.
    fn walk_after_backup(&mut self) {
        let tools = Rc::clone(&self.tools);
        let Ok(server) = self.server.ask(&mut || tools.shutdown.is_requested()) else { return };
        let Ok(cluster) = Cluster::open(&tools, server) else { return };
        match cluster.info() {
            Ok(stanza) => {
                let _ = self.prover.walk(&cluster, &stanza);
            }
            Err(why) => {
                let line = format!("the listing can't be walked: {}", why.shown(MESSAGE_LENGTH));
                tools.log.warn("listing", &line);
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
                self.walk_after_backup();
            }
            Err(why) => {
                let wait = self.backoff();
                self.backup.note_failed(&cluster, &begun, &why, wait);
            }
        }
        true
    }
}
