//! One poll: observe, decide, act.

use super::Watcher;
use super::backup::{Backup, Made};
use super::repair::Candidate;
use super::state_file::StateFile;
use crate::decide::watch::{Action, AfterCatalog, Kind, Observation, Reason, after_catalog, backoff, decide};
use crate::ledger::Ledger;
use crate::ledger::state::State;
use crate::log;
use crate::pgbackrest::info::Catalog;
use crate::pgbackrest::locks;
use crate::postgres::{Primary, Server};
use std::fs;

/// The key of the cluster and the repository that the stamps are about.
const FINGERPRINT: &str = "guard_identity";

impl Watcher {
    /// Observes, decides and acts, once; then writes the metrics.
    pub(super) fn poll(&mut self) {
        self.backup_ended();
        let answers = self.watch_primary();
        self.write_metrics(answers);
    }

    /// Whether the server answers; a standby is left alone.
    fn watch_primary(&mut self) -> bool {
        let primary = match self.server.ask() {
            Ok(Server::Primary(primary)) => primary,
            Ok(Server::Recovering) => {
                self.say_once("iteration skipped: this server is a standby".to_owned());
                return true;
            }
            Err(error) => {
                self.say_once(format!("iteration skipped: {}", log::chain(&error)));
                return false;
            }
        };
        if self.remember(&primary) {
            match Ledger::peek(self.ledger.folder()) {
                Ok(state) => self.act(&primary, &state.unwrap_or_default()),
                Err(error) => self.say_once(format!("iteration skipped: {}", log::chain(&error))),
            }
        }
        true
    }

    fn act(&mut self, primary: &Primary, state: &State) {
        let candidates = self.repairable(state);
        let seen = self.observe(primary, state, &candidates);
        self.look_for_wedge(primary, self.request.data_directory.wal_waits());
        let actions = decide(&seen, &self.memory, &self.schedule());
        self.say_once("watching a primary".to_owned());
        let mut candidates = Some(candidates);
        for action in actions {
            match action {
                Action::Heartbeat => self.heartbeat(),
                Action::AskCatalog => self.ask_catalog(primary),
                Action::Repair => self.repair_now(candidates.take().unwrap_or_default(), primary),
                Action::Backup(kind, reason) => self.start_backup(kind, reason),
            }
        }
        self.clear_marker();
    }

    /// Takes over what the state file says. False when it can't be read.
    fn remember(&mut self, primary: &Primary) -> bool {
        self.system_id = Some(primary.system_id);
        match self.state_file() {
            Ok(file) => {
                self.forget_what_is_foreign(&file);
                for key in ["last_full_at", "last_diff_at", "last_catalog_verify_at"] {
                    if file.is_corrupt(key) {
                        self.say_once(format!(".pgbackrest_backup_state: {key} is no number and counts as unset"));
                    }
                }
                let now = self.now();
                let file = self.state_file().unwrap_or(file);
                let past = |key: &str| file.number(key).filter(|at| *at <= now);
                self.memory.last_full_at = past("last_full_at");
                self.memory.last_diff_at = past("last_diff_at");
                self.memory.last_verify_at = past("last_catalog_verify_at");
                true
            }
            Err(error) => {
                self.say_once(format!("iteration skipped: .pgbackrest_backup_state can't be read: {error}"));
                false
            }
        }
    }

    /// Stamps that were made for another cluster, data directory or repository count as unset.
    fn forget_what_is_foreign(&mut self, file: &StateFile) {
        let Ok(Some(state)) = Ledger::peek(self.ledger.folder()) else { return };
        let identity = serde_json::to_vec(&state.identity).unwrap_or_default();
        let fingerprint = i64::from(crc32fast::hash(&identity));
        match file.number(FINGERPRINT) {
            Some(known) if known == fingerprint => {}
            Some(_) => {
                tracing::warn!(
                    ".pgbackrest_backup_state is about another cluster or repository: its stamps count as unset"
                );
                let unset = [("last_full_at", None), ("last_diff_at", None), ("last_catalog_verify_at", None)];
                self.note(&unset);
                self.note(&[(FINGERPRINT, Some(fingerprint))]);
            }
            None => self.note(&[(FINGERPRINT, Some(fingerprint))]),
        }
    }

