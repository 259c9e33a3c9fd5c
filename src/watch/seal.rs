//! Sealing: a gap is closed by any backup that began after it, the watcher's own, one of a watcher that was killed before it
//! could say so, or one that a person took.

use super::backup_thread::{Completed, Made};
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
            seal(cluster, Some(backup.database.repo_key), &start, LossesBefore::StartedAt(started_at));
        }
    }
    if let Some(newest) = newest {
        marker::clear_if_older(cluster, newest);
    }
}

/// Seals, in its repository (`None`: the only one), the gaps that ended before a backup began. How many. One into which no
/// backups are made has nothing to be restored from, and keeps no gap open.
pub(super) fn seal(
    cluster: &Cluster,
    repository: Option<u32>,
    backup: &BackupStart,
    losses: LossesBefore<'_>,
) -> usize {
    let (now, configured, backed_up) = (epoch::now(), cluster.repositories(), cluster.backup_repositories());
    let keys = || configured.iter().filter(|key| repository.is_none_or(|own| own == **key) || !backed_up.contains(key));
    let seal_all = |state: &mut State| {
        let size = state.segment_size();
        let sealed = |key: &u32| state.gaps.seal_in(*key, &configured, backup, losses, (now, size));
        match repository.filter(|own| configured.contains(own)).or(configured.first().copied()) {
            Some(_) => keys().map(sealed).max().unwrap_or(0),
            None => state.gaps.seal(backup, losses, now, size),
        }
    };
    // Nothing is written where nothing would be sealed.
    if cluster.state().map_or(0, |mut state| seal_all(&mut state)) == 0 {
        return 0;
    }
    let mut sealed = 0;
    let recorded = cluster.ledger.update(|state| sealed = seal_all(state));
    match recorded {
        Ok(_) => {
            checkpoint::reached("gaps-sealed");
            let gaps = if sealed == 1 { "1 gap is".to_owned() } else { format!("{sealed} gaps are") };
            let place = repository.filter(|_| configured.len() > 1);
            let place = place.map_or(String::new(), |key| format!(" in repository {key}"));
            tracing::info!("{gaps} sealed by {}{place}", backup.label);
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
    if completed.made.iter().all(|made| made.start.is_some()) {
        return completed;
    }
    let stanza = cluster.info().ok();
    let listed = |repository: Option<u32>| {
        let ours = stanza.as_ref()?.good_backups(cluster.primary.system_id);
        let ours = ours.filter(|backup| repository.is_none_or(|key| backup.database.repo_key == key));
        ours.filter(|backup| backup.timestamp.start >= since).last().and_then(start_of)
    };
    let at_least = position.map(|(timeline, position)| {
        let label = format!("a {} backup of {}", kind.as_str(), jiff::Timestamp::now());
        BackupStart { label, timeline, lsn: position.0 }
    });
    let with_start = |made: Made| {
        let start = made.start.or_else(|| listed(made.repository)).or_else(|| at_least.clone());
        Made { start, ..made }
    };
    Completed { made: completed.made.into_iter().map(with_start).collect(), ..completed }
}

fn start_of(backup: &Backup) -> Option<BackupStart> {
    let (timeline, lsn) = (backup.archive.start?.timeline(), backup.lsn.start?.0);
    Some(BackupStart { label: backup.label.clone(), timeline, lsn })
}
