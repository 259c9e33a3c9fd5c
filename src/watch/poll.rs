//! One poll: observe, decide, act.

use super::Watcher;
use super::ask::MESSAGE_LENGTH;
use super::backup::{Backup, Before, Made};
use super::repair::Candidate;
use crate::checkpoint;
use crate::data_directory::Recovery;
use crate::decide::watch::{Action, AfterCatalog, Kind, Observation, Reason, after_catalog, backoff, decide};
use crate::ledger::gaps::{Cause, LossesBefore};
use crate::ledger::state::State;
use crate::log;
use crate::pgbackrest::info::{Catalog, Doubt};
use crate::pgbackrest::locks;
use crate::postgres::{Primary, Server};
use crate::signals::Signals;
use std::path::PathBuf;
use std::time::Duration;

impl Watcher {
    /// Observes, decides and acts, once; then writes the metrics.
    pub(super) fn poll(&mut self) {
        self.backup_ended();
        let answers = self.watch_primary();
        self.write_metrics(answers);
    }

    /// Whether the server answers; a standby is left alone.
    fn watch_primary(&mut self) -> bool {
        let (signals, told) = (&self.signals, &mut self.told);
        let primary = match self.server.ask(&mut || is_told(signals, told)) {
            Ok(Server::Primary(primary)) => primary,
            Ok(Server::Recovering) => {
                self.say("iteration", "iteration skipped: this server is a standby".to_owned());
                return true;
            }
            Err(error) => {
                self.say("iteration", format!("iteration skipped: {}", log::chain(&error)));
                return false;
            }
        };
        let directory = &self.request.data_directory;
        if directory.recovery() == Recovery::Standby {
            self.say(
                "iteration",
                "iteration skipped: this data directory is a standby's, though a primary answers".to_owned(),
            );
        } else if directory.control().is_some_and(|control| control.system_id != primary.system_id) {
            let path = directory.path().display();
            self.warn(
                "iteration",
                format!("iteration skipped: the server that answers is not that of {path}; see PGHOST and PGPORT"),
            );
        } else if let Some(why) = directory.invalid_bucket() {
            self.say("iteration", format!("iteration skipped: archiving is switched off ({why})"));
        } else if let Err(error) = self.open_files() {
            self.warn("iteration", format!("iteration skipped: {}", log::chain(&error)));
        } else if self.remember(&primary) {
            self.say("iteration", "watching a primary".to_owned());
            self.act(&primary);
        }
        true
    }

    fn act(&mut self, primary: &Primary) {
        self.free_space();
        self.sweep();
        if primary.archives_always {
            let line = "no backup is taken: archive_mode is always, and pgBackRest refuses to back such a server up (67); \
                        set archive_mode=on";
            self.warn("archive_mode", line.to_owned());
        }
        // What push has healed by itself costs no backup.
        self.clear_marker();
        let state = self.ledger_state().unwrap_or_default();
        let candidates = self.repairable(&state);
        let seen = self.observe(primary, &state, &candidates);
        self.note_commits(primary, &state);
        self.look_for_wedge();
        let mut candidates = Some(candidates);
        for action in decide(&seen, &self.memory, &self.schedule()) {
            if self.is_told() {
                return;
            }
            match action {
                Action::Heartbeat => self.heartbeat(),
                Action::AskCatalog => self.ask_catalog(primary),
                Action::ProveContinuity => self.prove_continuity(primary),
                Action::Repair => self.repair_now(candidates.take().unwrap_or_default(), primary),
                Action::Backup(_, Reason::Gap) if self.is_sealed_already(primary) => {}
                Action::Backup(_, Reason::Unproven) if !self.failures.are_newer_than(self.proven) => {}
                Action::Backup(kind, reason) => self.start_backup(kind, reason, primary),
            }
        }
        self.clear_marker();
    }

    fn observe(&self, primary: &Primary, state: &State, candidates: &[Candidate]) -> Observation {
        let now = self.now();
        let past = |at: &i64| *at <= now;
        let ours = state.push.last_failure.as_ref().map(|failure| failure.at);
        // What pgBackRest drops by itself is counted by nobody else.
        let dropped = state.gaps.open().filter(|gap| gap.cause != Cause::FoundMissing).map(|gap| gap.last_at);
        let failures = primary.last_failed_at.into_iter().chain(ours).chain(dropped);
        Observation {
            now,
            gap: self.gap_needs_a_backup(state),
            unchecked: self.is_unchecked(state, primary),
            repairable: !candidates.is_empty(),
            healable: candidates.iter().any(Candidate::is_in_a_gap),
            last_failure_at: failures.filter(past).max(),
            backup_runs: self.backup.is_some(),
            backup_refused: primary.archives_always,
            unproven: self.failures.are_newer_than(self.proven) && primary.caught_up,
        }
    }