    fn observe(&self, primary: &Primary, state: &State, candidates: &[Candidate]) -> Observation {
        let ours = state.push.last_failure.as_ref().map(|failure| failure.at);
        Observation {
            now: self.now(),
            gap: state.gaps.any_open() || self.request.data_directory.gap_marker().exists(),
            repairable: !candidates.is_empty(),
            last_failure_at: primary.last_failed_at.max(ours),
            backup_runs: self.backup.is_some(),
        }
    }

    fn heartbeat(&mut self) {
        if let Err(error) = self.server.heartbeat() {
            self.say_once(format!("no heartbeat: {}", log::chain(&error)));
        }
    }

    fn ask_catalog(&mut self, primary: &Primary) {
        let has_full = self.memory.last_full_at.is_some();
        let (catalog, stanza) = self.catalog(primary.system_id);
        let now = self.now();
        self.note(&[("last_catalog_verify_at", Some(now))]);
        if self.told {
            return;
        }
        self.memory.inconclusive_at = None;
        match after_catalog(&catalog, has_full, self.archive_lock_is_held()) {
            AfterCatalog::Confirmed => {
                tracing::info!("catalog verified: full backup present");
                if let Some(stanza) = stanza {
                    self.look_for_holes(&stanza, primary);
                }
            }
            AfterCatalog::Adopt(newest) => {
                tracing::info!("no full backup was on record, and the catalog has one: it is adopted");
                self.note(&[("last_full_at", Some(newest.full)), ("last_diff_at", Some(newest.any))]);
            }
            AfterCatalog::TakeFull { cleared } => {
                if cleared {
                    tracing::warn!("catalog shows no full backup despite local state: clearing last_full_at");
                    self.note(&[("last_full_at", None), ("last_diff_at", None)]);
                }
                self.take_first_full();
            }
            AfterCatalog::CreateStanza => self.stanza(now),
            AfterCatalog::BackOff => self.inconclusive(&catalog, now),
        }
    }

    fn inconclusive(&mut self, catalog: &Catalog, now: i64) {
        self.memory.inconclusive_at = Some(now);
        let wait = backoff(&self.memory, &self.schedule());
        self.say_once(format!("catalog check {catalog}; asked again in {wait} s"));
    }

    fn stanza(&mut self, now: i64) {
        match self.create_stanza() {
            Ok(()) => {
                tracing::info!("stanza-create completed");
                self.take_first_full();
            }
            Err(why) => {
                self.memory.inconclusive_at = Some(now);
                self.say_once(format!("the stanza can't be created: {why}"));
            }
        }
    }

    /// The first full backup, unless one has just failed.
    fn take_first_full(&mut self) {
        let now = self.now();
        let wait = i64::try_from(backoff(&self.memory, &self.schedule())).unwrap_or(i64::MAX);
        let failed = self.memory.backup_failed_at.is_some_and(|at| at <= now && now - at < wait);
        if self.backup.is_none() && !failed && !self.told {
            self.start_backup(Kind::Full, Reason::NoFull);
        }
    }

    fn start_backup(&mut self, kind: Kind, reason: Reason) {
        tracing::info!("running pgbackrest backup --type={} ({})", kind.as_str(), words(reason));
        let stall = self.request.watch.stall.duration();
        self.backup = Some(Backup::start(&self.session, kind, stall, self.now()));
    }

    /// Takes up the result of a backup that has ended. False when none has.
    pub(super) fn backup_ended(&mut self) -> bool {
        let Some(result) = self.backup.as_ref().and_then(Backup::result) else { return false };
        let Some(backup) = self.backup.take() else { return false };
        match result {
            Ok(made) => self.backup_made(&backup, &made),
            Err(why) => {
                self.memory.backup_failed_at = Some(self.now());
                tracing::error!("backup --type={} failed: {why}", backup.kind.as_str());
            }
        }
        true
    }

