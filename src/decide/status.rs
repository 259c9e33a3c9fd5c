//! The verdict: how things stand, and why.

use super::overdue;
use super::strangers::{self, Stranger};
use crate::pgbackrest::Class;
use crate::sizes::shown;
use crate::verdict::Verdict;
use crate::wal::SegmentName;

/// Seconds after which a file that waits is worth a word.
const WAITED: u64 = 5;
/// Seconds after which it is worth a warning: as long as push lets a call of pgBackRest be silent.
const WAITED_LONG: u64 = 120;

/// The ledger, as far as the verdict needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LedgerFacts {
    /// There is none yet.
    #[default]
    Missing,
    /// It is there and can't be read, for this reason.
    Unreadable(String),
    /// It was read.
    Read {
        /// Open gaps that nobody has acknowledged.
        open_gaps: u64,
        /// Open gaps that somebody has.
        acknowledged_gaps: u64,
        /// The segments in them.
        missing_segments: u64,
        /// The first missing segment's name.
        first_missing: Option<String>,
        /// Failures since the last success.
        consecutive_failures: u64,
        /// The class of the newest failure.
        last_class: Option<Class>,
        /// The repositories that fail while the others take WAL, and how.
        out: Option<(Vec<u32>, Class)>,
    },
}

/// The server, as far as the verdict needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServerFacts {
    /// It does not run.
    #[default]
    Down,
    /// It runs and does not answer, for this reason.
    Silent(String),
    /// It runs and does not let the role in, for this reason: the watcher and pgBackRest are not let in either.
    Refused(String),
    /// It answers.
    Answers {
        /// Whether it archives; `None` where the role may not see that.
        archives: Option<bool>,
        /// Whether `archive_mode` is `always`, with which pgBackRest takes no backup.
        always: bool,
    },
}

/// The catalog, as far as the verdict needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogFacts {
    /// Why it is not known what was found, if so.
    pub trouble: Option<String>,
    /// For how many seconds no check has been conclusive, and why the newest was not.
    pub inconclusive_for: Option<(u64, String)>,
    /// Seconds between two checks; 0: it is not checked.
    pub interval: u64,
}

/// What the verdict rests on. Sizes in bytes, times in seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Whether the data directory is there and can be read.
    pub data_directory: bool,
    /// Whether an empty bucket switches archiving off.
    pub switched_off: bool,
    /// Why the bucket's settings were refused.
    pub invalid_bucket: Option<String>,
    /// Whether anything asks for archiving: a bucket, pgBackRest's configuration, or that there was archiving before.
    pub asked_for: bool,
    /// What keeps setup from its work, if something does.
    pub setup_fails: Option<String>,
    /// The server.
    pub server: ServerFacts,
    /// Whether it is recovering: then archiving and backups are another server's duty.
    pub standby: bool,
    /// The ledger; of one that is unchecked only what is this node's own.
    pub ledger: LedgerFacts,
    /// Whether the ledger came from another node, or was made after a promotion, and has not been held against the
    /// archive's listing on this one.
    pub unchecked: bool,
    /// Whether the gap marker is there.
    pub gap_marker: bool,
    /// WAL that waits to be archived, in bytes.
    pub backlog: Option<u64>,
    /// How many files wait, and for how many seconds the oldest has.
    pub waiting: Option<(u64, u64)>,
    /// At how much it is given up.
    pub threshold: u64,
    /// Free space on the volume of `pg_wal`, in bytes.
    pub free: Option<u64>,
    /// How much should be free.
    pub reserve: u64,
    /// Whether a full backup is on record.
    pub has_full: bool,
    /// By how many seconds a backup is late.
    pub late_by: Option<u64>,
    /// Whether a watcher has run here, or the repository was asked: else no backup can be on record.
    pub watched: bool,
    /// Why the newest try of a backup failed, if it did.
    pub no_backup_because: Option<String>,
    /// Why others take the backups, if they do.
    pub by_others: Option<String>,
    /// What is wrong with the last drill, if something is.
    pub drill: Option<String>,
    /// The catalog.
    pub catalog: CatalogFacts,
    /// Segments that only some repositories lack, and the numbers of those.
    pub owed: (u64, Vec<u32>),
    /// The repositories that hold no backup, though another does.
    pub without_backup: Vec<u32>,
    /// How many of the missing segments have their names in an archive with other content, and the first one's name.
    pub differing: (u64, Option<String>),
    /// The repositories that hold no backup since a gap, though another does.
    pub behind: Vec<u32>,
    /// What the archive holds beside this server's own.
    pub beside: Beside,
}

