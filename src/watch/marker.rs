//! The gap marker: `.pgbackrest_gap_pending`, whose existence is the signal for people and scripts.
//!
//! Push records a loss in the ledger, then writes the marker; so it is removed under the ledger's lock, and only while no
//! gap is open.

use super::Watcher;
use super::backup::Backup;
use crate::checkpoint;
use crate::epoch;
use crate::ledger::state::State;
use crate::log;
use std::fs;
use std::time::SystemTime;

/// How long push may take from the record of a loss to the marker, in seconds.
const MARKING: i64 = 60;

impl Watcher {
    /// A marker that no ledger explains is covered by a backup that began after it was written.
    pub(super) fn marker_is_covered(&mut self, backup: &Backup) {
        if self.marked_at().is_some_and(|at| Some(at) == backup.before.marked_at) {
            self.remove_marker_without_gap();
        }
    }

    /// The same for one in the catalog, which began at `started_at`, in seconds since 1970.
    pub(super) fn marker_is_older_than(&mut self, started_at: i64) {
        if self.marked_at().and_then(epoch::seconds).is_some_and(|at| at < started_at) {
            self.remove_marker_without_gap();
        }
    }

    /// When the marker was written last.
    pub(super) fn marked_at(&self) -> Option<SystemTime> {
        fs::metadata(self.request.data_directory.gap_marker()).and_then(|file| file.modified()).ok()
    }

    /// Removes the marker when the losses in the ledger explain it, and none is open any more.
    pub(super) fn clear_marker(&mut self) {
        if self.ledger_state().is_some_and(|state| self.marker_is_explained(&state)) {
            self.remove_marker_without_gap();
        }
    }

    /// Whether the marker is there only because of gaps that are acknowledged: it stays, and asks for nothing.
    pub(super) fn marker_is_acknowledged(&self, state: &State) -> bool {
        state.gaps.any_open() && !state.gaps.any_unacknowledged() && self.marker_is_explained(state)
    }

    /// Whether the ledger's losses explain the marker. One that is newer than all of them is somebody else's sign of a
    /// loss.
    fn marker_is_explained(&self, state: &State) -> bool {
        let Some(at) = self.marked_at().and_then(epoch::seconds) else { return false };
        state
            .gaps
            .iter()
            .any(|gap| (gap.last_at.saturating_sub(MARKING)..=gap.last_at.saturating_add(MARKING)).contains(&at))
    }

    fn remove_marker_without_gap(&mut self) {
        let marker = self.request.data_directory.gap_marker();
        // Under the ledger's lock, so that no push records a loss in between.
        let Some(ledger) = &self.ledger else { return };
        let removed = ledger.unless_open(|| fs::remove_file(&marker));
        match removed {
            Ok(Some(Ok(()))) => {
                checkpoint::reached("marker-removed");
                tracing::info!("cleared gap marker");
            }
            Ok(Some(Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                self.warn("marker", format!("can't remove {}: {error}", marker.display()));
            }
            Ok(_) => {}
            Err(error) => self.warn("marker", log::chain(&error)),
        }
    }
}
