//! The report for people: verdict and worst reason first, at most 80 columns where the words allow it.

use super::report::{GapReport, Report};
use crate::space::shown;
use jiff::Timestamp;
use std::fmt::Write as _;

/// Closed gaps that are listed; `--output=json` has them all.
const CLOSED_SHOWN: usize = 10;

/// The report as text, with a newline at its end.
#[must_use]
pub fn text(report: &Report) -> String {
    printable(&lines(report))
}

/// Characters that would steer a terminal become U+FFFD: paths and notes may hold any.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c }).collect()
}

fn lines(report: &Report) -> String {
    let mut out = format!("{}\n", report.verdict.as_str().to_uppercase());
    for reason in &report.reasons {
        let _ = writeln!(out, "  {reason}");
    }
    section(&mut out, "Cluster", &cluster(report));
    section(&mut out, "Archiving", &archiving(report));
    section(&mut out, "Push", &push(report));
    out.push_str(&gaps(report));
    section(&mut out, "Backups", &backups(report));
    out
}

type Rows = Vec<(&'static str, String)>;

fn section(out: &mut String, heading: &str, rows: &Rows) {
    let _ = writeln!(out, "\n{heading}");
    for (name, value) in rows {
        let _ = writeln!(out, "  {name:<16} {value}");
    }
}

fn cluster(report: &Report) -> Rows {
    let cluster = &report.cluster;
    vec![
        ("data directory", or_unknown(cluster.pgdata.clone())),
        ("system id", or_unknown(cluster.system_id.clone())),
        ("timeline", or_unknown(cluster.timeline)),
        ("in recovery", or_unknown(cluster.in_recovery.map(yes))),
    ]
}

fn archiving(report: &Report) -> Rows {
    let archiving = &report.archiving;
    let limit = |bytes: Option<u64>| or_unknown(bytes.map(shown));
    let files = archiving.backlog_segments.map_or(String::new(), |files| format!(" ({files} files wait)"));
    let newest = archiving.last_archived_wal.as_ref().map(|name| format!("{name}{}", at(archiving.last_archived_at)));
    vec![
        ("enabled", or_unknown(archiving.enabled.map(yes))),
        ("last archived", or_unknown(newest)),
        (
            "backlog",
            format!("{}{files}, threshold {}", limit(archiving.backlog_bytes), limit(archiving.threshold_bytes)),
        ),
        ("free space", format!("{}, reserve {}", limit(archiving.free_bytes), limit(archiving.reserve_bytes))),
    ]
}

fn push(report: &Report) -> Rows {
    let push = &report.push;
    let count = |count: Option<u64>| or_unknown(count);
    let mut rows = vec![
        ("failed", format!("{}, {} in a row now", count(push.failed_count), count(push.consecutive_failures))),
        ("given up", format!("{} lost, {} in overflow", count(push.dropped_count), count(push.overflowed_count))),
    ];
    if let Some(failure) = &push.last_failure {
        let code = failure.s3_code.as_ref().map_or(String::new(), |code| format!(", {code}"));
        rows.push(("last failure", format!("{}{}: {}{code}", failure.file, at(failure.at), failure.class)));
        rows.push(("", failure.message.clone()));
    }
    rows
}

fn gaps(report: &Report) -> String {
    let mut out = String::from("\nGaps\n");
    let Some(gaps) = &report.gaps else {
        out.push_str("  unknown\n");
        return out;
    };
    if gaps.is_empty() {
        out.push_str("  none\n");
    }
    let (open, closed): (Vec<_>, Vec<_>) = gaps.iter().partition(|gap| gap.state == "open");
    let hidden = closed.len().saturating_sub(CLOSED_SHOWN);
    for gap in open.into_iter().chain(closed.into_iter().skip(hidden)) {
        out.push_str(&gap_lines(gap));
    }
    if hidden > 0 {
        let _ = writeln!(out, "  and {hidden} older closed gaps: see --output=json");
    }
    out
}

fn gap_lines(gap: &GapReport) -> String {
    let files = if gap.segments == 1 { "1 segment".to_owned() } else { format!("{} segments", gap.segments) };
    let by = gap.sealed_by.as_ref().map_or(String::new(), |label| format!(" by {label}"));
    let closed = gap.closed_at.map_or(String::new(), |at| format!("; {} {at}{by}", gap.state));
    format!(
        "  {} {:<6} {} - {}  {files}\n     {}, {}; opened{}{closed}\n",
        gap.id,
        gap.state,
        gap.first,
        gap.last,
        gap.class,
        gap.cause,
        at(gap.opened_at)
    )
}

fn backups(report: &Report) -> Rows {
    let backups = &report.backups;
    let time = |at: Option<Timestamp>| or_unknown(at);
    vec![
        ("last full", time(backups.last_full_at)),
        ("last diff", time(backups.last_diff_at)),
        ("next due", time(backups.next_due_at)),
        ("running", yes(backups.running)),
        ("catalog", format!("{}{}", report.catalog.state, at(report.catalog.checked_at))),
    ]
}

fn at(at: Option<Timestamp>) -> String {
    at.map_or(String::new(), |at| format!(" at {at}"))
}

fn yes(yes: bool) -> String {
    if yes { "yes".to_owned() } else { "no".to_owned() }
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}
