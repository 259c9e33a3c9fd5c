//! `status --gaps`: every gap with its files, times, cause and end, as text or as JSON.

use super::report::{GapReport, Report};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// Every gap for people, open ones first, each group with the newest first; a newline at the end.
#[must_use]
pub fn gaps_text(report: &Report) -> String {
    let Some(gaps) = &report.gaps else {
        let why = report.reasons.first().map_or(String::new(), |why| format!(": {why}"));
        return super::text::printable(&format!("Gaps are unknown{why}\n"));
    };
    let mut sorted: Vec<&GapReport> = gaps.iter().collect();
    sorted.sort_by_key(|gap| (gap.state != "open", gap.acknowledged.is_some(), std::cmp::Reverse(gap.id)));
    let mut out = heading(gaps);
    for gap in sorted {
        out.push('\n');
        out.push_str(&block(gap));
    }
    super::text::printable(&out)
}

/// How many there are of each kind.
fn heading(gaps: &[GapReport]) -> String {
    let count = |is: &dyn Fn(&GapReport) -> bool| gaps.iter().filter(|gap| is(gap)).count();
    let open = count(&|gap| gap.state == "open");
    let known = count(&|gap| gap.state == "open" && gap.acknowledged.is_some());
    let (healed, sealed) = (count(&|gap| gap.state == "healed"), count(&|gap| gap.state == "sealed"));
    let known = if known > 0 { format!(" ({known} acknowledged)") } else { String::new() };
    match gaps.len() {
        0 => "No gaps: no dropped segment is on record\n".to_owned(),
        _ => format!("{open} open{known}, {healed} healed, {sealed} sealed\n"),
    }
}

fn block(gap: &GapReport) -> String {
    let state = if gap.acknowledged.is_some() && gap.state == "open" { "open, acknowledged" } else { gap.state };
    let mut out = format!("Gap {}: {state}\n", gap.id);
    let mut row = |name: &str, value: String| {
        let _ = writeln!(out, "  {name:<10} {value}");
    };
    row("files", files(gap));
    row("lost", times(gap));
    let code = gap.s3_code.as_ref().map_or(String::new(), |code| format!(", the store said {code}"));
    row("why", format!("{} (class {}){code}", gap.cause, gap.class));
    if let Some(known) = &gap.acknowledged {
        row("known", format!("{}: {}", or_unknown(known.at), known.reason));
    }
    row("closed", closed(gap));
    out
}

/// The files' names: one, or from which to which.
fn files(gap: &GapReport) -> String {
    let partial = if gap.partial { ".partial" } else { "" };
    match gap.segments {
        1 => format!("{}{partial}", gap.first),
        count => format!("{} to {} ({count} segments)", gap.first, gap.last),
    }
}

fn times(gap: &GapReport) -> String {
    match (gap.opened_at, gap.last_at) {
        (first, Some(last)) if first != Some(last) => format!("{} to {last}", or_unknown(first)),
        (first, _) => or_unknown(first),
    }
}

fn closed(gap: &GapReport) -> String {
    let at = or_unknown(gap.closed_at);
    match (gap.state, &gap.sealed_by) {
        ("sealed", Some(label)) => format!("{at}, sealed by backup {label}, which began after it"),
        ("healed", _) => format!("{at}, healed: the repository has it after all"),
        ("open", _) => "not yet".to_owned(),
        (state, _) => format!("{at}, {state}"),
    }
}

fn or_unknown(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "unknown".to_owned(), |at| at.to_string())
}

/// The list as JSON.
#[derive(Serialize)]
struct List<'r> {
    schema: u32,
    gaps: Option<Vec<Detailed<'r>>>,
}

/// A gap with what the report's JSON does not have.
#[derive(Serialize)]
struct Detailed<'r> {
    #[serde(flatten)]
    gap: &'r GapReport,
    last_at: Option<Timestamp>,
    s3_code: Option<&'r str>,
    partial: bool,
}

/// Every gap as one JSON object: what the report says of it, and what only this list has.
///
/// # Errors
/// Never: these plain types can be written.
pub fn gaps_json<'r>(report: &'r Report) -> Result<String, serde_json::Error> {
    let detailed = |gap: &'r GapReport| Detailed {
        gap,
        last_at: gap.last_at,
        s3_code: gap.s3_code.as_deref(),
        partial: gap.partial,
    };
    let gaps = report.gaps.as_ref().map(|gaps| gaps.iter().map(detailed).collect());
    Ok(serde_json::to_string_pretty(&List { schema: report.schema, gaps })? + "\n")
}