    /// Whether a gap wants a backup of its own. An acknowledged one waits for the next that is taken anyway.
    fn gap_needs_a_backup(&self, state: &State) -> bool {
        let marked = self.request.data_directory.gap_marker().exists();
        state.gaps.any_unacknowledged() || marked && !self.marker_is_acknowledged(state)
    }

    fn heartbeat(&mut self) {
        let (signals, told) = (&self.signals, &mut self.told);
        match self.server.heartbeat(&mut || is_told(signals, told)) {
            Ok(()) => drop(self.said.remove("heartbeat")),
            Err(error) => self.warn("heartbeat", format!("no heartbeat: {}", log::chain(&error))),
        }
    }

    fn ask_catalog(&mut self, primary: &Primary) {
        let has_full = self.memory.last_full_at.is_some();
        self.memory.check_tried_at = Some(self.now());
        let (catalog, stanza) = self.catalog(primary.system_id);
        let now = self.now();
        if self.told {
            return;
        }
        self.note_catalog(&catalog, stanza.as_ref());
        if !matches!(catalog, Catalog::Inconclusive { .. }) {
            self.note(&[("last_catalog_verify_at", Some(now))]);
        }
        self.memory.inconclusive_at = None;
        let doubt = if let Catalog::Inconclusive { doubt, .. } = &catalog { Some(*doubt) } else { None };
        self.memory.dark = matches!(doubt, Some(Doubt::Dark | Doubt::StanzaMissing));
        match after_catalog(&catalog, has_full, self.archive_lock_is_held()) {
            AfterCatalog::Confirmed => {
                self.say("catalog", "catalog verified: full backup present".to_owned());
                if let Some(stanza) = stanza {
                    self.walk(&stanza, primary);
                }
            }
            AfterCatalog::Adopt(newest) => {
                self.said.remove("catalog");
                tracing::info!("no full backup was on record, and the catalog has one: it is adopted");
                // A backup of a clock that was ahead counts as made now: a stamp in the future would count as unset.
                let (full, any) = (newest.full.min(now), newest.any.min(now));
                self.note(&[("last_full_at", Some(full)), ("last_diff_at", Some(any))]);
                if let Some(stanza) = stanza {
                    self.walk(&stanza, primary);
                }
            }
            AfterCatalog::TakeFull { cleared } => {
                self.said.remove("catalog");
                if cleared {
                    tracing::warn!("catalog shows no full backup despite local state: clearing last_full_at");
                    self.note(&[("last_full_at", None), ("last_diff_at", None)]);
                }
                self.take_first_full(primary);
            }
            AfterCatalog::CreateStanza => self.stanza(now, primary),
            AfterCatalog::BackOff => self.inconclusive(&catalog, now),
        }
    }

    fn inconclusive(&mut self, catalog: &Catalog, now: i64) {
        self.memory.inconclusive_at = Some(now);
        let wait = backoff(&self.memory, &self.schedule());
        self.warn("catalog", format!("catalog check {catalog}; asked again in {wait} s"));
    }

    fn stanza(&mut self, now: i64, primary: &Primary) {
        match self.create_stanza() {
            Ok(()) => {
                tracing::info!("stanza-create completed");
                self.memory.dark = false;
                self.take_first_full(primary);
            }
            Err(why) => {
                self.memory.inconclusive_at = Some(now);
                let (why, remedy) = (why.shown(MESSAGE_LENGTH), why.remedy());
                self.warn("catalog", format!("the stanza can't be created: {why}; to do: {remedy}"));
            }
        }
    }

    /// The first full backup, unless one has just failed.
    fn take_first_full(&mut self, primary: &Primary) {
        let now = self.now();
        let wait = i64::try_from(backoff(&self.memory, &self.schedule())).unwrap_or(i64::MAX);
        let failed = self.memory.backup_failed_at.is_some_and(|at| at <= now && now - at < wait);
        if self.backup.is_none() && !failed && !self.told && !primary.archives_always {
            self.start_backup(Kind::Full, Reason::NoFull, primary);
        }
    }

