//! One base backup, beside the loop.
//!
//! A thread runs `pgbackrest backup --no-expire-auto` and then `pgbackrest expire`, whose failure does not make the
//! backup one. It is judged by progress, not by the clock: a large backup may take a day, but one that moves no byte for
//! `WAL_BACKUP_STALL_SECONDS` is ended. What was really made is read from pgBackRest's own lines (src/command/backup/
//! backup.c, 2.45 to 2.59: `backup start archive = …, lsn = …`, `new backup label = …`): it makes a full one where no
//! other kind is possible.

use crate::decide::watch::{Failures, Kind, Reason};
use crate::ledger::gaps::{BackupStart, Gaps};
use crate::pgbackrest::call::Verbosity;
use crate::pgbackrest::output;
use crate::pgbackrest::progress;
use crate::pgbackrest::run::{self, Ended, Ending, Watch};
use crate::session::Session;
use crate::wal::{Lsn, SegmentName, Timeline};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// How often a running backup is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long `expire` may take.
const EXPIRE_LIMIT: Duration = Duration::from_hours(1);
/// Characters of pgBackRest's message in a line.
const MESSAGE_LENGTH: usize = 500;

/// A backup that runs.
#[derive(Debug)]
pub(super) struct Backup {
    /// What was asked for.
    pub(super) kind: Kind,
    /// What was when it was begun: it can be a proof only of that.
    pub(super) before: Before,
    result: Receiver<Result<Made, String>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was when a backup was begun.
#[derive(Debug)]
pub(super) struct Before {
    /// Why it was begun.
    pub(super) reason: Reason,
    /// When, in seconds since 1970.
    pub(super) started_at: i64,
    /// The gaps on record.
    pub(super) gaps: Gaps,
    /// When the gap marker was written.
    pub(super) marked_at: Option<SystemTime>,
    /// PostgreSQL's failures.
    pub(super) failures: Failures,
    /// The timeline, and up to where WAL had been written: the backup begins there or later.
    pub(super) position: Option<(Timeline, Lsn)>,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    /// Its label, and where it begins; `None` where pgBackRest's lines were cut.
    pub(super) start: Option<BackupStart>,
    /// What `expire` said, where it failed.
    pub(super) expire_failed: Option<String>,
}

impl Made {
    /// Its kind, which its label ends in; the one that was asked for where there is none.
    pub(super) fn kind(&self, asked: Kind) -> &'static str {
        match self.start.as_ref().and_then(|start| start.label.chars().last()) {
            Some('F') => "full",
            Some('D') => "diff",
            Some('I') => "incr",
            _ => asked.as_str(),
        }
    }

    /// Its label, as far as that is known.
    pub(super) fn label(&self) -> &str {
        self.start.as_ref().map_or("its label is not known", |start| &start.label)
    }
}

#[derive(Debug, Clone, Copy)]
enum Stop {
    Stalled,
    TimeLimit,
    Told,
}

impl Backup {
    /// Begins a backup. `stall` of zero: it may stand still for ever.
    pub(super) fn start(session: &Arc<Session>, kind: Kind, stall: Duration, before: Before) -> Self {
        let (sender, result) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (session, told) = (Arc::clone(session), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let _ = sender.send(make(&session, kind, stall, &told));
        });
        Self { kind, before, result, stop, thread: Some(thread) }
    }

    /// Its result, once it has ended.
    pub(super) fn result(&self) -> Option<Result<Made, String>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err("its thread ended without a result".to_owned())),
        }
    }
}

