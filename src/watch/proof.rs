//! Proofs: that nothing is missing although pushes have failed, and that a backup began after a gap.
//!
//! PostgreSQL tries a failed file again, so failures alone lose nothing; but whether all of them ended well is written
//! nowhere. The listing of the archive shows it. Where it can't be shown, a backup makes the question idle. A gap is sealed
//! by any backup that began after it: the watcher's own, one of a watcher that was killed before it could say so, one
//! that a person took.

use super::Watcher;
use super::backup::Made;
use super::holes::Walk;
use crate::checkpoint;
use crate::decide::watch::PROOFS;
use crate::ledger::gaps::{BackupStart, LossesBefore};
use crate::ledger::state::State;
use crate::log;
use crate::pgbackrest::info::{Backup, Stanza};
use crate::postgres::Primary;

impl Watcher {
    /// Shows that nothing is missing although pushes have failed.
    pub(super) fn prove_continuity(&mut self, primary: &Primary) {
        match self.info() {
            Ok(stanza) => self.walk(&stanza, primary),
            Err(why) => {
                self.warn("listing", format!("it can't be shown that nothing is missing: {why}"));
                self.not_proven(1);
            }
        }
    }

    /// Walks the listing, and seals what a backup in the catalog began after.
    pub(super) fn walk(&mut self, stanza: &Stanza, primary: &Primary) {
        let looked_up = self.look_up(stanza, primary);
        let walk = self.look_for_holes(stanza, primary);
        if looked_up && walk == Walk::Whole {
            self.note_checked();
        }
        if self.failures.are_newer_than(self.proven) && primary.caught_up && !self.told {
            match walk {
                Walk::Whole => {
                    tracing::info!("archiving had failed and has caught up: nothing is missing but what is on record");
                    self.note_proven(self.failures);
                }
                Walk::Broken => self.not_proven(1),
                Walk::TooLong => self.not_proven(PROOFS),
            }
        }
        self.seal_by_catalog(stanza, primary);
    }

    fn not_proven(&mut self, tries: u32) {
        self.memory.unproven_at = Some(self.now());
        self.memory.unproven_count = self.memory.unproven_count.saturating_add(tries);
    }

    /// Whether the catalog already holds what a backup for a gap would be taken for.
    pub(super) fn is_sealed_already(&mut self, primary: &Primary) -> bool {
        if let Ok(stanza) = self.info() {
            if !stanza.repo.is_empty() && !stanza.repo.iter().any(|repo| stanza.is_readable(repo.key)) {
                self.memory.backup_failed_at = Some(self.now());
                self.warn("backup", "no backup is begun: no repository can be read".to_owned());
                return true;
            }
            self.look_up(&stanza, primary);
            self.seal_by_catalog(&stanza, primary);
        }
        self.clear_marker();
        let open = self.ledger_state().is_none_or(|state| state.gaps.any_open());
        !open && !self.request.data_directory.gap_marker().exists()
    }

    /// Only by backups on the timeline that is written now: one on another need not descend from the gap's.
    fn seal_by_catalog(&mut self, stanza: &Stanza, primary: &Primary) {
        let system_id = primary.system_id;
        for backup in stanza.good_backups(system_id) {
            let open = self.ledger_state().is_some_and(|state| state.gaps.any_open());
            let start = start_of(backup).filter(|start| Some(start.timeline) == primary.timeline);
            if let (true, Some(start)) = (open, start) {
                self.seal(&start, LossesBefore::StartedAt(backup.timestamp.start));
            }
        }
        let of_now = |backup: &&Backup| start_of(backup).is_some_and(|start| Some(start.timeline) == primary.timeline);
        if let Some(newest) = stanza.good_backups(system_id).filter(of_now).map(|backup| backup.timestamp.start).max() {
            self.marker_is_older_than(newest);
        }
    }

    /// A backup whose lines did not say where it begins: the catalog knows; else it began where WAL was written to when it
    /// was asked for, or later.
    pub(super) fn with_start(&mut self, asked: &super::backup::Backup, made: Made) -> Made {
        if made.start.is_some() {
            return made;
        }
        let (system_id, since) = (self.system_id.unwrap_or(0), asked.before.started_at);
        let listed = self.info().ok().and_then(|stanza| {
            let newest = stanza.good_backups(system_id).filter(|backup| backup.timestamp.start >= since).last();
            newest.and_then(start_of)
        });
        let at_least = asked.before.position.map(|(timeline, position)| {
            let label = format!("a {} backup of {}", asked.kind.as_str(), jiff::Timestamp::now());
            BackupStart { label, timeline, lsn: position.0 }
        });
        Made { start: listed.or(at_least), ..made }
    }

    /// Seals the gaps that ended before a backup began. How many.
    pub(super) fn seal(&mut self, backup: &BackupStart, losses: LossesBefore<'_>) -> usize {
        let now = self.now();
        let Some(ledger) = &self.ledger else { return 0 };
        // Nothing is written where nothing would be sealed.
        let would_seal = |state: State| state.gaps.clone().seal(backup, losses, now, state.segment_size());
        if self.ledger_state().map_or(0, would_seal) == 0 {
            return 0;
        }
        let mut sealed = 0;
        let recorded = ledger.update(|state| {
            let size = state.segment_size();
            sealed = state.gaps.seal(backup, losses, now, size);
        });
        match recorded {
            Ok(_) => {
                checkpoint::reached("gaps-sealed");
                let gaps = if sealed == 1 { "1 gap is".to_owned() } else { format!("{sealed} gaps are") };
                tracing::info!("{gaps} sealed by {}", backup.label);
                sealed
            }
            Err(error) => {
                tracing::error!("{}; no gap is sealed, the next check of the catalog tries again", log::chain(&error));
                0
            }
        }
    }
}

fn start_of(backup: &Backup) -> Option<BackupStart> {
    let (timeline, lsn) = (backup.archive.start?.timeline(), backup.lsn.start?.0);
    Some(BackupStart { label: backup.label.clone(), timeline, lsn })
}
