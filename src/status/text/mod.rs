//! The report for people: verdict and worst reason first, then archiving, gaps, backups and the time line.
//!
//! 80 columns suffice; a wider terminal gets a longer time line.

mod layout;
mod timeline;

pub use layout::Style;

use super::report::{Estimate, GapReport, Report};
use crate::pgbackrest::failure::brief;
use crate::sizes::shown;
use crate::verdict::Verdict;
use jiff::Timestamp;
use layout::{flow, row};
use std::fmt::Write as _;

/// Closed gaps that are listed; `--gaps` has them all.
const CLOSED_SHOWN: usize = 5;
/// Open gaps that are listed.
const OPEN_SHOWN: usize = 20;
/// Backups that are listed.
const BACKUPS_SHOWN: usize = 5;

/// The report as text, with a newline at its end.
#[must_use]
pub fn text(report: &Report, style: &Style) -> String {
    let mut out = String::new();
    let clean = cleaned(report);
    verdict(&mut out, style, &clean);
    archiving(&mut out, style, &clean);
    gaps(&mut out, style, &clean);
    backups(&mut out, style, &clean);
    restorable(&mut out, style, &clean);
    drill(&mut out, style, &clean);
    cluster(&mut out, style, &clean);
    out
}

/// Characters that would steer a terminal become U+FFFD: paths and notes may hold any.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c }).collect()
}

/// The report with every text that comes from files made printable: colours are added to it afterwards.
fn cleaned(report: &Report) -> Report {
    let mut clean = report.clone();
    let on_one_line = |text: &mut String| *text = printable(text).replace('\n', " ");
    clean.reasons.iter_mut().for_each(on_one_line);
    let texts = [
        &mut clean.cluster.pgdata,
        &mut clean.archiving.invalid_bucket,
        &mut clean.archiving.last_archived_wal,
        &mut clean.catalog.detail,
    ];
    texts.into_iter().flatten().for_each(on_one_line);
    if let Some(failure) = &mut clean.push.last_failure {
        on_one_line(&mut failure.file);
        on_one_line(&mut failure.message);
        failure.s3_code.iter_mut().for_each(on_one_line);
    }
    for gap in clean.gaps.iter_mut().flatten() {
        gap.sealed_by.iter_mut().for_each(on_one_line);
        gap.acknowledged.iter_mut().for_each(|known| on_one_line(&mut known.reason));
    }
    clean.windows.iter_mut().flatten().for_each(|window| on_one_line(&mut window.backup));
    clean.extra.backups.iter_mut().flatten().for_each(|backup| {
        on_one_line(&mut backup.label);
        on_one_line(&mut backup.kind);
    });
    clean
}

fn verdict(out: &mut String, style: &Style, report: &Report) {
    let word = report.verdict.as_str().to_uppercase();
    let mut reasons = report.reasons.iter();
    let mut first = String::new();
    let worst = reasons.next().map_or_else(|| everything_is_well(report), String::clone);
    flow(&mut first, style, &format!("{word}  "), word.len() + 2, &worst);
    // The colour is put in afterwards, so that it takes no room.
    out.push_str(&first.replacen(&word, &style.judged(report.verdict, &word), 1));
    for reason in reasons {
        flow(out, style, &" ".repeat(word.len() + 2), word.len() + 2, reason);
    }
}

fn everything_is_well(report: &Report) -> String {
    if report.verdict == Verdict::Ok { "WAL is archived, nothing is missing".to_owned() } else { String::new() }
}

fn heading(out: &mut String, style: &Style, text: &str) {
    let _ = writeln!(out, "\n{}", style.heading(text));
}