impl Drop for Backup {
    /// Ends the backup and its workers with the watcher.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn make(session: &Session, kind: Kind, stall: Duration, told: &AtomicBool) -> Result<Made, String> {
    let kind = format!("--type={}", kind.as_str());
    let arguments = ["backup", "--no-expire-auto", kind.as_str()].map(OsStr::new);
    let mut progress = Progress { moved: None, since: Instant::now() };
    let mut check = |group: u32| {
        if told.load(Ordering::Relaxed) {
            return Some(Stop::Told);
        }
        (!stall.is_zero() && progress.stands_still_for(stall, group)).then_some(Stop::Stalled)
    };
    let ended = run(session.caller.command_saying(Verbosity::Info, arguments), &mut check);
    let text = printed(&ended);
    let made = match ended.ending {
        Ending::Exited(0) => parse(&text),
        other => return Err(why(session, &other, &text, stall)),
    };
    Ok(Made { start: made, expire_failed: expire(session, told) })
}

/// Runs `expire`; what it said, where it failed.
fn expire(session: &Session, told: &AtomicBool) -> Option<String> {
    let started = Instant::now();
    let mut check = |_| {
        let late = (started.elapsed() > EXPIRE_LIMIT).then_some(Stop::TimeLimit);
        if told.load(Ordering::Relaxed) { Some(Stop::Told) } else { late }
    };
    let ended = run(session.caller.command([OsStr::new("expire")]), &mut check);
    let text = printed(&ended);
    match ended.ending {
        Ending::Exited(0) => None,
        other => Some(why(session, &other, &text, EXPIRE_LIMIT)),
    }
}

fn run(command: Command, check: &mut dyn FnMut(u32) -> Option<Stop>) -> Ended<Stop> {
    run::run(
        command,
        None,
        Watch { check, interval: INTERVAL, on_signal: Stop::Told, keep: run::KEPT_BYTES, grace: run::GRACE },
    )
}

fn printed(ended: &Ended<Stop>) -> String {
    output::joined(&ended.stderr, &ended.stdout)
}

fn why(session: &Session, ending: &Ending<Stop>, text: &str, limit: Duration) -> String {
    let errors = output::errors(text);
    let said = session.redactor.redact(errors.as_bytes()).one_line(MESSAGE_LENGTH);
    match ending {
        Ending::Exited(code) => format!("pgBackRest {code}: {said}"),
        Ending::Signaled(signal) => format!("pgBackRest was ended by signal {signal}"),
        Ending::Stopped(Stop::Stalled) => format!("stalled: no progress for {} s, ended", limit.as_secs()),
        Ending::Stopped(Stop::TimeLimit) => format!("ended after {} s", limit.as_secs()),
        Ending::Stopped(Stop::Told) => "ended, because the watcher ends".to_owned(),
        Ending::NotStarted(error) => format!("pgBackRest can't be started: {error}"),
    }
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

/// The label and the start, from pgBackRest's lines.
fn parse(text: &str) -> Option<BackupStart> {
    let after = |mark: &str| text.lines().rev().find_map(|line| line.split_once(mark)).map(|(_, rest)| rest.trim());
    let label = after("new backup label = ")?.to_owned();
    let (segment, lsn) = after("backup start archive = ")?.split_once(", lsn = ")?;
    let (segment, lsn): (SegmentName, Lsn) = (segment.trim().parse().ok()?, lsn.trim().parse().ok()?);
    Some(BackupStart { label, timeline: segment.timeline(), lsn: lsn.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_kind_and_start_are_read_from_pgbackrests_lines() {
        let text = "INFO: execute non-exclusive backup start\n\
                    INFO: backup start archive = 000000030000000100000002, lsn = 1/2000028\n\
                    INFO: new backup label = 20261122-100000F_20261122-110000D\nINFO: full backup size = 1MB\n";
        let start = parse(text).unwrap();
        assert_eq!((start.timeline.0, start.lsn), (3, 0x1_0200_0028));
        let made = Made { start: Some(start), expire_failed: None };
        assert_eq!((made.label(), made.kind(Kind::Full)), ("20261122-100000F_20261122-110000D", "diff"));
        assert_eq!(Made { start: None, expire_failed: None }.kind(Kind::Full), "full");
        assert_eq!(parse("INFO: new backup label = 20261122-100000F\n"), None);
    }
}
