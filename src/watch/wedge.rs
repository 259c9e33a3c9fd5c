//! A wedged async worker.
//!
//! pgBackRest's async push process can hang for ever on a connection that says nothing (#1522, #1617); as long as it
//! holds its lock no other starts, and every push times out. It is ended when nothing has been archived for 600 s though
//! WAL waits, and it has moved no byte for as long. It is found by its lock file and checked to be a pgBackRest of this
//! stanza; a name alone would hit strangers.

use super::Watcher;
use crate::pgbackrest::locks::{self, Worker};
use crate::pgbackrest::progress;
use crate::postgres::Primary;
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long a worker has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(30);

/// What was seen of the archive and its worker.
#[derive(Debug)]
pub(super) struct Wedge {
    seen: Option<Seen>,
    since: Instant,
    ended: Option<(Worker, Instant)>,
}

/// What changes while archiving gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    archived_count: u64,
    worker: Option<Worker>,
    moved: Option<u64>,
}

impl Default for Wedge {
    fn default() -> Self {
        Self { seen: None, since: Instant::now(), ended: None }
    }
}

impl Watcher {
    /// Ends a worker that is wedged; sends SIGKILL to one that has not ended since.
    pub(super) fn look_for_wedge(&mut self, primary: &Primary, wal_waits: bool) {
        let worker = self
            .session
            .config
            .as_ref()
            .and_then(|config| locks::worker(&config.lock_path("archive-push"), &self.request.common.stanza.value));
        let moved = worker.as_ref().and_then(|worker| progress::bytes_moved(worker.group));
        let seen = Seen { archived_count: primary.archived_count, worker: worker.clone(), moved };
        let still = wal_waits && moved.is_some() && self.wedge.seen.as_ref() == Some(&seen);
        if !still {
            self.wedge = Wedge { seen: Some(seen), since: Instant::now(), ended: self.wedge.ended.take() };
        }
        let Some(worker) = worker else {
            self.wedge.ended = None;
            return;
        };
        match &self.wedge.ended {
            Some((ended, at)) if *ended == worker && at.elapsed() >= GRACE => {
                tracing::warn!("pgBackRest's async process {} has not ended: killed", worker.pid);
                signal(&worker, Signal::KILL);
                self.wedge.ended = None;
            }
            Some((ended, _)) if *ended == worker => {}
            _ if still && self.wedge.since.elapsed() >= PATIENCE => {
                let seconds = PATIENCE.as_secs();
                tracing::warn!(
                    "pgBackRest's async process {} has moved nothing for {seconds} s while WAL waits: ended",
                    worker.pid
                );
                signal(&worker, Signal::TERM);
                self.wedge.ended = Some((worker, Instant::now()));
            }
            _ => {}
        }
    }
}

fn signal(worker: &Worker, signal: Signal) {
    if let Some(pid) = i32::try_from(worker.pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
