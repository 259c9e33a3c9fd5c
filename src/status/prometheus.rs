//! The report as metrics, in Prometheus' text exposition format 0.0.4.
//!
//! Base units, no label that grows. What is unknown is left out: an absent series is unknown, a zero would be a claim.

use super::report::Report;
use crate::decide::status::Verdict;
use jiff::Timestamp;
use std::fmt::Write as _;

/// The report as metrics.
#[must_use]
pub fn prometheus(report: &Report, server_answers: Option<bool>) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            let name = format!("pgbackrest_guard_{name}");
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let time = |at: Option<Timestamp>| at.and_then(|at| u64::try_from(at.as_second()).ok());
    let archiving = &report.archiving;
    let open = report.gaps.as_ref().map(|gaps| gaps.iter().filter(|gap| gap.state == "open"));
    let missing = open.clone().map(|open| open.map(|gap| gap.segments).sum());
    let verdict = match report.verdict {
        Verdict::Ok => 0,
        Verdict::Warning => 1,
        Verdict::Critical => 2,
        Verdict::Unknown => 3,
    };
    metric("up", "gauge", "Whether PostgreSQL answers.", server_answers.map(u64::from));
    metric("verdict", "gauge", "0 ok, 1 warning, 2 critical, 3 unknown.", Some(verdict));
    metric("archiving_enabled", "gauge", "Whether archiving is switched on.", archiving.enabled.map(u64::from));
    metric("backlog_bytes", "gauge", "WAL that waits for archiving.", archiving.backlog_bytes);
    metric("backlog_segments", "gauge", "Files that wait for archiving.", archiving.backlog_segments);
    metric("threshold_bytes", "gauge", "Backlog at which WAL is given up.", archiving.threshold_bytes);
    metric("free_bytes", "gauge", "Free space on the volume of pg_wal.", archiving.free_bytes);
    metric("reserve_bytes", "gauge", "Free space under which WAL is given up.", archiving.reserve_bytes);
    metric("push_failed_total", "counter", "Pushes that failed.", report.push.failed_count);
    metric("push_consecutive_failures", "gauge", "Failures since the last success.", report.push.consecutive_failures);
    metric("dropped_total", "counter", "Segments given up.", report.push.dropped_count);
    metric("overflowed_total", "counter", "Segments saved in the overflow folder.", report.push.overflowed_count);
    metric("open_gaps", "gauge", "Gaps neither healed nor sealed.", open.map(|open| open.count() as u64));
    metric("missing_segments", "gauge", "Segments in open gaps.", missing);
    metric("last_full_timestamp_seconds", "gauge", "End of the newest full backup.", time(report.backups.last_full_at));
    metric("last_diff_timestamp_seconds", "gauge", "End of the newest backup.", time(report.backups.last_diff_at));
    metric("catalog_checked_timestamp_seconds", "gauge", "Last check of the catalog.", time(report.catalog.checked_at));
    metric("backup_running", "gauge", "Whether a backup runs.", Some(u64::from(report.backups.running)));
    out
}