    fn backup_made(&mut self, backup: &Backup, made: &Made) {
        let now = self.now();
        self.memory.backup_failed_at = None;
        let mut stamps = vec![("last_diff_at", Some(now))];
        if made.kind() == "full" {
            stamps.push(("last_full_at", Some(now)));
        }
        self.note(&stamps);
        tracing::info!("backup --type={} completed: {}", made.kind(), made.label);
        if let Some(why) = &made.expire_failed {
            tracing::warn!("expire failed, the backup is good: {why}");
        }
        let mut sealed = 0;
        let recorded = self.ledger.update(|state| {
            let size = state.segment_size();
            sealed = state.gaps.seal(made.start_lsn, backup.started_at, &made.label, now, size);
        });
        match recorded {
            Ok(_) if sealed > 0 => tracing::info!("{sealed} gaps are sealed by {}", made.label),
            Ok(_) => {}
            Err(error) => tracing::error!("{}; no gap is sealed", log::chain(&error)),
        }
        self.marker_is_covered(backup);
        if let Err(error) = self.server.anchor() {
            tracing::warn!("no anchor for recovery_target_time: {}", log::chain(&error));
        }
    }

    /// A marker that no ledger explains is covered by a backup that began after it.
    fn marker_is_covered(&mut self, backup: &Backup) {
        let marker = self.request.data_directory.gap_marker();
        let written = fs::metadata(&marker).and_then(|file| file.modified()).ok();
        let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let before = written.is_some_and(|at| i64::try_from(at.as_secs()).is_ok_and(|at| at < backup.started_at));
        if before {
            self.remove_marker_without_gap();
        }
    }

    /// Removes the marker when the ledger knows of losses and none is open any more.
    fn clear_marker(&mut self) {
        let known = Ledger::peek(self.ledger.folder()).ok().flatten();
        if known.is_some_and(|state| state.gaps.iter().next().is_some()) {
            self.remove_marker_without_gap();
        }
    }

    fn remove_marker_without_gap(&mut self) {
        let marker = self.request.data_directory.gap_marker();
        // Under the ledger's lock, so that no push records a loss in between.
        let removed = self.ledger.unless_open(|| fs::remove_file(&marker));
        match removed {
            Ok(Some(Ok(()))) => tracing::info!("cleared gap marker"),
            Ok(Some(Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                self.say_once(format!("can't remove {}: {error}", marker.display()));
            }
            Ok(_) => {}
            Err(error) => self.say_once(log::chain(&error)),
        }
    }

    fn repair_now(&mut self, candidates: Vec<Candidate>, primary: &Primary) {
        let well = self.repair(candidates, primary.system_id);
        self.memory.repair_failed_at = if well { None } else { Some(self.now()) };
    }

    fn archive_lock_is_held(&self) -> bool {
        let stanza = &self.request.common.stanza.value;
        let path = self.session.config.as_ref().map(|config| config.lock_path("archive-push"));
        path.is_some_and(|path| locks::held_since(&path, stanza, "archive", "archive-push:async").is_some())
    }

    /// Writes stamps into the state file and remembers them.
    fn note(&mut self, stamps: &[(&str, Option<i64>)]) {
        let written = self.state_file().and_then(|mut file| file.set(stamps));
        if let Err(error) = written {
            tracing::error!(".pgbackrest_backup_state can't be written: {error}");
        }
        for (key, value) in stamps {
            match *key {
                "last_full_at" => self.memory.last_full_at = *value,
                "last_diff_at" => self.memory.last_diff_at = *value,
                "last_catalog_verify_at" => self.memory.last_verify_at = *value,
                _ => {}
            }
        }
    }
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFull => "there is no full backup",
        Reason::Gap => "a gap can't be healed",
        Reason::Due => "it is due",
    }
}
