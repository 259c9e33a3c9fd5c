//! The report, as its JSON shows it. Field names and meaning are fixed; `None` is unknown.
//!
//! Times are RFC 3339 in UTC, sizes bytes.

use crate::decide::status::Verdict;
use crate::ledger::gaps::Gap;
use crate::ledger::state::{LastFailure, State};
use crate::wal::SegmentSize;
use jiff::Timestamp;
use serde::Serialize;

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The version of this layout.
    pub schema: u32,
    /// How things stand.
    pub verdict: Verdict,
    /// Why, one sentence each, the worst first.
    pub reasons: Vec<String>,
    /// The cluster.
    pub cluster: Cluster,
    /// Archiving now.
    pub archiving: Archiving,
    /// What push counts.
    pub push: Push,
    /// Every gap; `None` when the ledger can't be read.
    pub gaps: Option<Vec<GapReport>>,
    /// What a check of the repository's catalog found.
    pub catalog: Catalog,
    /// Base backups.
    pub backups: Backups,
    /// What can be restored; unknown without the catalog.
    pub windows: Option<Vec<()>>,
}

/// The cluster.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cluster {
    /// The data directory.
    pub pgdata: Option<String>,
    /// The system identifier, which is larger than what some JSON readers take for a number.
    pub system_id: Option<String>,
    /// The timeline of the last checkpoint.
    pub timeline: Option<u32>,
    /// Whether the server is recovering, or was when it stopped.
    pub in_recovery: Option<bool>,
}

/// Archiving now.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Archiving {
    /// Whether archiving is switched on.
    pub enabled: Option<bool>,
    /// Why the bucket's settings were refused.
    pub invalid_bucket: Option<String>,
    /// The newest file that PostgreSQL counts as archived.
    pub last_archived_wal: Option<String>,
    /// When that was.
    pub last_archived_at: Option<Timestamp>,
    /// `pg_stat_archiver.archived_count`: known to a running server only.
    pub archived_count: Option<u64>,
    /// `pg_stat_archiver.failed_count`: known to a running server only.
    pub failed_count: Option<u64>,
    /// Files that wait for archiving.
    pub backlog_segments: Option<u64>,
    /// Their bytes.
    pub backlog_bytes: Option<u64>,
    /// At how many bytes WAL is given up.
    pub threshold_bytes: Option<u64>,
    /// Bytes free on the volume of `pg_wal`.
    pub free_bytes: Option<u64>,
    /// Under how many free bytes WAL is given up.
    pub reserve_bytes: Option<u64>,
}

/// What push counts since the ledger was begun.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Push {
    /// Pushes that failed.
    pub failed_count: Option<u64>,
    /// Of these, the ones since the last success.
    pub consecutive_failures: Option<u64>,
    /// Segments given up.
    pub dropped_count: Option<u64>,
    /// Segments saved in the overflow folder.
    pub overflowed_count: Option<u64>,
    /// The newest failure.
    pub last_failure: Option<Failure>,
}

/// One failure.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// When.
    pub at: Option<Timestamp>,
    /// The WAL file's name.
    pub file: String,
    /// The class.
    pub class: &'static str,
    /// pgBackRest's exit code.
    pub code: Option<i32>,
    /// The store's code.
    pub s3_code: Option<String>,
    /// pgBackRest's text, redacted.
    pub message: String,
}

/// One gap.
#[derive(Debug, Clone, Serialize)]
pub struct GapReport {
    /// Unique in its ledger.
    pub id: u64,
    /// `open`, `healed` or `sealed`.
    pub state: &'static str,
    /// The timeline.
    pub timeline: u32,
    /// The first lost segment.
    pub first: String,
    /// The last lost segment.
    pub last: String,
    /// How many it spans.
    pub segments: u64,
    /// The class of the failure.
    pub class: &'static str,
    /// What made push give up.
    pub cause: &'static str,
    /// The first loss.
    pub opened_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// The label of the backup that sealed it.
    pub sealed_by: Option<String>,
}

/// What a check of the repository's catalog found.
#[derive(Debug, Clone, Serialize)]
pub struct Catalog {
    /// `unchecked` until the watcher records its answers.
    pub state: &'static str,
    /// When it was last asked.
    pub checked_at: Option<Timestamp>,
    /// pgBackRest's own words.
    pub detail: Option<String>,
}

/// Base backups.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backups {
    /// When the newest full backup ended.
    pub last_full_at: Option<Timestamp>,
    /// When the newest differential or full backup ended.
    pub last_diff_at: Option<Timestamp>,
    /// When the next backup of either kind is due.
    pub next_due_at: Option<Timestamp>,
    /// Whether one runs now.
    pub running: bool,
}

impl Push {
    pub(super) fn of(state: &State) -> Self {
        Self {
            failed_count: Some(state.push.failed_count),
            consecutive_failures: Some(state.push.consecutive_failures),
            dropped_count: Some(state.push.dropped_count),
            overflowed_count: Some(state.push.overflowed_count),
            last_failure: state.push.last_failure.as_ref().map(Failure::of),
        }
    }
}

impl Failure {
    fn of(failure: &LastFailure) -> Self {
        Self {
            at: moment(failure.at),
            file: failure.file.clone(),
            class: failure.class.as_str(),
            code: failure.code,
            s3_code: failure.s3_code.clone(),
            message: failure.message.clone(),
        }
    }
}

impl GapReport {
    pub(super) fn of(gap: &Gap, size: SegmentSize) -> Self {
        Self {
            id: gap.id,
            state: gap.state.as_str(),
            timeline: gap.first.timeline().0,
            first: gap.first.to_string(),
            last: gap.last.to_string(),
            segments: gap.segments(size),
            class: gap.class.as_str(),
            cause: gap.cause.as_str(),
            opened_at: moment(gap.opened_at),
            closed_at: gap.closed_at.and_then(moment),
            sealed_by: gap.sealed_by.clone(),
        }
    }
}

/// Seconds since 1970 as a moment.
pub(super) fn moment(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}
