//! `pgbackrest-guard-get`: one WAL file from pgBackRest, and no outage that looks like the end of the archive.
//!
//! PostgreSQL's startup process calls it for one file at a time and waits. The file is fetched beside its target and
//! renamed, so that a kill never leaves a short `RECOVERYXLOG` behind. How long it may wait depends on who asks
//! ([`crate::decide::get::Asker`]): that is looked at before every attempt, and a request for a promotion also during one.

mod attempt;
mod listener;
mod probe;
mod report;
mod silence;

pub use attempt::{Context, Request};

use crate::decide::get::{Decision, decide, limits, patience};
use crate::exit::Exit;
use crate::wal::{Timeline, WalFile};
use attempt::Attempt;
use report::Report;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Timeline 1 has no history (timeline.c, `existsTimeLineHistory`, `readTimeLineHistory`, PostgreSQL 13 to 18), and nobody
/// need be asked for it; `writeTimeLineHistory` asks all the same, in the middle of a promotion.
const NO_HISTORY: WalFile = WalFile::History(Timeline(1));

/// Fetches one file: asks until there is an answer, or until patience ends.
#[must_use]
pub fn get(context: &Context, file: &WalFile) -> Exit {
    if *file == NO_HISTORY {
        tracing::debug!("{file} is absent: timeline 1 has no history");
        return Exit::Failed;
    }
    if context.take_prefetched(file) {
        return Exit::Success;
    }
    let retry = context.request.get.retry.value.duration();
    let timeout = context.request.get.timeout.value.duration();
    let started = Instant::now();
    let mut report = Report::new(file);
    for attempts in 1.. {
        let asker = context.asker(file);
        let patience = patience(asker, retry);
        let limits = limits(asker, attempts, timeout, patience.saturating_sub(started.elapsed()));
        let attempt = context.attempt(file, asker, limits);
        let waited = started.elapsed();
        // A request for a promotion may have come meanwhile.
        let asker = context.asker(file);
        match decide(asker, attempt.outcome, attempts, waited, patience, jitter()) {
            Decision::End(exit) => return end(context, &mut report, attempt, exit, waited),
            Decision::RetryAfter(pause) => {
                report.retry(context, &attempt, asker, patience, waited);
                if context.must_end(pause) {
                    report.shutdown(waited);
                    return Exit::Shutdown;
                }
            }
        }
    }
    Exit::StopRecovery
}

/// The last attempt's answer, unless we were asked to end while it failed.
fn end(context: &Context, report: &mut Report<'_>, attempt: Attempt, exit: Exit, waited: Duration) -> Exit {
    if !attempt.is_answered() && context.must_end(Duration::ZERO) {
        report.shutdown(waited);
        return Exit::Shutdown;
    }
    report.end(context, attempt, exit, waited)
}

/// A number that differs between servers that lost their repository at the same moment.
fn jitter() -> u8 {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    (nanoseconds / 1_000).to_le_bytes().into_iter().fold(0, u8::wrapping_add)
}
