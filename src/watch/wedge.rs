//! A wedged async worker: what is to be seen of it, and the signals that end it.
//!
//! It is found by its lock file and checked to be a pgBackRest of this stanza; a name alone would hit strangers.

use super::cluster::Cluster;
use crate::checkpoint;
use crate::decide::wedge::{PATIENCE, Remedy, Seen, Wedge};
use crate::pgbackrest::locks::{self, Worker};
use crate::pgbackrest::progress;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::time::Instant;

/// Watches the worker from poll to poll.
pub(super) struct WorkerWatch {
    wedge: Wedge,
    /// Since when, by the clock that can't be set.
    since: Instant,
}

impl WorkerWatch {
    pub(super) fn new() -> Self {
        Self { wedge: Wedge::default(), since: Instant::now() }
    }

    /// Ends a worker that is wedged; sends SIGKILL to one that has not ended since.
    pub(super) fn look(&mut self, cluster: &Cluster) {
        let worker = cluster.lock_path().and_then(|path| locks::worker(&path, cluster.client.stanza()));
        let seen = Seen {
            wal_waits: cluster.directory().wal_waits(),
            moved: worker.as_ref().and_then(|worker| progress::bytes_moved(worker.group)),
            worker,
        };
        let patience = checkpoint::patience(PATIENCE);
        match self.wedge.look(seen, self.since.elapsed(), patience) {
            Some(Remedy::Terminate(worker)) => {
                let (pid, seconds) = (worker.pid, patience.as_secs());
                tracing::warn!(
                    "pgBackRest's async process {pid} has made no progress for {seconds} s while WAL waits: ended"
                );
                signal(&worker, Signal::TERM);
            }
            Some(Remedy::Kill(worker)) => {
                tracing::warn!(
                    "pgBackRest's async process {} has not ended: killed; what it had to push is pushed again",
                    worker.pid
                );
                signal(&worker, Signal::KILL);
                if let Some(group) = i32::try_from(worker.group).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
            None => {}
        }
    }
}

fn signal(worker: &Worker, signal: Signal) {
    if let Some(pid) = i32::try_from(worker.pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