/// What an archive holds that no restore of this server's line needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// A timeline that a restore to its end would follow.
    pub stranger: Option<Stranger>,
    /// The repositories with WAL that should have expired, and the oldest segment there.
    pub overdue: Vec<(u32, SegmentName)>,
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
    } else if is_off(facts) && !facts.asked_for {
        let text = "archiving is off, and nothing asks for it: set WAL_ARCHIVE_BUCKET and run pgbackrest-guard setup, \
                    or set it to the empty string if that is intended";
        reasons.push((Verdict::Warning, text.to_owned()));
    } else {
        space(facts, &mut reasons);
        archiving(facts, &mut reasons);
        if facts.unchecked {
            unchecked(facts, &mut reasons);
        }
        // What a primary has lost since its promotion it knows by itself.
        if !(facts.unchecked && facts.standby) {
            losses(facts, &mut reasons);
            reasons.extend(super::differing::reason(&facts.differing).map(|reason| (Verdict::Critical, reason)));
        }
        if facts.standby {
            let text = "the server is recovering: another one archives and is backed up".to_owned();
            reasons.push((Verdict::Ok, text));
        } else {
            backups(facts, &mut reasons);
        }
        catalog(&facts.catalog, &mut reasons);
        repositories(facts, &mut reasons);
    }
    match &facts.server {
        ServerFacts::Down => reasons.push((Verdict::Ok, "PostgreSQL is not running".to_owned())),
        ServerFacts::Silent(why) => reasons.push((Verdict::Ok, format!("PostgreSQL is running, but {why}"))),
        ServerFacts::Refused(why) => reasons.push((Verdict::Warning, why.clone())),
        ServerFacts::Answers { .. } => {}
    }
    reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let verdict = reasons.first().map_or(Verdict::Ok, |(verdict, _)| *verdict);
    let mut reasons: Vec<String> = reasons.into_iter().map(|(_, reason)| reason).collect();
    // Else the first thing that a person reads would be a side issue.
    if verdict == Verdict::Ok
        && is_whole(facts)
        && let Some(first) = reasons.first_mut()
    {
        *first = format!("nothing is missing ({first})");
    }
    (verdict, reasons)
}

/// Whether it is known that no WAL of this server's is missing.
fn is_whole(facts: &Facts) -> bool {
    let here = !facts.switched_off && !facts.standby && !facts.unchecked && facts.catalog.inconclusive_for.is_none();
    here && matches!(facts.ledger, LedgerFacts::Read { open_gaps: 0, acknowledged_gaps: 0, .. })
}

type Reasons = Vec<(Verdict, String)>;

fn archiving(facts: &Facts, reasons: &mut Reasons) {
    if let Some(reason) = &facts.invalid_bucket {
        let text = format!("archiving is off though it is wanted: the bucket's settings were refused ({reason})");
        reasons.push((Verdict::Critical, text));
    }
    if is_off(facts) {
        let why = facts.setup_fails.as_ref().map(|why| format!("setup fails: {why}"));
        let why = why.unwrap_or_else(|| "archive_mode is off, or there is no archive_command".to_owned());
        reasons.push((Verdict::Critical, format!("archiving is off though it is wanted: {why}")));
    }
    if let Some((files, seconds)) = facts.waiting.filter(|(_, seconds)| *seconds >= WAITED && !facts.standby) {
        let files = counted(files, "WAL file waits", "WAL files wait");
        let verdict = if seconds >= WAITED_LONG { Verdict::Warning } else { Verdict::Ok };
        reasons.push((verdict, format!("{files} to be archived, the oldest for {seconds} s")));
    }
}