fn archiving(out: &mut String, style: &Style, report: &Report) {
    heading(out, style, "Archiving");
    let (archiving, push) = (&report.archiving, &report.push);
    let bytes = |bytes: Option<u64>| or_unknown(bytes.map(shown));
    let newest = archiving.last_archived_wal.as_ref().map(|name| format!("{name}{}", at(archiving.last_archived_at)));
    row(out, style, "switched on", &or_unknown(archiving.enabled.map(yes)));
    row(out, style, "last archived", &or_unknown(newest));
    let files = archiving.backlog_segments.map_or(String::new(), |count| format!(" in {}", files(count)));
    let backlog = format!("{}{files}, dropped at {}", bytes(archiving.backlog_bytes), bytes(archiving.threshold_bytes));
    row(out, style, "backlog", &backlog);
    row(
        out,
        style,
        "free space",
        &format!("{}, reserve {}", bytes(archiving.free_bytes), bytes(archiving.reserve_bytes)),
    );
    if let Some(estimate) = &report.extra.estimate {
        row(out, style, "rate of WAL", &rate(estimate));
    }
    if let (Some(archived), Some(failed)) = (archiving.archived_count, archiving.failed_count) {
        row(out, style, "PostgreSQL", &format!("{archived} archived, {failed} failed, since its counters were reset"));
    }
    let pushes =
        format!("{} failed, {} consecutive", or_unknown(push.failed_count), or_unknown(push.consecutive_failures));
    row(out, style, "pushes", &pushes);
    let lost = format!(
        "{} lost, {} in the overflow folder",
        or_unknown(push.dropped_count),
        or_unknown(push.overflowed_count)
    );
    row(out, style, "dropped", &lost);
    last_failure(out, style, report);
}

fn last_failure(out: &mut String, style: &Style, report: &Report) {
    let Some(failure) = &report.push.last_failure else { return };
    let store = failure.s3_code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
    let code = failure.code.map_or(String::new(), |code| format!(", pgBackRest's code {code}"));
    let said = if failure.message.is_empty() { String::new() } else { format!("; {}", brief(&failure.message)) };
    let sentence = format!("{}{}: class {}{store}{code}{said}", failure.file, at(failure.at), failure.class);
    row(out, style, "last failure", &sentence);
}

/// What the rate of WAL means. The guard gives WAL up at the threshold; the disk is full only if it does not.
fn rate(estimate: &Estimate) -> String {
    let seen = duration(estimate.seen_seconds);
    let per_hour = shown(estimate.bytes_per_hour);
    let times = [
        (estimate.threshold_in, "threshold in"),
        (estimate.reserve_in, "reserve in"),
        (estimate.full_in, "disk full in"),
    ];
    let times = times.into_iter().filter_map(|(seconds, what)| Some(format!("{what} {}", duration(seconds?))));
    let times: Vec<String> = times.collect();
    let then = if times.is_empty() { String::new() } else { format!("; with nothing archived: {}", times.join(", ")) };
    format!("{per_hour} an hour, seen over {seen}{then}")
}

fn gaps(out: &mut String, style: &Style, report: &Report) {
    heading(out, style, "Gaps");
    let Some(gaps) = &report.gaps else {
        out.push_str("  unknown\n");
        return;
    };
    if gaps.is_empty() {
        out.push_str("  none\n");
    }
    let (open, closed): (Vec<_>, Vec<_>) = gaps.iter().partition(|gap| gap.state == "open");
    let hidden = closed.len().saturating_sub(CLOSED_SHOWN);
    let unshown = open.len().saturating_sub(OPEN_SHOWN);
    for gap in open.into_iter().take(OPEN_SHOWN).chain(closed.into_iter().skip(hidden)) {
        gap_lines(out, style, gap);
    }
    if hidden + unshown > 0 {
        let more = format!("and {unshown} more open ones, {hidden} older closed ones: see --gaps");
        flow(out, style, "  ", 2, &more);
    }
}

fn gap_lines(out: &mut String, style: &Style, gap: &GapReport) {
    let by = gap.sealed_by.as_ref().map_or(String::new(), |label| format!(" by {label}"));
    let closed = gap.closed_at.map_or(String::new(), |at| format!("; {} {at}{by}", gap.state));
    let known = gap
        .acknowledged
        .as_ref()
        .map_or(String::new(), |known| format!("; acknowledged{}: {}", at(known.at), known.reason));
    let names = if gap.first == gap.last { gap.first.clone() } else { format!("{} to {}", gap.first, gap.last) };
    let partial = if gap.partial { ".partial" } else { "" };
    let code = gap.s3_code.as_ref().map_or(String::new(), |code| format!(" ({code})"));
    let first = format!("  {:<3} {:<6} ", gap.id, gap.state);
    let indent = first.chars().count();
    let mut lines = String::new();
    flow(&mut lines, style, &first, indent, &format!("{names}{partial}, {}", segments(gap.segments)));
    if gap.state == "open" {
        lines = lines.replacen("open", &style.judged(Verdict::Critical, "open"), 1);
    }
    out.push_str(&lines);
    let why = format!("{}{code}, {}; lost{}{closed}{known}", gap.class, gap.cause, at(gap.opened_at));
    flow(out, style, &" ".repeat(indent), indent, &why);
}

