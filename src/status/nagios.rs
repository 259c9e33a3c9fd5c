//! The report as one line for Nagios, Icinga and their kin.
//!
//! Monitoring Plugins Development Guidelines, "Plugin Output for Nagios" and "Performance data": one line
//! `SERVICE STATUS - text | 'label'=value[UOM];[warn];[crit];[min];[max] …`. A range `n` alerts outside 0 to n, `n:`
//! below n. What is unknown has no performance data: a zero would be a claim.

use super::report::Report;
use jiff::Timestamp;
use std::fmt::Write as _;

/// The text before the bar: mails and pagers cut what is longer, and Nagios reads 4 KiB.
const TEXT_CHARACTERS: usize = 1_000;

/// The report as one line, with a newline at its end.
#[must_use]
pub fn nagios(report: &Report) -> String {
    let status = report.verdict.as_str().to_uppercase();
    let mut text = one_line(&sentence(report));
    if text.chars().count() > TEXT_CHARACTERS {
        text = text.chars().take(TEXT_CHARACTERS - 1).chain(['…']).collect();
    }
    let data = performance(report);
    let bar = if data.is_empty() { "" } else { " | " };
    format!("PGBACKREST_GUARD {status} - {text}{bar}{}\n", data.join(" "))
}

/// What is said: the reasons, worst first, or what is well.
fn sentence(report: &Report) -> String {
    if !report.reasons.is_empty() {
        return report.reasons.join("; ");
    }
    let known = [
        report.archiving.last_archived_wal.as_ref().map(|name| format!("{name} is archived")),
        report.gaps.as_ref().map(|_| "no WAL is missing".to_owned()),
        report.backups.last_full_at.map(|at| format!("last full backup at {at}")),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    if known.is_empty() { report.verdict.as_str().to_owned() } else { known.join(", ") }
}

/// Nothing that ends the line, begins the performance data, or steers a terminal.
fn one_line(text: &str) -> String {
    let plain = |c: char| match c {
        '|' => '/',
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => ' ',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// A value with its unit and its thresholds.
struct Datum {
    label: &'static str,
    value: Option<u64>,
    unit: &'static str,
    warning: Option<String>,
    critical: Option<String>,
}

impl Datum {
    fn of(label: &'static str, value: Option<u64>, unit: &'static str) -> Self {
        Self { label, value, unit, warning: None, critical: None }
    }

    fn warning(self, range: Option<String>) -> Self {
        Self { warning: range, ..self }
    }

    fn critical(self, range: Option<String>) -> Self {
        Self { critical: range, ..self }
    }

    fn shown(&self) -> Option<String> {
        let value = self.value?;
        let range = |range: &Option<String>| range.clone().unwrap_or_default();
        let mut shown = format!("{}={value}{}", self.label, self.unit);
        let _ = write!(shown, ";{};{};0", range(&self.warning), range(&self.critical));
        Some(shown)
    }
}

fn performance(report: &Report) -> Vec<String> {
    let archiving = &report.archiving;
    let age = |at: Option<Timestamp>| {
        let made = report.extra.made_at?;
        u64::try_from(made.as_second() - at?.as_second()).ok()
    };
    // A threshold of nothing gives up at the first failure and says nothing about the backlog.
    let threshold = archiving.threshold_bytes.filter(|threshold| *threshold > 0);
    let open = report.gaps.as_ref().map(|gaps| gaps.iter().filter(|gap| gap.state == "open"));
    let (unknown, known) = open.map(|open| open.partition::<Vec<_>, _>(|gap| gap.acknowledged.is_none())).unzip();
    let count = |gaps: Option<&Vec<_>>| gaps.map(|gaps| gaps.len() as u64);
    let missing = unknown.as_ref().map(|gaps| gaps.iter().map(|gap| gap.segments).sum());
    let none = || Some("0".to_owned());
    let estimate = report.extra.estimate;
    let data = [
        Datum::of("backlog", archiving.backlog_bytes, "B")
            .warning(threshold.map(|threshold| (threshold / 2).to_string()))
            .critical(threshold.map(|threshold| threshold.saturating_sub(1).to_string())),
        Datum::of("backlog_files", archiving.backlog_segments, ""),
        Datum::of("free", archiving.free_bytes, "B")
            .critical(archiving.reserve_bytes.map(|reserve| format!("{reserve}:"))),
        Datum::of("open_gaps", count(unknown.as_ref()), "").critical(none()),
        Datum::of("acknowledged_gaps", count(known.as_ref()), ""),
        Datum::of("missing_segments", missing, "").critical(none()),
        Datum::of("consecutive_failures", report.push.consecutive_failures, "").warning(none()),
        Datum::of("push_failed", report.push.failed_count, "c"),
        Datum::of("dropped", report.push.dropped_count, "c"),
        Datum::of("last_archived_age", age(archiving.last_archived_at), "s"),
        Datum::of("last_full_age", age(report.backups.last_full_at), "s"),
        Datum::of("threshold_in", estimate.and_then(|estimate| estimate.threshold_in), "s"),
        Datum::of("disk_full_in", estimate.and_then(|estimate| estimate.full_in), "s"),
    ];
    data.iter().filter_map(Datum::shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_reason_breaks_the_line_or_makes_up_data() {
        let mut report = Report::unknown();
        report.reasons = vec!["a | free=0B;1;2\nb\r\u{1b}[31mc\u{2028}d\u{85}e".to_owned()];
        let line = nagios(&report);
        assert_eq!(line, "PGBACKREST_GUARD UNKNOWN - a / free=0B;1;2 b  [31mc d e\n");
        report.reasons = vec!["é".repeat(5_000)];
        assert!(nagios(&report).chars().count() < 1_100);
    }
}
