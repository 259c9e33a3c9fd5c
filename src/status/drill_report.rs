//! The newest drill, as the report shows it.

use crate::drill_record::{DrillRecord, Verdict};
use crate::epoch::moment;
use jiff::Timestamp;
use serde::Serialize;

/// A restore that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// When it began.
    pub at: Option<Timestamp>,
    /// `passed`, `failed` or `unverified`.
    pub verdict: &'static str,
    /// The backup that it restored.
    pub backup: Option<String>,
    /// The moment that it went for: an RFC 3339 time, or `latest`.
    pub target: String,
    /// The newest commit that was replayed.
    pub reached: Option<String>,
    /// Where it went for the newest moment: what a loss of the origin would have cost then at most, in seconds.
    pub rpo_seconds: Option<u64>,
    /// How long it took, in whole seconds, rounded up.
    pub seconds: u64,
    /// When the newest drill that passed began.
    #[serde(skip)]
    pub passed_at: Option<Timestamp>,
    /// The stages that have not passed, with what was seen.
    #[serde(skip)]
    pub troubles: Vec<String>,
}

impl Drill {
    /// Of a record.
    #[must_use]
    pub fn of(record: &DrillRecord) -> Self {
        let troubles = record.stages.iter().filter(|stage| stage.verdict != Verdict::Passed);
        Self {
            at: moment(record.at),
            verdict: record.verdict.as_str(),
            backup: record.backup.clone(),
            target: record.target.clone(),
            reached: record.reached.clone(),
            rpo_seconds: record.rpo_seconds,
            seconds: whole(record.seconds),
            passed_at: record.passed_at.and_then(moment),
            troubles: troubles.map(|stage| format!("{}: {}", stage.name, stage.detail)).collect(),
        }
    }
}

/// A time in whole seconds, rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a drill takes no 584 billion years")]
fn whole(seconds: f64) -> u64 {
    seconds.max(0.0).ceil() as u64
}
