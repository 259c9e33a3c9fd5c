//! Space that only a checkpoint frees: push may not wait for one, so the watcher asks.

use super::cluster::Cluster;
use crate::log;
use crate::postgres::Postgres;
use crate::space::{self, Limits, Volume};

/// Asks for a checkpoint when space is under the reserve and PostgreSQL holds WAL that it may recycle.
pub(super) fn free(cluster: &Cluster, server: &Postgres) {
    let log = &cluster.tools.log;
    let pg_wal = cluster.directory().pg_wal();
    let volume = Volume::of(&pg_wal);
    let reserve = Limits::new(None, cluster.request().watch.free_reserve, volume, None).reserve;
    let short = volume.free.is_some_and(|free| free < reserve);
    if !short || space::recyclable(&pg_wal) == 0 {
        log.forget("space");
        return;
    }
    let line = "free space is under WAL_FREE_RESERVE_MB: requesting a checkpoint, which frees archived WAL";
    log.info("space", line);
    if let Err(error) = server.checkpoint(&mut || cluster.must_end()) {
        tracing::debug!("the checkpoint has not ended yet: {}", log::chain(&error));
    }
}
