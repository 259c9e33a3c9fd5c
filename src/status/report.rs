//! The report, as its JSON shows it. Field names and meaning are fixed; `None` is unknown.
//!
//! Times are RFC 3339 in UTC, sizes bytes. What JSON does not have, and other forms of the report show, is in [`Extra`]
//! and in the fields that are skipped.

pub use super::drill_report::Drill;

use crate::decide::windows;
use crate::epoch::moment;
use crate::ledger::gaps::{Acknowledgement, Gap};
use crate::ledger::state::{LastFailure, State};
use crate::verdict::Verdict;
use crate::wal::SegmentSize;
use jiff::Timestamp;
use serde::Serialize;

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The version of this layout.
    pub schema: u32,
    /// The worst of all that was found.
    pub verdict: Verdict,
    /// Why, one sentence each, the worst first.
    pub reasons: Vec<String>,
    /// The cluster.
    pub cluster: Cluster,
    /// Archiving now.
    pub archiving: Archiving,
    /// What push counts.
    pub push: Push,
    /// Each configured repository.
    pub repositories: Vec<RepositoryReport>,
    /// Every gap; `None` when the ledger can't be read.
    pub gaps: Option<Vec<GapReport>>,
    /// What a check of the repository's catalog found.
    pub catalog: Catalog,
    /// Base backups.
    pub backups: Backups,
    /// What can be restored, oldest first; unknown without the catalog.
    pub windows: Option<Vec<Window>>,
    /// The newest drill; none was made.
    pub drill: Option<Drill>,
    /// What the JSON does not have.
    #[serde(skip)]
    pub extra: Extra,
}

impl Report {
    /// A report that knows nothing.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            schema: 1,
            verdict: Verdict::Unknown,
            reasons: Vec::new(),
            cluster: Cluster::default(),
            archiving: Archiving::default(),
            push: Push::default(),
            repositories: Vec::new(),
            gaps: None,
            catalog: Catalog::default(),
            backups: Backups::default(),
            windows: None,
            drill: None,
            extra: Extra::default(),
        }
    }
}

/// The cluster.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cluster {
    /// The data directory's path.
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
    /// When `last_archived_wal` was acknowledged, by `pg_stat_archiver`.
    pub last_archived_at: Option<Timestamp>,
    /// `pg_stat_archiver.archived_count`: known to a running server only.
    pub archived_count: Option<u64>,
    /// `pg_stat_archiver.failed_count`: known to a running server only.
    pub failed_count: Option<u64>,
    /// Files that wait for archiving.
    pub backlog_segments: Option<u64>,
    /// What these files hold, in bytes.
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
    /// When; `None` where the record has no time.
    pub at: Option<Timestamp>,
    /// The WAL file's name.
    pub file: String,
    /// What kind of failure it was, by its name in docs/exit-codes.md.
    pub class: &'static str,
    /// pgBackRest's exit code.
    pub code: Option<i32>,
    /// The code in the store's answer, such as `AccessDenied`.
    pub s3_code: Option<String>,
    /// pgBackRest's text, redacted.
    pub message: String,
}

/// One repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepositoryReport {
    /// Its number N, as in `repoN-path`; from 1 on.
    pub key: u32,
    /// `posix`, `s3`, `azure`, `gcs`, `sftp`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `readable`, `unreadable`, or `unchecked` where nobody has asked.
    pub state: &'static str,
    /// pgBackRest's words, redacted, where it can't be read.
    pub detail: Option<String>,
    /// When its newest full backup of this cluster ended.
    pub last_full_at: Option<Timestamp>,
    /// From where on its listing was walked through, as `0/3000000`.
    pub verified_from_lsn: Option<String>,
    /// How many segments it lacks that another repository has.
    pub owed_segments: Option<u64>,
}

/// One gap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GapReport {
    /// Unique in its ledger.
    pub id: u64,
    /// `open`, `healed` or `sealed`.
    pub state: &'static str,
    /// The repositories that lack it.
    pub repositories: Vec<u32>,
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
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
    /// Who knows that it will stay, if anybody said so: then it is no reason for a verdict. Left out unless it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    /// When the newest segment of it was lost.
    #[serde(skip)]
    pub last_at: Option<Timestamp>,
    /// The store's code at the first loss.
    #[serde(skip)]
    pub s3_code: Option<String>,
    /// Whether what is lost is the `.partial` of the segment.
    #[serde(skip)]
    pub partial: bool,
}