/// Whether a primary says that it does not archive, and no junk in the bucket is the reason.
fn is_off(facts: &Facts) -> bool {
    let is_off = matches!(facts.server, ServerFacts::Answers { archives: Some(false), .. });
    is_off && !facts.standby && facts.invalid_bucket.is_none()
}

/// What another node has recorded says nothing of this one until it was looked up; and a standby archives nothing.
fn unchecked(facts: &Facts, reasons: &mut Reasons) {
    if facts.standby {
        let text = "the ledger came from another node: it is compared with the archive's listing once this server is \
                    the primary; ask the primary what is lost";
        reasons.push((Verdict::Ok, text.to_owned()));
    } else {
        let text =
            "losses before the promotion are unknown: watch has not compared the ledger with the archive's listing yet";
        reasons.push((Verdict::Unknown, text.to_owned()));
    }
}

fn losses(facts: &Facts, reasons: &mut Reasons) {
    match &facts.ledger {
        LedgerFacts::Missing if facts.gap_marker => reasons.push((Verdict::Critical, marker())),
        LedgerFacts::Missing if facts.standby => {}
        LedgerFacts::Missing => {
            reasons.push((Verdict::Unknown, "there is no ledger: no push has run here yet".to_owned()));
        }
        LedgerFacts::Unreadable(why) => reasons.push((Verdict::Unknown, format!("losses are unknown: {why}"))),
        LedgerFacts::Read { open_gaps, acknowledged_gaps, missing_segments, first_missing, .. } => {
            if *open_gaps > 0 {
                let first = first_missing.as_deref().unwrap_or("unknown");
                let text = format!(
                    "{} missing in {}, the first is {first}",
                    counted(*missing_segments, "WAL segment is", "WAL segments are"),
                    counted(*open_gaps, "open gap", "open gaps"),
                );
                reasons.push((Verdict::Critical, text));
            } else if facts.gap_marker && *acknowledged_gaps == 0 && !facts.unchecked {
                reasons.push((Verdict::Critical, marker()));
            }
            if *acknowledged_gaps > 0 {
                let text = counted(*acknowledged_gaps, "open gap is acknowledged", "open gaps are acknowledged");
                reasons.push((Verdict::Ok, text));
            }
        }
    }
    // What was counted when a standby was a primary says nothing of now.
    if !facts.standby || matches!(facts.server, ServerFacts::Answers { always: true, .. }) {
        failures(&facts.ledger, reasons);
    }
}

fn failures(ledger: &LedgerFacts, reasons: &mut Reasons) {
    if let LedgerFacts::Read { out: Some((keys, class)), .. } = ledger {
        let text = format!("archiving to {} is failing (class {class}): the others get what it lacks", named(keys));
        reasons.push((Verdict::Warning, text));
        return;
    }
    if let LedgerFacts::Read { consecutive_failures: count @ 1.., last_class, .. } = ledger {
        let class = last_class.map_or("unknown", Class::as_str);
        let pushes = counted(*count, "failed push", "failed pushes");
        let text = format!("archiving is failing: {pushes} since the last success (class {class})");
        reasons.push((Verdict::Warning, text));
    }
}

fn catalog(catalog: &CatalogFacts, reasons: &mut Reasons) {
    if let Some(trouble) = &catalog.trouble {
        reasons.push((Verdict::Unknown, format!("what can be restored is unknown: {trouble}")));
    }
    let patience = catalog.interval.saturating_mul(2);
    if let Some((seconds, why)) = &catalog.inconclusive_for {
        let minutes = counted(seconds / 60, "minute", "minutes");
        let verdict = if *seconds > patience && patience > 0 { Verdict::Warning } else { Verdict::Ok };
        reasons.push((verdict, format!("no check of the catalog has been conclusive for {minutes}: {why}")));
    }
}