fn backups(out: &mut String, style: &Style, report: &Report) {
    heading(out, style, "Backups");
    let backups = &report.backups;
    row(out, style, "last full", &or_unknown(backups.last_full_at));
    row(out, style, "last diff", &or_unknown(backups.last_diff_at));
    row(out, style, "next due", &or_unknown(backups.next_due_at));
    row(out, style, "running", &yes(backups.running));
    let detail = report.catalog.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
    row(out, style, "catalog", &format!("{}{}{detail}", report.catalog.state, at(report.catalog.checked_at)));
    let Some(known) = &report.extra.backups else { return };
    let hidden = known.len().saturating_sub(BACKUPS_SHOWN);
    for backup in known.iter().skip(hidden) {
        let repository =
            if backup.repository == 1 { String::new() } else { format!(", repository {}", backup.repository) };
        let unusable = backup.unusable.map_or(String::new(), |why| format!(", not usable: {why}"));
        let text = format!("{}, ended{}{repository}{unusable}", backup.label, at(backup.ended_at));
        row(out, style, &backup.kind, &text);
    }
    if hidden > 0 {
        row(out, style, "", &format!("and {hidden} older ones"));
    }
}

/// What the last drill has proved.
fn drill(out: &mut String, style: &Style, report: &Report) {
    let Some(drill) = &report.drill else { return };
    let from = drill.backup.as_ref().map_or(String::new(), |backup| format!(" from {backup}"));
    let on = drill.at.map_or(String::new(), |at| format!(" on {at}"));
    let took = if drill.seconds < 120 { format!("{} s", drill.seconds) } else { format!("{} min", drill.seconds / 60) };
    let loss = drill.rpo_seconds.map_or(String::new(), |seconds| format!("; at most {seconds} s would have been lost"));
    let what = match drill.verdict {
        "passed" => format!("proved restorable{on}, {took}: {}{from}{loss}", drill.target),
        "failed" => format!("FAILED{on}: {}{from}; {}", drill.target, drill.troubles.join("; ")),
        _ => format!("not verified{on}: {}", drill.troubles.join("; ")),
    };
    row(out, style, "last drill", &what);
    if let Some(at) = drill.passed_at.filter(|_| drill.verdict != "passed") {
        row(out, style, "", &format!("the last one that passed was on {at}"));
    }
}

fn restorable(out: &mut String, style: &Style, report: &Report) {
    heading(out, style, "What can be restored");
    let Some(windows) = &report.windows else {
        flow(out, style, "  ", 2, "unknown: the catalog was not seen, or the ledger can't be read");
        return;
    };
    if windows.is_empty() {
        out.push_str("  nothing\n");
        return;
    }
    timeline::draw(out, style, report, windows);
    for window in windows {
        let from = window.from.map_or_else(|| "the switch of the timeline".to_owned(), |at| at.to_string());
        let to = window.to.map_or_else(
            || format!("an unknown time (WAL up to {})", window.to_lsn.as_deref().unwrap_or("an unknown place")),
            |at| at.to_string(),
        );
        let first = format!("  timeline {:<3}", window.timeline);
        flow(out, style, &first, first.chars().count(), &format!("{from} to {to} from {}", window.backup));
    }
}

fn cluster(out: &mut String, style: &Style, report: &Report) {
    heading(out, style, "Cluster");
    let cluster = &report.cluster;
    row(out, style, "data directory", &or_unknown(cluster.pgdata.clone()));
    row(out, style, "system id", &or_unknown(cluster.system_id.clone()));
    row(out, style, "timeline", &or_unknown(cluster.timeline));
    row(out, style, "in recovery", &or_unknown(cluster.in_recovery.map(yes)));
}

fn segments(count: u64) -> String {
    if count == 1 { "1 segment".to_owned() } else { format!("{count} segments") }
}

fn files(count: u64) -> String {
    if count == 1 { "1 waiting file".to_owned() } else { format!("{count} waiting files") }
}

/// A duration as a person reads it: two days, three hours, five minutes.
fn duration(seconds: u64) -> String {
    let count = |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match seconds {
        0..=119 => count(seconds, "second"),
        120..=7_199 => count(seconds / 60, "minute"),
        7_200..=172_799 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
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
