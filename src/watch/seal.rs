//! Sealing: a gap is closed by any backup that began after it, the watcher's own, one of a watcher that was killed before it
//! could say so, or one that a person took.

use super::backup_thread::Completed;
use super::cluster::Cluster;
use super::marker;
use crate::checkpoint;
use crate::decide::watch::Kind;
use crate::epoch;
use crate::ledger::gaps::{BackupStart, LossesBefore, Repositories};
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
            seal(cluster, backup.database.repo_key, &start, LossesBefore::StartedAt(started_at));
        }
    }
    if let Some(newest) = newest {
        marker::clear_if_older(cluster, newest);
    }
}

/// Seals the gaps that ended before a backup began, in its repository alone: a restore takes backup and WAL from one. How many.
pub(super) fn seal(cluster: &Cluster, repository: u32, backup: &BackupStart, losses: LossesBefore<'_>) -> usize {
    let (now, configured, backed_up) = (epoch::now(), cluster.repositories(), cluster.backup_repositories());
    let repositories = Repositories { configured: &configured, backed_up: &backed_up };
    let seal = |state: &mut State| {
        let size = state.segment_size();
        state.gaps.seal_in(repository, repositories, backup, losses, (now, size))
    };
    // Nothing is written where nothing would change.
    let Some(mut copy) = cluster.state() else { return 0 };
    let before = copy.gaps.clone();
    seal(&mut copy);
    if copy.gaps == before {
        return 0;
    }
    let mut sealed = 0;
    match cluster.ledger.update(|state| sealed = seal(state)) {
        Ok(_) => {
            checkpoint::reached("gaps-sealed");
            let gaps = if sealed == 1 { "1 gap is".to_owned() } else { format!("{sealed} gaps are") };
            let place = if configured.len() > 1 { format!(" in repository {repository}") } else { String::new() };
            if sealed > 0 {
                tracing::info!("{gaps} sealed by {}{place}", backup.label);
            }
            sealed
        }
        Err(error) => {
            tracing::error!("{}; no gap is sealed, the next check of the catalog tries again", log::chain(&error));
            0
        }
    }
}

/// Where the backups lie whose lines did not say where they begin: the catalog knows; else they began where WAL was written to
/// when they were asked for at `since`, or later.
pub(super) fn with_starts(
    cluster: &Cluster,
    completed: Completed,
    kind: Kind,
    since: i64,
    position: Option<(Timeline, Lsn)>,
) -> Completed {
    if completed.made.iter().all(|(_, start)| start.is_some()) {
        return completed;
    }
    let catalog = cluster.info().ok();
    let listed = |key: u32| {
        let backups = catalog.iter().flat_map(|stanza| stanza.good_backups(cluster.primary.system_id));
        let ours = backups.filter(|backup| backup.timestamp.start >= since && backup.database.repo_key == key);
        ours.last().and_then(start_of)
    };
    let at_least = position.map(|(timeline, position)| {
        let label = format!("a {} backup of {}", kind.as_str(), jiff::Timestamp::now());
        BackupStart { label, timeline, lsn: position.0 }
    });
    let made = completed.made.into_iter();
    let made = made.map(|(key, start)| (key, start.or_else(|| listed(key)).or_else(|| at_least.clone()))).collect();
    Completed { made, ..completed }
}

fn start_of(backup: &Backup) -> Option<BackupStart> {
    let (timeline, lsn) = (backup.archive.start?.timeline(), backup.lsn.start?.0);
    Some(BackupStart { label: backup.label.clone(), timeline, lsn })
}