fn repositories(facts: &Facts, reasons: &mut Reasons) {
    let (owed, keys) = &facts.owed;
    if *owed > 0 {
        let segments = counted(*owed, "WAL segment is", "WAL segments are");
        reasons.push((Verdict::Warning, format!("{segments} owed to {}: another repository has them", named(keys))));
    }
    if !facts.without_backup.is_empty() && !facts.standby {
        let text =
            format!("there is no backup in {}: nothing can be restored from there", named(&facts.without_backup));
        reasons.push((Verdict::Warning, text));
    }
    if !facts.behind.is_empty() && !facts.standby {
        let text = format!(
            "there is no backup since a gap in {}: nothing after the gap can be restored from there; watch takes one \
             once it can be read",
            named(&facts.behind)
        );
        reasons.push((Verdict::Warning, text));
    }
    if !facts.standby {
        let Beside { stranger, overdue } = &facts.beside;
        reasons.extend(stranger.as_ref().map(|stranger| (Verdict::Warning, strangers::reason(stranger))));
        let overdue = overdue.iter().map(|(repository, oldest)| overdue::reason(*repository, *oldest));
        reasons.extend(overdue.map(|reason| (Verdict::Warning, reason)));
    }
}

/// `repository 2`, `repositories 2 and 3`.
fn named(keys: &[u32]) -> String {
    let names: Vec<String> = keys.iter().map(u32::to_string).collect();
    format!("{} {}", if keys.len() == 1 { "repository" } else { "repositories" }, names.join(" and "))
}

/// `1 open gap`, `2 open gaps`.
fn counted(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn marker() -> String {
    "WAL was lost, but no ledger says which: .pgbackrest_gap_pending exists".to_owned()
}

fn space(facts: &Facts, reasons: &mut Reasons) {
    if let Some(backlog) = facts.backlog.filter(|backlog| *backlog > facts.threshold / 2) {
        let (verdict, what) = if backlog >= facts.threshold {
            (Verdict::Critical, "has reached")
        } else {
            (Verdict::Warning, "is over half of")
        };
        let text = format!("the backlog of {} {what} the threshold of {}", shown(backlog), shown(facts.threshold));
        reasons.push((verdict, text));
    }
    if let Some(free) = facts.free.filter(|free| *free < facts.reserve) {
        let text = format!("{} are free, less than the reserve of {}", shown(free), shown(facts.reserve));
        reasons.push((Verdict::Critical, text));
    }
}

fn backups(facts: &Facts, reasons: &mut Reasons) {
    if let Some(drill) = &facts.drill {
        reasons.push((Verdict::Warning, drill.clone()));
    }
    let refused = matches!(facts.server, ServerFacts::Answers { always: true, .. });
    let others = facts.by_others.as_ref().map(|why| format!("others take the backups: {why}"));
    let because = others.clone().or_else(|| facts.no_backup_because.clone());
    let because = because.map_or_else(String::new, |because| format!(" ({because})"));
    if !facts.has_full && !facts.watched {
        let text = "no full backup is on record here, and no watcher has run here; `--repo` asks the repository";
        reasons.push((Verdict::Unknown, text.to_owned()));
    } else if !facts.has_full {
        reasons.push((Verdict::Critical, format!("no full backup is on record{because}")));
    } else if let Some(late) = facts.late_by {
        reasons.push((Verdict::Warning, format!("a backup is overdue by {} minutes{because}", late / 60)));
    } else if let Some(others) = others {
        reasons.push((Verdict::Ok, others));
    }
    if refused && facts.by_others.is_none() {
        let text =
            "no backup can be taken: archive_mode is always, and pgBackRest refuses to back up such a server (67)";
        reasons.push((Verdict::Warning, text.to_owned()));
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
