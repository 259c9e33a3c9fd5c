//! One base backup, on a thread of its own.
//!
//! A thread runs `pgbackrest backup --no-expire-auto` for one repository after the other, where there are several, and then `pgbackrest expire`, whose failure does not make the
//! backup one. It is judged by progress, not by the clock: a large backup may take a day, but one that moves no byte for
//! `WAL_BACKUP_STALL_SECONDS` is ended. What was really made pgBackRest itself says: it makes a full one where no
//! other kind is possible.

use crate::decide::watch::Kind;
use crate::ledger::gaps::BackupStart;
use crate::pgbackrest::{Client, Failure, Interruption, LocalServer, Watch, progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long `expire` may take.
const EXPIRE_LIMIT: Duration = Duration::from_hours(1);

/// A backup that runs.
#[derive(Debug)]
pub(super) struct BackupThread {
    result: Receiver<Result<Completed, Failure>>,
    stop: Arc<AtomicBool>,
    client: Arc<Client>,
    thread: Option<JoinHandle<()>>,
}

/// A backup that has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Completed {
    /// The repositories that have one, each with its label, and where it begins; `None` where pgBackRest's lines were cut.
    pub(super) made: Vec<(u32, Option<BackupStart>)>,
    /// What `expire` said, where it failed.
    pub(super) expire_failed: Option<Failure>,
    /// The repositories into which none could be made, and why.
    pub(super) failed: Vec<(u32, Failure)>,
}

impl Completed {
    /// Its kind, which its label ends in; the one that was asked for where there is none.
    pub(super) fn kind(&self, asked: Kind) -> &'static str {
        match self.first().and_then(|start| start.label.chars().last()) {
            Some('F') => "full",
            Some('D') => "diff",
            Some('I') => "incr",
            _ => asked.as_str(),
        }
    }

    /// Its label, as far as that is known.
    pub(super) fn label(&self) -> &str {
        self.first().map_or("its label is not known", |start| &start.label)
    }

    fn first(&self) -> Option<&BackupStart> {
        self.made.iter().find_map(|(_, start)| start.as_ref())
    }
}

impl BackupThread {
    /// Begins a backup, into each of these repositories; `only`: no other is configured. `stall` of zero: it may stand still for ever.
    pub(super) fn start(
        pgbackrest: &Arc<Client>,
        kind: Kind,
        (repositories, only): (Vec<u32>, bool),
        server: LocalServer,
        stall: Duration,
    ) -> Self {
        let (sender, result) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (client, must_end) = (Arc::clone(pgbackrest), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let _ = sender.send(run_all(&client, kind, (&repositories, only), &server, (stall, &must_end)));
        });
        let client = Arc::clone(pgbackrest);
        Self { result, stop, client, thread: Some(thread) }
    }

    /// Its result, once it has ended.
    pub(super) fn result(&self) -> Option<Result<Completed, Failure>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                Some(Err(self.client.local_failure("its thread ended without a result", 125)))
            }
        }
    }
}

impl Drop for BackupThread {
    /// Ends the backup and its workers with the watcher.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One after the other. It has failed when no repository has one. The only one needs no name.
fn run_all(
    client: &Client,
    kind: Kind,
    (repositories, only): (&[u32], bool),
    server: &LocalServer,
    limits: (Duration, &AtomicBool),
) -> Result<Completed, Failure> {
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for key in repositories {
        match run(client, kind, (!only).then_some(*key), server, limits) {
            Ok(start) => made.push((*key, start)),
            Err(why) => failed.push((*key, why)),
        }
        if limits.1.load(Ordering::Relaxed) {
            break;
        }
    }
    match failed.first() {
        Some((_, why)) if made.is_empty() => Err(why.clone()),
        _ => Ok(Completed { made, expire_failed: expire(client, limits.1), failed }),
    }
}

/// Makes one. Where it begins, if its lines say so.
fn run(
    client: &Client,
    kind: Kind,
    repository: Option<u32>,
    server: &LocalServer,
    (stall, must_end): (Duration, &AtomicBool),
) -> Result<Option<BackupStart>, Failure> {
    let mut progress = Progress { moved: None, since: Instant::now() };
    let watch = Watch::by(|group| {
        if must_end.load(Ordering::Relaxed) {
            return Some(Interruption::Signal);
        }
        (!stall.is_zero() && progress.stands_still_for(stall, group)).then_some(Interruption::Stall)
    });
    let made = client.backup(kind.as_str(), repository, server, watch)?;
    Ok(made.map(|made| BackupStart { label: made.label, timeline: made.start.0, lsn: made.start.1.0 }))
}

/// Runs `expire`; why it failed, if it did.
fn expire(client: &Client, must_end: &AtomicBool) -> Option<Failure> {
    let started = Instant::now();
    let watch = Watch::by(|_| {
        let late = (started.elapsed() > EXPIRE_LIMIT).then_some(Interruption::TimeLimit);
        if must_end.load(Ordering::Relaxed) { Some(Interruption::Signal) } else { late }
    });
    client.expire(watch).err()
}

/// Bytes that each of pgBackRest's processes has moved, and since when none has moved more.
struct Progress {
    moved: Option<BTreeMap<u32, u64>>,
    since: Instant,
}

impl Progress {
    fn stands_still_for(&mut self, stall: Duration, group: u32) -> bool {
        let moved = progress::bytes_moved_by_each(group);
        // Telemetry that fails is no stall. A process that comes or goes is no progress.
        let grows = |now: &BTreeMap<u32, u64>| {
            let before = self.moved.as_ref();
            now.iter().any(|(pid, bytes)| before.and_then(|before| before.get(pid)).is_some_and(|known| bytes > known))
        };
        if self.moved.is_none() || moved.as_ref().is_none_or(grows) {
            self.since = Instant::now();
        }
        self.moved = moved;
        self.since.elapsed() >= stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::Timeline;

    #[test]
    fn a_backup_is_of_the_kind_that_its_label_ends_in() {
        let completed = |label: &str| {
            let start = BackupStart { label: label.to_owned(), timeline: Timeline(1), lsn: 0 };
            Completed { made: vec![(1, Some(start))], expire_failed: None, failed: Vec::new() }
        };
        assert_eq!(completed("20261122-100000F_20261122-110000D").kind(Kind::Full), "diff");
        assert_eq!(completed("20261122-100000F").kind(Kind::Diff), "full");
        let unknown = Completed { made: vec![(1, None)], expire_failed: None, failed: Vec::new() };
        assert_eq!(unknown.kind(Kind::Full), "full");
    }
}