/// That a gap is known and stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// When it was said.
    pub at: Option<Timestamp>,
    /// The reason that was given, as it was typed.
    pub reason: String,
}

/// A time that can be restored without a hole, on one timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The timeline, from 1 on, as the first eight digits of a segment's name give it.
    pub timeline: u32,
    /// From when: the end of the backup, or the timeline's beginning.
    pub from: Option<Timestamp>,
    /// Up to when: the newest commit that is known to be archived before the hole.
    pub to: Option<Timestamp>,
    /// From where, as `0/3000100`.
    pub from_lsn: Option<String>,
    /// Up to where: the first byte that is not archived.
    pub to_lsn: Option<String>,
    /// The label of the backup from which it is restored.
    pub backup: String,
    /// The repository that holds it.
    pub repository: u32,
}

/// What a check of the repository's catalog found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Catalog {
    /// `present`, `absent`, `inconclusive`, or `unchecked` where nobody has asked.
    pub state: &'static str,
    /// When it was last asked.
    pub checked_at: Option<Timestamp>,
    /// pgBackRest's own words, redacted.
    pub detail: Option<String>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { state: "unchecked", checked_at: None, detail: None }
    }
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

/// What the JSON does not have.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// When the report was made.
    pub made_at: Option<Timestamp>,
    /// pgBackRest's stanza.
    pub stanza: String,
    /// What the cluster is called: as Debian does, else by the data directory's last part.
    pub cluster_name: String,
    /// Whether a watcher runs; `None` where that can't be seen.
    pub watcher_runs: Option<bool>,
    /// Whether PostgreSQL answers; `None` when it was not asked.
    pub server_answers: Option<bool>,
    /// This cluster's backups in the catalog, oldest first.
    pub backups: Option<Vec<BackupReport>>,
    /// How many seconds the newest archived WAL file had waited.
    pub archived_after: Option<u64>,
    /// What will happen at the current rate of WAL.
    pub estimate: Option<Estimate>,
    /// What the windows rest on.
    pub reach: Option<Reach>,
}

/// The windows as they were reckoned, and the usable backups.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The windows.
    pub windows: Vec<windows::Window>,
    /// The backups.
    pub backups: Vec<windows::Backup>,
    /// From when on some archive holds what no walk has looked at, in seconds since 1970.
    pub unverified_from: Option<i64>,
}

/// One backup of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Its label, such as `20261125-101500F`.
    pub label: String,
    /// `full`, `diff` or `incr`.
    pub kind: String,
    /// The repository's number N, as in `repoN-path`; from 1 on.
    pub repository: u32,
    /// The timeline; `None` where its WAL is not named.
    pub timeline: Option<u32>,
    /// When it began, rounded down to the second.
    pub started_at: Option<Timestamp>,
    /// When it ended, rounded down to the second.
    pub ended_at: Option<Timestamp>,
    /// Where it ended, as `0/3000100`.
    pub stop_lsn: Option<String>,
    /// Why nothing can be restored from it, if so.
    pub unusable: Option<&'static str>,
}

/// What will happen if WAL goes on to come as it does and nothing is archived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of WAL an hour.
    pub bytes_per_hour: u64,
    /// Over how many seconds that was seen.
    pub seen_seconds: u64,
    /// Seconds until the backlog reaches the threshold.
    pub threshold_in: Option<u64>,
    /// Seconds until the free space falls under the reserve.
    pub reserve_in: Option<u64>,
    /// Seconds until no space is left.
    pub full_in: Option<u64>,
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
    pub(super) fn of(gap: &Gap, repositories: Vec<u32>, size: SegmentSize) -> Self {
        Self {
            id: gap.id,
            state: gap.state.as_str(),
            repositories,
            timeline: gap.first.timeline().0,
            first: gap.first.to_string(),
            last: gap.last.to_string(),
            segments: gap.segments(size),
            class: gap.class.as_str(),
            cause: gap.cause.as_str(),
            opened_at: moment(gap.opened_at),
            closed_at: gap.closed_at.and_then(moment),
            sealed_by: gap.sealed_by.clone(),
            acknowledged: gap.acknowledged.as_ref().map(Acknowledged::of),
            last_at: moment(gap.last_at),
            s3_code: gap.s3_code.clone(),
            partial: gap.partial,
        }
    }
}

impl Acknowledged {
    fn of(acknowledgement: &Acknowledgement) -> Self {
        Self { at: moment(acknowledgement.at), reason: acknowledgement.reason.clone() }
    }
}
