//! `pgbackrest-guard-get`: one WAL file from pgBackRest, and no outage that looks like the end of the archive.
//!
//! PostgreSQL's startup process calls it for one file at a time and waits. The file is fetched beside its target and
//! renamed, so that a kill never leaves a short `RECOVERYXLOG` behind.

mod attempt;
mod report;

pub use attempt::{Context, Request};

use crate::data_directory::Recovery;
use crate::decide::get::{Decision, Outcome, decide};
use crate::exit::Exit;
use crate::wal::WalFile;
use report::Report;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a standby's second attempt, and a recovery's last one, may take.
const QUICK_LIMIT: Duration = Duration::from_secs(10);

/// Fetches one file: asks until there is an answer, or until patience ends.
#[must_use]
pub fn get(context: &Context, file: &WalFile) -> Exit {
    if context.take_prefetched(file) {
        return Exit::Success;
    }
    let patience = context.request.get.retry.value.duration();
    let started = Instant::now();
    let mut report = Report::new(file, patience);
    for attempts in 1.. {
        let recovery = context.recovery();
        let attempt = context.attempt(file, limit(recovery, attempts, patience.saturating_sub(started.elapsed())));
        let waited = started.elapsed();
        match decide(recovery, attempt.outcome, attempts, waited, patience, jitter()) {
            Decision::End(_) if !attempt.is_answered() && context.must_end(Duration::ZERO) => {
                report.told(waited);
                return Exit::Shutdown;
            }
            Decision::End(exit) => {
                report.end(context, &attempt, recovery, exit, waited);
                return exit;
            }
            Decision::RetryAfter(pause) => {
                report.retry(context, &attempt, recovery, waited);
                if context.must_end(pause) {
                    report.told(waited);
                    return Exit::Shutdown;
                }
            }
        }
        debug_assert!(!matches!(attempt.outcome, Outcome::Restored | Outcome::Absent));
    }
    Exit::StopRecovery
}

/// What an attempt may take at most, beside `WAL_GET_TIMEOUT_SECONDS`: a standby's second one is quick, and in a recovery
/// none goes on for long after `left`, what is left of the patience.
fn limit(recovery: Recovery, attempts: u32, left: Duration) -> Duration {
    match recovery {
        Recovery::Standby if attempts > 1 => QUICK_LIMIT,
        Recovery::OneShot if attempts > 1 => left.max(QUICK_LIMIT),
        Recovery::Standby | Recovery::OneShot => Duration::MAX,
    }
}

/// A number that differs between servers that lost their repository at the same moment.
fn jitter() -> u8 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    (nanoseconds / 1_000).to_le_bytes().into_iter().fold(0, u8::wrapping_add)
}
