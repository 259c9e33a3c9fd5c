//! Space that only a checkpoint frees: push may not wait for one, so the watcher asks.

use super::Watcher;
use super::poll::is_told;
use crate::log;
use crate::space::{self, Limits, Volume};

impl Watcher {
    /// Asks for a checkpoint when space is under the reserve and PostgreSQL holds WAL that it may recycle.
    pub(super) fn free_space(&mut self) {
        let pg_wal = self.request.data_directory.pg_wal();
        let volume = Volume::of(&pg_wal);
        let reserve = Limits::new(None, self.request.watch.free_reserve, volume, None).reserve;
        let short = volume.free.is_some_and(|free| free < reserve);
        if !short || space::recyclable(&pg_wal) == 0 {
            self.said.remove("space");
            return;
        }
        self.say(
            "space",
            "free space is under WAL_FREE_RESERVE_MB: a checkpoint is asked for, which frees what is archived"
                .to_owned(),
        );
        let (signals, told) = (&self.signals, &mut self.told);
        if let Err(error) = self.server.checkpoint(&mut || is_told(signals, told)) {
            tracing::debug!("the checkpoint has not ended yet: {}", log::chain(&error));
        }
    }
}
