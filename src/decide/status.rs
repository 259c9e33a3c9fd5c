//! The verdict: how things stand, and why.

use crate::classify::Class;
use serde::Serialize;

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It can't be told.
    Unknown,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Critical,
}

impl Verdict {
    /// The verdict's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The ledger, as far as the verdict needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerFacts {
    /// There is none yet.
    Missing,
    /// It is there and can't be read, for this reason.
    Unreadable(String),
    /// It was read.
    Read {
        /// Open gaps.
        open_gaps: u64,
        /// The segments in them.
        missing_segments: u64,
        /// The first missing segment's name.
        first_missing: Option<String>,
        /// Failures since the last success.
        consecutive_failures: u64,
        /// The class of the newest failure.
        last_class: Option<Class>,
    },
}

/// What the verdict rests on. Sizes in bytes, times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Whether the data directory is there and can be read.
    pub data_directory: bool,
    /// Whether an empty bucket switches archiving off.
    pub switched_off: bool,
    /// Why the bucket's settings were refused.
    pub invalid_bucket: Option<String>,
    /// Whether the server runs; `None` when it can't be told.
    pub server_runs: Option<bool>,
    /// The ledger.
    pub ledger: LedgerFacts,
    /// Whether the gap marker is there.
    pub gap_marker: bool,
    /// WAL that waits.
    pub backlog: Option<u64>,
    /// At how much it is given up.
    pub threshold: u64,
    /// Free space.
    pub free: Option<u64>,
    /// How much should be free.
    pub reserve: u64,
    /// Whether a full backup is on record.
    pub has_full: bool,
    /// By how many seconds a backup is late.
    pub late_by: Option<u64>,
}

/// Judges the facts: the verdict, and the reasons, worst first.
#[must_use]
pub fn judge(facts: &Facts) -> (Verdict, Vec<String>) {
    if !facts.data_directory {
        return (Verdict::Unknown, vec!["the data directory is missing or can't be read".to_owned()]);
    }
    let mut reasons = Vec::new();
    if facts.switched_off {
        reasons.push((Verdict::Ok, "archiving is switched off: WAL_ARCHIVE_BUCKET is empty".to_owned()));
    } else {
        space(facts, &mut reasons);
        archiving(facts, &mut reasons);
        backups(facts, &mut reasons);
    }
    match facts.server_runs {
        Some(false) => reasons.push((Verdict::Ok, "the server is not running".to_owned())),
        None => reasons.push((Verdict::Ok, "it can't be told whether the server runs".to_owned())),
        Some(true) => {}
    }
    reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let verdict = reasons.first().map_or(Verdict::Ok, |(verdict, _)| *verdict);
    (verdict, reasons.into_iter().map(|(_, reason)| reason).collect())
}

type Reasons = Vec<(Verdict, String)>;

fn archiving(facts: &Facts, reasons: &mut Reasons) {
    if let Some(reason) = &facts.invalid_bucket {
        let text = format!("archiving is off though it is wanted: the bucket's settings were refused ({reason})");
        reasons.push((Verdict::Critical, text));
    }
    match &facts.ledger {
        LedgerFacts::Missing if facts.gap_marker => reasons.push((Verdict::Critical, marker())),
        LedgerFacts::Missing => {
            reasons.push((Verdict::Unknown, "there is no ledger: no push has run here yet".to_owned()));
        }
        LedgerFacts::Unreadable(why) => reasons.push((Verdict::Unknown, format!("losses are unknown: {why}"))),
        LedgerFacts::Read { open_gaps, missing_segments, first_missing, consecutive_failures, last_class } => {
            if *open_gaps > 0 {
                let first = first_missing.as_deref().unwrap_or("unknown");
                let text = format!(
                    "{} missing in {}, the first is {first}",
                    counted(*missing_segments, "WAL segment is", "WAL segments are"),
                    counted(*open_gaps, "open gap", "open gaps"),
                );
                reasons.push((Verdict::Critical, text));
            } else if facts.gap_marker {
                reasons.push((Verdict::Critical, marker()));
            }
            if *consecutive_failures > 0 {
                let class = last_class.map_or("unknown", Class::as_str);
                let pushes = counted(*consecutive_failures, "failed push", "failed pushes");
                let text = format!("archiving fails now: {pushes} since the last success (class {class})");
                reasons.push((Verdict::Warning, text));
            }
        }
    }
}

