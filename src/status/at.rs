//! `--at`: whether one moment can be restored, from which backup, and if not, what can be near it.

use super::report::Report;
use crate::decide::at::{Answer, answer};
use crate::epoch::moment;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// What is said of a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// The moment.
    pub at: Timestamp,
    /// Whether it can be restored; `None` where that is unknown.
    pub restorable: Option<bool>,
    /// The timeline on which.
    pub timeline: Option<u32>,
    /// The backup from which.
    pub backup: Option<String>,
    /// The repository that holds it.
    pub repository: Option<u32>,
    /// What stands in the way; `None` where it can be restored.
    pub reason: Option<&'static str>,
    /// The nearest moment before it that can be.
    pub before: Option<Near>,
    /// The nearest moment after it that can be.
    pub after: Option<Near>,
}

/// A moment that can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The moment.
    pub at: Timestamp,
    /// The oldest backup of its window.
    pub backup: String,
}

/// Says whether a moment can be restored.
#[must_use]
pub fn look_at(report: &Report, at: Timestamp) -> Moment {
    let unknown = Moment {
        at,
        restorable: None,
        timeline: None,
        backup: None,
        repository: None,
        reason: None,
        before: None,
        after: None,
    };
    let Some(reach) = &report.extra.reach else {
        let reason = Some("the catalog was not seen, or the ledger can't be read");
        return Moment { reason, ..unknown };
    };
    let near = |near: Option<(i64, String)>| near.and_then(|(at, backup)| Some(Near { at: moment(at)?, backup }));
    match answer(&reach.windows, &reach.backups, reach.unverified_from, at.as_microsecond()) {
        Answer::Yes { backup, repository, timeline } => Moment {
            restorable: Some(true),
            timeline: Some(timeline),
            backup: Some(backup),
            repository: Some(repository),
            ..unknown
        },
        Answer::No { why, before, after } => Moment {
            restorable: (!why.is_doubt()).then_some(false),
            reason: Some(why.as_str()),
            before: near(before),
            after: near(after),
            ..unknown
        },
    }
}

impl Moment {
    /// For people, with the command that restores it; `stanza` is pgBackRest's.
    #[must_use]
    pub fn text(&self, stanza: &str, report: &Report) -> String {
        let at = self.at;
        if let (Some(backup), Some(timeline)) = (&self.backup, self.timeline) {
            // Without a word a recovery follows the newest timeline.
            let newest = report.windows.iter().flatten().map(|window| window.timeline).max();
            let other = Some(timeline).filter(|own| newest.max(report.cluster.timeline) != Some(*own));
            let repository = self.repository.unwrap_or(1);
            let command = restore(stanza, backup, repository, at, other);
            let from = format!("{backup} in repository {repository}");
            let text = format!("{at} can be restored from {from} on timeline {timeline}\n  {command}\n");
            return super::text::printable(&text);
        }
        let mut out = match self.restorable {
            None => format!("whether {at} can be restored is unknown: {}\n", self.reason.unwrap_or_default()),
            Some(_) => format!("{at} can't be restored: {}\n", self.reason.unwrap_or_default()),
        };
        for (name, near) in [("before", &self.before), ("after", &self.after)] {
            if self.restorable.is_some() || near.is_some() {
                let near =
                    near.as_ref().map_or_else(|| "none".to_owned(), |near| format!("{}  {}", near.at, near.backup));
                let _ = writeln!(out, "  nearest {name:<6}  {near}");
            }
        }
        super::text::printable(&out)
    }
}

/// With guard-get, so that an outage does not end the recovery early, and of the one repository that was looked through.
fn restore(stanza: &str, backup: &str, repository: u32, at: Timestamp, timeline: Option<u32>) -> String {
    let target = at.strftime("%Y-%m-%d %H:%M:%S%.f+00");
    let timeline = timeline.map_or(String::new(), |timeline| format!(" --target-timeline={timeline}"));
    let get = format!("pgbackrest-guard-get --stanza={stanza} --repo={repository} %f \"%p\"");
    format!(
        "pgbackrest --stanza={stanza} --repo={repository} --set={backup} --type=time --target='{target}'{timeline} \
         --recovery-option=restore_command='{get}' restore"
    )
}
