//! The gap marker: `.pgbackrest_gap_pending`, whose existence is the signal for people and scripts.
//!
//! Push records a loss in the ledger, then writes the marker; so it is removed under the ledger's lock, and only while no
//! gap is open.

use super::cluster::Cluster;
use crate::checkpoint;
use crate::decide::marker::is_explained;
use crate::epoch;
use crate::log;
use std::fs;
use std::time::SystemTime;

/// When the marker was written last.
pub(super) fn written_at(cluster: &Cluster) -> Option<SystemTime> {
    fs::metadata(cluster.directory().gap_marker()).and_then(|file| file.modified()).ok()
}

/// The same in seconds since 1970.
pub(super) fn seconds(cluster: &Cluster) -> Option<i64> {
    written_at(cluster).map(|at| epoch::seconds(at).unwrap_or(0))
}

/// Removes the marker when the losses on record explain it, and none is open any more.
pub(super) fn clear_explained(cluster: &Cluster) {
    let explained = |at| cluster.state().is_some_and(|state| is_explained(&state.gaps, at));
    if seconds(cluster).is_some_and(explained) {
        clear(cluster);
    }
}

/// Removes one that no ledger explains, because a backup of our own began after it was written, and it has not been
/// written since.
pub(super) fn clear_if_unchanged(cluster: &Cluster, written: Option<SystemTime>) {
    if written_at(cluster).is_some_and(|at| Some(at) == written) {
        clear(cluster);
    }
}

/// The same for a backup in the catalog, which began at `started_at`, in seconds since 1970.
pub(super) fn clear_if_older(cluster: &Cluster, started_at: i64) {
    if seconds(cluster).is_some_and(|at| at < started_at) {
        clear(cluster);
    }
}

fn clear(cluster: &Cluster) {
    let marker = cluster.directory().gap_marker();
    // Under the ledger's lock, so that no push records a loss in between.
    match cluster.ledger.unless_open(|| fs::remove_file(&marker)) {
        Ok(Some(Ok(()))) => {
            checkpoint::reached("marker-removed");
            tracing::info!("cleared gap marker");
        }
        Ok(Some(Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
            cluster.tools.log.warn("marker", &format!("can't remove {}: {error}", marker.display()));
        }
        Ok(_) => {}
        Err(error) => cluster.tools.log.warn("marker", &log::chain(&error)),
    }
}
