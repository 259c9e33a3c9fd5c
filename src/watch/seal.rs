//! Sealing: a gap is closed by any backup that began after it, the watcher's own, one of a watcher that was killed before it
//! could say so, or one that a person took.

use super::backup_thread::Completed;
use super::cluster::Cluster;
use super::marker;
use crate::checkpoint;
use crate::decide::watch::Kind;
use crate::epoch;
use crate::ledger::gaps::{BackupStart, LossesBefore};
use crate::ledger::state::State;
use crate::log;
use crate::pgbackrest::info::{Backup, Stanza};
use crate::wal::{Lsn, Timeline};

/// Seals what a backup in the catalog began after. Only by backups on the timeline that is written now: one on another need
/// not descend from the gap's.
pub(super) fn seal_by_catalog(cluster: &Cluster, stanza: &Stanza) {
    let starts = |backup: &Backup| start_of(backup).filter(|start| Some(start.timeline) == cluster.primary.timeline);
    let mut newest = None;
    for backup in stanza.good_backups(cluster.primary.system_id) {
        let Some(start) = starts(backup) else { continue };
        let started_at = backup.timestamp.start;
        newest = newest.max(Some(started_at));
        if cluster.state().is_some_and(|state| state.gaps.any_open()) {
            seal(cluster, &start, LossesBefore::StartedAt(started_at));
        }
    }
    if let Some(newest) = newest {
        marker::clear_if_older(cluster, newest);
    }
}

/// Seals the gaps that ended before a backup began. How many.
pub(super) fn seal(cluster: &Cluster, backup: &BackupStart, losses: LossesBefore<'_>) -> usize {
    let now = epoch::now();
    // Nothing is written where nothing would be sealed.
    let would_seal = |state: State| state.gaps.clone().seal(backup, losses, now, state.segment_size());
    if cluster.state().map_or(0, would_seal) == 0 {
        return 0;
    }
    let mut sealed = 0;
    let recorded = cluster.ledger.update(|state| {
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

/// A backup whose lines did not say where it begins: the catalog knows; else it began where WAL was written to when it
/// was asked for at `since`, or later.
pub(super) fn with_start(
    cluster: &Cluster,
    completed: Completed,
    kind: Kind,
    since: i64,
    position: Option<(Timeline, Lsn)>,
) -> Completed {
    if completed.start.is_some() {
        return completed;
    }
    let listed = cluster.info().ok().and_then(|stanza| {
        let ours = stanza.good_backups(cluster.primary.system_id).filter(|backup| backup.timestamp.start >= since);
        ours.last().and_then(start_of)
    });
    let at_least = position.map(|(timeline, position)| {
        let label = format!("a {} backup of {}", kind.as_str(), jiff::Timestamp::now());
        BackupStart { label, timeline, lsn: position.0 }
    });
    Completed { start: listed.or(at_least), ..completed }
}

fn start_of(backup: &Backup) -> Option<BackupStart> {
    let (timeline, lsn) = (backup.archive.start?.timeline(), backup.lsn.start?.0);
    Some(BackupStart { label: backup.label.clone(), timeline, lsn })
}
