//! What `restore_command` answers, and how long it may take to answer.
//!
//! PostgreSQL takes every code from 1 to 125 as "no such file" (xlogarchive.c, `RestoreArchivedFile`, PostgreSQL 13 to
//! 15; `shell_restore.c` from 16). In a one-shot recovery that is where the archive ends, and it promotes. pgBackRest's
//! errors are 25 to 125, so an outage would end a recovery early. Hence *absent* is said only when pgBackRest has said so
//! in words, of this very file and for every repository; all else is asked again, and in the end stops the server.
//!
//! Stopping it is safe only while a signal file lies in the data directory: then a later start goes on recovering.
//! A promotion removes it (xlog.c, `StartupXLOG`) and asks once more, for the parent timeline's history
//! (timeline.c, `writeTimeLineHistory`). A server that is stopped at that moment starts read-write on the old timeline and
//! archives other content under names that exist, so that call ends soon, and never with 254: PostgreSQL falls back on the
//! copy in `pg_wal`. A standby streams meanwhile and asks again by itself, so there pgBackRest's code may pass; but it
//! notices no request for a promotion while it waits for us, so it is never kept waiting for a repository that is silent.

use crate::exit::{ArchiverCode, Exit};
use std::time::Duration;

/// The first pause between attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause before a standby's second attempt.
const QUICK_PAUSE: Duration = Duration::from_millis(200);
/// What a standby's second attempt may take, and a recovery's last one.
const QUICK_LIMIT: Duration = Duration::from_secs(5);
/// A recovery's later attempts may take what is left of the patience, but at least this.
const LAST_LIMIT: Duration = Duration::from_secs(10);
/// When a call that a promotion waits for is ended. It is over within 2 s: the clock is looked at every 0.1 s, and a
/// pgBackRest that does not heed SIGTERM has 0.3 s.
pub const PROMOTION_LIMIT: Duration = Duration::from_millis(1500);
/// The same, where the repository has been silent before: a promotion makes four such calls (PostgreSQL 15).
const SILENT_PROMOTION_LIMIT: Duration = Duration::from_millis(500);
/// For how long the parent's history is asked for where `pg_wal` has no copy of it.
const HISTORY_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a repository may be silent while a standby waits.
const SILENCE: Duration = Duration::from_secs(10);
/// The same, where it has been silent before.
pub const SILENCE_AGAIN: Duration = Duration::from_secs(2);
/// The same, where a promotion is possible, or now and then where it has long been silent: a repository that is slow to
/// begin, such as one behind a login, gets that far.
const SILENCE_BETWEEN: Duration = Duration::from_secs(5);

/// How a call of pgBackRest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal of somebody else.
    Signaled,
    /// By us: the time limit passed, or the repository was silent.
    TimeLimit,
    /// By us: we were asked to end.
    Shutdown,
    /// It was never started.
    NotStarted,
}

/// What pgBackRest said of the file, beside its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// `unable to find NAME in the archive`, of this very file, and no repository failed.
    Absent,
    /// A repository failed (`repoN: [`), so what the others lack it may have.
    RepositoryFailed,
    /// Neither; or more than was kept.
    Nothing,
}

/// What was found where the file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A whole file.
    Whole,
    /// A segment of another size than the cluster's, or an empty file.
    NotWhole,
    /// Nothing.
    Nothing,
}

/// What one attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The file is here, whole.
    Restored,
    /// Every repository that was asked says that it lacks the file.
    Absent,
    /// We were asked to end.
    Shutdown,
    /// Nothing is known; the exit is what a standby passes on, 2 to 125.
    Inconclusive(Exit),
}

/// Judges one attempt.
#[must_use]
pub fn outcome(ended: Ended, words: Words, found: Found) -> Outcome {
    match (ended, found) {
        (Ended::Exited(0), Found::Whole) => Outcome::Restored,
        // What pgBackRest says when a file could not be read whole (`FileReadError`).
        (Ended::Exited(0), Found::NotWhole | Found::Nothing) => Outcome::Inconclusive(code(42)),
        (Ended::Exited(1), _) => match words {
            Words::Absent => Outcome::Absent,
            // What pgBackRest says when no repository can be asked (`RepoInvalidError`).
            Words::RepositoryFailed => Outcome::Inconclusive(code(103)),
            // Not pgBackRest's word: a wrapper's, a shell's, sudo's.
            Words::Nothing => Outcome::Inconclusive(Exit::Unknown),
        },
        (Ended::Exited(other), _) => Outcome::Inconclusive(code(other)),
        (Ended::Signaled, _) => Outcome::Inconclusive(Exit::Terminated),
        (Ended::TimeLimit, _) => Outcome::Inconclusive(Exit::TimedOut),
        (Ended::NotStarted, _) => Outcome::Inconclusive(Exit::Unknown),
        (Ended::Shutdown, _) => Outcome::Shutdown,
    }
}

fn code(code: i32) -> Exit {
    Exit::PgBackRest(ArchiverCode::from_child(code))
}