/// `1 open gap`, `2 open gaps`.
fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn marker() -> String {
    "WAL was lost that no ledger names: .pgbackrest_gap_pending is there".to_owned()
}

fn space(facts: &Facts, reasons: &mut Reasons) {
    let mib = |bytes: u64| bytes >> 20;
    if let Some(backlog) = facts.backlog.filter(|backlog| facts.threshold > 0 && *backlog > facts.threshold / 2) {
        let (verdict, what) = if backlog >= facts.threshold {
            (Verdict::Critical, "has reached")
        } else {
            (Verdict::Warning, "is over half of")
        };
        let text = format!("the backlog of {} MiB {what} the threshold of {} MiB", mib(backlog), mib(facts.threshold));
        reasons.push((verdict, text));
    }
    if let Some(free) = facts.free.filter(|free| *free < facts.reserve) {
        let text = format!("{} MiB are free, less than the reserve of {} MiB", mib(free), mib(facts.reserve));
        reasons.push((Verdict::Critical, text));
    }
}

fn backups(facts: &Facts, reasons: &mut Reasons) {
    if !facts.has_full {
        reasons.push((Verdict::Critical, "no full backup is on record".to_owned()));
    } else if let Some(late) = facts.late_by {
        reasons.push((Verdict::Warning, format!("a backup is overdue by {} minutes", late / 60)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Facts {
        Facts {
            data_directory: true,
            switched_off: false,
            invalid_bucket: None,
            server_runs: Some(true),
            ledger: read(0, 0),
            gap_marker: false,
            backlog: Some(0),
            threshold: 500 << 20,
            free: Some(9_000 << 20),
            reserve: 1_000 << 20,
            has_full: true,
            late_by: None,
        }
    }

    fn read(open_gaps: u64, consecutive_failures: u64) -> LedgerFacts {
        LedgerFacts::Read {
            open_gaps,
            missing_segments: open_gaps,
            first_missing: None,
            consecutive_failures,
            last_class: None,
        }
    }

    #[test]
    fn each_trouble_has_its_verdict() {
        let table = [
            (well(), Verdict::Ok, 0),
            (Facts { server_runs: Some(false), ..well() }, Verdict::Ok, 1),
            (Facts { switched_off: true, has_full: false, ledger: LedgerFacts::Missing, ..well() }, Verdict::Ok, 1),
            (Facts { data_directory: false, ..well() }, Verdict::Unknown, 1),
            (Facts { ledger: LedgerFacts::Missing, ..well() }, Verdict::Unknown, 1),
            (Facts { ledger: LedgerFacts::Unreadable("x".to_owned()), ..well() }, Verdict::Unknown, 1),
            (Facts { ledger: read(0, 3), ..well() }, Verdict::Warning, 1),
            (Facts { backlog: Some(251 << 20), ..well() }, Verdict::Warning, 1),
            (Facts { late_by: Some(60), ..well() }, Verdict::Warning, 1),
            (Facts { ledger: read(2, 0), ..well() }, Verdict::Critical, 1),
            (Facts { gap_marker: true, ..well() }, Verdict::Critical, 1),
            (Facts { gap_marker: true, ledger: LedgerFacts::Missing, ..well() }, Verdict::Critical, 1),
            (Facts { backlog: Some(500 << 20), ..well() }, Verdict::Critical, 1),
            (Facts { free: Some(0), ..well() }, Verdict::Critical, 1),
            (Facts { has_full: false, ..well() }, Verdict::Critical, 1),
            (Facts { invalid_bucket: Some("whitespace".to_owned()), ..well() }, Verdict::Critical, 1),
        ];
        for (facts, verdict, count) in table {
            let (judged, reasons) = judge(&facts);
            assert_eq!((judged, reasons.len()), (verdict, count), "{facts:?}: {reasons:?}");
        }
    }

    #[test]
    fn the_worst_reason_stands_first() {
        let facts = Facts { ledger: read(1, 2), server_runs: Some(false), late_by: Some(1), ..well() };
        let (verdict, reasons) = judge(&facts);
        assert_eq!((verdict, reasons.len()), (Verdict::Critical, 4));
        assert!(reasons[0].contains("missing") && reasons[3].contains("not running"), "{reasons:?}");
    }
}