    fn start_backup(&mut self, kind: Kind, reason: Reason, primary: &Primary) {
        if self.backup.is_some() || self.told || self.memory.dark {
            return;
        }
        if self.lock_is_held("backup", "backup") || self.lock_is_held("backup", "expire") {
            self.say("backup", "no backup is begun: another process holds pgBackRest's backup lock".to_owned());
            return;
        }
        self.said.remove("backup");
        let line = format!("running pgbackrest backup --type={} ({})", kind.as_str(), words(reason));
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&line)]);
        tracing::info!("{line}");
        let stall = self.request.watch.stall.duration();
        let gaps = self.ledger_state().map(|state| state.gaps).unwrap_or_default();
        let before = Before {
            reason,
            started_at: self.now(),
            gaps,
            marked_at: self.marked_at(),
            failures: self.failures,
            position: primary.timeline.zip(primary.position),
        };
        self.backup = Some(Backup::start(&self.client, kind, stall, before));
        checkpoint::reached("backup-begun");
    }

    /// Takes up the result of a backup that has ended. False when none has.
    pub(super) fn backup_ended(&mut self) -> bool {
        let Some(result) = self.backup.as_ref().and_then(Backup::result) else { return false };
        let Some(backup) = self.backup.take() else { return false };
        match result {
            Ok(made) => self.backup_made(&backup, made),
            Err(why) => {
                self.memory.backup_failed_at = Some(self.now());
                let wait = backoff(&self.memory, &self.schedule());
                let (kind, remedy) = (backup.kind.as_str(), why.remedy());
                let why = why.shown(MESSAGE_LENGTH);
                tracing::error!("backup --type={kind} failed: {why}; tried again in {wait} s; to do: {remedy}");
            }
        }
        true
    }

    fn backup_made(&mut self, backup: &Backup, made: Made) {
        checkpoint::reached("backup-made");
        let made = self.with_start(backup, made);
        let now = self.now();
        self.memory.backup_failed_at = None;
        let mut stamps = vec![("last_diff_at", Some(now))];
        let kind = made.kind(backup.kind);
        if kind == "full" {
            stamps.push(("last_full_at", Some(now)));
        }
        self.note(&stamps);
        self.note_proven(backup.before.failures);
        checkpoint::reached("backup-noted");
        tracing::info!("backup --type={kind} completed: {}", made.label());
        if let Some(why) = &made.expire_failed {
            let why = why.shown(MESSAGE_LENGTH);
            tracing::warn!(
                "expire failed, the backup is good: {why}; what should have expired stays until the next backup"
            );
        }
        let losses = LossesBefore::OnRecord(&backup.before.gaps);
        let sealed = made.start.as_ref().map_or(0, |start| self.seal(start, losses));
        self.marker_is_covered(backup);
        // A gap that a backup does not seal is not sealed by the next one at once.
        let left = backup.before.gaps.any_open() && sealed == 0
            || backup.before.marked_at.is_some() && self.marked_at().is_some();
        self.memory.unsealed_at = (backup.before.reason == Reason::Gap && left).then_some(now);
        let (signals, told) = (&self.signals, &mut self.told);
        if let Err(error) = self.server.anchor(&mut || is_told(signals, told)) {
            tracing::warn!("no anchor for recovery_target_time: {}; nothing needs to be done", log::chain(&error));
        }
        self.note_repositories();
        self.note_new_backup();
    }

    fn repair_now(&mut self, candidates: Vec<Candidate>, primary: &Primary) {
        let well = self.repair(candidates, primary);
        self.memory.repair_failed_at = if well { None } else { Some(self.now()) };
    }

    fn archive_lock_is_held(&self) -> bool {
        let stanza = &self.request.common.stanza.value;
        self.lock_path()
            .is_some_and(|path| locks::worker(&path, stanza).is_some() || locks::is_held(&path, stanza, "archive"))
    }

    fn lock_is_held(&self, kind: &str, word: &str) -> bool {
        let stanza = &self.request.common.stanza.value;
        self.lock_path().is_some_and(|path| {
            locks::held_since(&path, stanza, kind, word).is_some() || locks::is_held(&path, stanza, kind)
        })
    }

    pub(super) fn lock_path(&self) -> Option<PathBuf> {
        self.client.config().map(|config| config.lock_path("archive-push"))
    }
}

pub(super) fn is_told(signals: &Signals, told: &mut bool) -> bool {
    *told = *told || signals.wait(Duration::ZERO);
    *told
}

fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFull => "there is no full backup",
        Reason::Gap => "a gap can't be healed",
        Reason::Unproven => "pushes have failed, and it can't be shown that nothing is missing",
        Reason::Due => "it is due",
    }
}