/// Who waits for the answer, and what it would do without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A standby (`standby.signal`): it streams meanwhile and asks again by itself.
    Standby {
        /// Whether a promotion waits for this call.
        promotion: Promotion,
        /// Whether the repository was silent the last time that this standby asked.
        silent_before: Before,
    },
    /// A one-shot recovery (`recovery.signal`): what is not there ends it, and a start after 254 goes on with it.
    Recovery,
    /// A server that has removed its signal files and writes its new timeline's history, or `pg_rewind -c`.
    NewTimeline {
        /// Whether the asked-for history lies in `pg_wal`, which PostgreSQL falls back on.
        kept: bool,
        /// Whether the repository was silent the last time that this server asked.
        silent_before: Before,
    },
    /// Anybody else without a signal file, who asks for a segment: `pg_rewind -c`.
    Rewind,
}

/// Whether a promotion waits for a standby's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promotion {
    /// Nothing speaks for one.
    Unlikely,
    /// The data directory's entries have changed a moment ago, in a way that has another reason.
    Possible,
    /// It was asked for, or the request seems to have been removed a moment ago.
    Waits,
}

/// What is noted of the repository's earlier silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Heard,
    /// A moment ago it was silent for as long as a promotion would wait, which says little of a repository.
    Briefly,
    /// It was silent for long.
    Silent,
    /// The same, and it has not been given more time for minutes.
    LongSilent,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its end.
    pub whole: Duration,
    /// Without anything coming from the repository.
    pub silence: Duration,
}

/// The limits of attempt number `attempt` (from 1). `timeout` is `WAL_GET_TIMEOUT_SECONDS`; `left` is what is left of the
/// patience.
#[must_use]
pub fn limits(asker: Asker, attempt: u32, timeout: Duration, left: Duration) -> Limits {
    let (whole, silence) = match asker {
        Asker::Standby { promotion: Promotion::Waits, silent_before }
        | Asker::NewTimeline { kept: true, silent_before } => {
            let heard = silent_before == Before::Heard;
            (if heard { PROMOTION_LIMIT } else { SILENT_PROMOTION_LIMIT }, Duration::MAX)
        }
        Asker::Standby { .. } if attempt > 1 => (QUICK_LIMIT, SILENCE_AGAIN),
        Asker::Standby { promotion, silent_before } => (Duration::MAX, silence(promotion, silent_before)),
        Asker::NewTimeline { kept: false, .. } => (left, Duration::MAX),
        Asker::Recovery | Asker::Rewind if attempt > 1 => (left.max(LAST_LIMIT), Duration::MAX),
        Asker::Recovery | Asker::Rewind => (Duration::MAX, Duration::MAX),
    };
    Limits { whole: timeout.min(whole), silence }
}

/// For how long the repository may be silent while a standby waits that no promotion is known to be asked of.
fn silence(promotion: Promotion, before: Before) -> Duration {
    match (before, promotion) {
        (Before::Silent, _) | (Before::Briefly | Before::LongSilent, Promotion::Possible) => SILENCE_AGAIN,
        (Before::LongSilent, _) | (Before::Heard, Promotion::Possible) => SILENCE_BETWEEN,
        (Before::Heard | Before::Briefly, _) => SILENCE,
    }
}

/// For how long the asker is kept waiting, all attempts together. `retry` is `WAL_GET_RETRY_SECONDS`.
#[must_use]
pub fn patience(asker: Asker, retry: Duration) -> Duration {
    match asker {
        Asker::Standby { .. } | Asker::NewTimeline { kept: true, .. } => Duration::ZERO,
        Asker::NewTimeline { kept: false, .. } => HISTORY_PATIENCE,
        Asker::Recovery | Asker::Rewind => retry,
    }
}

/// What to do after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// The program ends.
    End(Exit),
    /// Another attempt after this pause.
    RetryAfter(Duration),
}

/// Decides after attempt number `attempts` (from 1), `waited` since the first began, with `patience` for all of them.
/// `jitter`, 0 to 255, spreads the pauses of several servers.
pub fn decide(
    asker: Asker,
    outcome: Outcome,
    attempts: u32,
    waited: Duration,
    patience: Duration,
    jitter: u8,
) -> Decision {
    let exit = match outcome {
        Outcome::Restored => return Decision::End(Exit::Success),
        Outcome::Absent => return Decision::End(Exit::Failed),
        Outcome::Shutdown => return Decision::End(Exit::Shutdown),
        Outcome::Inconclusive(exit) => exit,
    };
    let again = || {
        let pause = pause(attempts, jitter).min(patience.saturating_sub(waited));
        if waited >= patience { None } else { Some(Decision::RetryAfter(pause)) }
    };
    match asker {
        // A second attempt costs a standby little where the first was quick.
        Asker::Standby { promotion: Promotion::Unlikely | Promotion::Possible, .. }
            if attempts == 1 && waited < SILENCE_AGAIN =>
        {
            Decision::RetryAfter(QUICK_PAUSE)
        }
        Asker::Standby { .. } => Decision::End(exit),
        Asker::NewTimeline { .. } => again().unwrap_or(Decision::End(exit)),
        Asker::Recovery | Asker::Rewind => again().unwrap_or(Decision::End(Exit::StopRecovery)),
    }
}

/// The pause after attempt number `attempts`: 1 s, doubled each time, at most 30 s, and shortened by up to a quarter.
fn pause(attempts: u32, jitter: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    doubled.saturating_sub(doubled / 4 * u32::from(jitter) / 255)
}

#[cfg(test)]
#[path = "get_tests.rs"]
mod tests;
