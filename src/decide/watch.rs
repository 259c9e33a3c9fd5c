//! What the watcher does in one poll.
//!
//! A full backup is the ground on which everything stands, so without one on record it comes first; then gaps, because
//! what lies behind one can't be restored; then the calendar. Times are seconds since 1970; one in the future comes from
//! a clock that was set back, and counts as unset.

use crate::pgbackrest::info::{CatalogAnswer, Doubt, Newest};

/// So often it is tried to show that nothing is missing before a backup makes it needless.
pub const PROOFS: u32 = 3;

/// How often things happen, in seconds; 0 means never for intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Seconds between periodic full backups; 0 means none is taken.
    pub full: u64,
    /// Seconds between periodic differential backups; 0 means none is taken.
    pub diff: u64,
    /// Between checks of the catalog.
    pub verify: u64,
    /// How long failures must have been quiet before a gap is repaired.
    pub grace: u64,
    /// After a failure; `None`: 600, or 30 while there is no full.
    pub backoff: Option<u64>,
    /// Whether a differential backup seals a gap.
    pub gap_diff: bool,
    /// Whether heartbeats are written.
    pub heartbeat: bool,
}

/// What the watcher remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// When the newest full backup ended.
    pub last_full_at: Option<i64>,
    /// When the newest backup of any kind ended.
    pub last_diff_at: Option<i64>,
    /// When the catalog was last asked.
    pub last_verify_at: Option<i64>,
    /// When a backup last failed.
    pub backup_failed_at: Option<i64>,
    /// When the catalog last gave no conclusive answer, or a stanza could not be created.
    pub inconclusive_at: Option<i64>,
    /// When a file could last not be pushed again.
    pub heal_failed_at: Option<i64>,
    /// Whether the catalog's last answer came from no repository that can be read.
    pub unreadable: bool,
    /// When the listing last could not be walked.
    pub walk_failed_at: Option<i64>,
    /// When it last could not be shown that nothing is missing.
    pub unproven_at: Option<i64>,
    /// How often in a row that could not be shown.
    pub unproven_count: u32,
    /// When a backup for a gap last ended without sealing any.
    pub unsealed_at: Option<i64>,
    /// When the catalog was last asked, whatever it answered.
    pub check_tried_at: Option<i64>,
    /// When a backup that others take was last waited for.
    pub waited_at: Option<i64>,
}

/// What is to be seen now, on a primary that answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct Observation {
    /// The time of this poll, in seconds since 1970.
    pub now: i64,
    /// Whether the ledger has not been held against the archive from this node, in these repositories.
    pub unchecked: bool,
    /// Whether something is lost that is neither healed, sealed nor acknowledged.
    pub gap: bool,
    /// Whether files wait to be pushed again: deferred, in overflow, or lost but still whole in `pg_wal`.
    pub pushable: bool,
    /// Whether some of them are lost ones: a gap that may yet be healed is not sealed.
    pub healable: bool,
    /// When archiving last failed, by PostgreSQL's count or push's.
    pub last_failure_at: Option<i64>,
    /// Whether a backup runs.
    pub backup_runs: bool,
    /// Whether another process holds pgBackRest's backup lock.
    pub backup_locked: bool,
    /// Whether others take the backups.
    pub others: bool,
    /// Whether pushes have failed since it was last shown that nothing is missing, and have succeeded since.
    pub unproven: bool,
    /// Whether more is archived than the last walk through the listings has looked for.
    pub unwalked: bool,
}

/// `pg_stat_archiver`'s failures, and when its counters began.
///
/// They begin anew after a crash and after `pg_stat_reset_shared` (pgstat.c, PostgreSQL 15).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// How many there were.
    pub count: i64,
    /// Since when, in seconds since 1970.
    pub since: Option<i64>,
}

impl Failures {
    /// Whether there have been any since `proven`.
    #[must_use]
    pub fn are_newer_than(self, proven: Self) -> bool {
        let began_anew = self.count < proven.count || self.since != proven.since && proven.since.is_some();
        self.count > if began_anew { 0 } else { proven.count }
    }
}

/// The kind of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything.
    Full,
    /// What has changed since the last full one.
    Diff,
}

impl Kind {
    /// pgBackRest's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Diff => "diff",
        }
    }
}

/// Why a backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    NoFull,
    /// A gap can't be healed.
    Gap,
    /// Pushes have failed, and it can't be shown that nothing is missing.
    Unproven,
    /// It is time.
    Due,
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Write a heartbeat.
    Heartbeat,
    /// Ask the catalog, then [`after_catalog`].
    AskCatalog,
    /// Show by the repository's listing that nothing is missing.
    ProveContinuity,
    /// Push again what can be.
    Heal,
    /// Before a backup: close what the archive has or a backup in the catalog seals, and adopt what others took.
    LookUp,
    /// Take a backup.
    Backup(Kind, Reason),
    /// Say that others have to take one.
    Wait(Kind, Reason),
}

/// Decides one poll.
#[must_use]
pub fn decide(seen: &Observation, memory: &Memory, schedule: &Schedule) -> Vec<Action> {
    let mut actions = Vec::new();
    if schedule.heartbeat {
        actions.push(Action::Heartbeat);
    }
    let waited = |at: Option<i64>, seconds: u64| waited(seen.now, at, seconds);
    let backoff = backoff(memory, schedule);
    let has_full = past(seen.now, memory.last_full_at).is_some();
    let verify_due = schedule.verify > 0 && waited(memory.last_verify_at, schedule.verify);
    // Without a full, asking ends in a backup: one that has just failed is waited out first.
    let waited_for = !seen.others || waited(memory.waited_at, backoff);
    let first_due = !has_full && !seen.backup_runs && waited(memory.backup_failed_at, backoff) && waited_for;
    let quiet = waited(seen.last_failure_at, schedule.grace);
    let check_due = seen.unchecked && waited(memory.check_tried_at, backoff);
    if (first_due || has_full && (verify_due || check_due)) && waited(memory.inconclusive_at, backoff) {
        actions.push(Action::AskCatalog);
    } else if has_full
        && (seen.unproven && quiet && waited(memory.unproven_at, backoff)
            || seen.unwalked && waited(memory.walk_failed_at, backoff))
    {
        actions.push(Action::ProveContinuity);
    }
    if seen.pushable && quiet && waited(memory.heal_failed_at, backoff) {
        actions.push(Action::Heal);
    }
    let may_begin = if seen.others { waited_for } else { may_begin_backup(seen, memory, schedule) };
    if has_full
        && may_begin
        && let Some((kind, reason)) = backup(seen, memory, schedule, quiet)
    {
        // What others took may have made it needless.
        if seen.others || reason != Reason::Unproven {
            actions.push(Action::LookUp);
        }
        actions.push(if seen.others { Action::Wait(kind, reason) } else { Action::Backup(kind, reason) });
    }
    actions
}

/// The backup that is wanted now, with a full one on record.
fn backup(seen: &Observation, memory: &Memory, schedule: &Schedule, quiet: bool) -> Option<(Kind, Reason)> {
    let kind = if schedule.gap_diff { Kind::Diff } else { Kind::Full };
    let of_use = waited(seen.now, memory.unsealed_at, backoff(memory, schedule));
    if seen.gap && quiet && !seen.healable && of_use {
        Some((kind, Reason::Gap))
    } else if seen.unproven && quiet && memory.unproven_count >= PROOFS {
        Some((kind, Reason::Unproven))
    } else {
        due(seen.now, memory, schedule).map(|kind| (kind, Reason::Due))
    }
}

/// The backup that the calendar wants now.
fn due(now: i64, memory: &Memory, schedule: &Schedule) -> Option<Kind> {
    let is_due =
        |at: Option<i64>, interval: u64| interval > 0 && past(now, at).is_some_and(|at| age(now, at) >= interval);
    if is_due(memory.last_full_at, schedule.full) {
        Some(Kind::Full)
    } else {
        is_due(past(now, memory.last_diff_at).max(memory.last_full_at), schedule.diff).then_some(Kind::Diff)
    }
}

/// Whether nothing stands against a backup, whatever it is for. Where no repository can be read, none can be written.
fn may_begin_backup(seen: &Observation, memory: &Memory, schedule: &Schedule) -> bool {
    let failure_is_over = waited(seen.now, memory.backup_failed_at, backoff(memory, schedule));
    !seen.backup_runs && !seen.others && !memory.unreadable && failure_is_over
}

/// Why a backup that was decided on is not begun after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// What was done meanwhile in this poll has made it needless, or impossible for now.
    Overtaken,
    /// Another process holds pgBackRest's backup lock.
    Locked,
    /// Others take the backups.
    Others,
}

/// Decides again right before a backup begins, by what is to be seen then: a look-up may have closed the gap, and a walk
/// of the listing may have shown that nothing is missing.
#[must_use]
pub fn obstacle(reason: Reason, seen: &Observation, memory: &Memory, schedule: &Schedule) -> Option<Obstacle> {
    let is_wanted = match reason {
        Reason::Gap => seen.gap,
        Reason::Unproven => seen.unproven,
        Reason::Due => due(seen.now, memory, schedule).is_some(),
        Reason::NoFull => true,
    };
    if is_wanted && seen.others {
        Some(Obstacle::Others)
    } else if !is_wanted || !may_begin_backup(seen, memory, schedule) {
        Some(Obstacle::Overtaken)
    } else {
        seen.backup_locked.then_some(Obstacle::Locked)
    }
}

/// Whether a backup was taken for a gap in vain: it left a gap that was on record before it, or the marker. The next one
/// would not do better at once.
#[must_use]
pub fn was_in_vain(reason: Reason, gap_before: bool, sealed: usize, marker_left: bool) -> bool {
    reason == Reason::Gap && (gap_before && sealed == 0 || marker_left)
}

/// What a walk of the listing has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Every repository's listing, up to what PostgreSQL counts as archived; what is missing is on record.
    Whole,
    /// As far as there was time, or nothing waits for the archiver; the next one goes on.
    Unfinished,
    /// Not all of them; another time perhaps.
    Broken,
    /// A listing is too long, now and later.
    TooLong,
}

/// How many of the [`PROOFS`] tries a walk has used up that shows nothing; `None` when it shows that nothing is missing.
#[must_use]
pub fn tries_used(walk: Walk) -> Option<u32> {
    match walk {
        Walk::Whole => None,
        Walk::Unfinished => Some(0),
        Walk::Broken => Some(1),
        Walk::TooLong => Some(PROOFS),
    }
}

/// How long a failure is waited out, in seconds.
#[must_use]
pub fn backoff(memory: &Memory, schedule: &Schedule) -> u64 {
    schedule.backoff.unwrap_or(if memory.last_full_at.is_some() { 600 } else { 30 })
}

/// A time that is not in the future.
fn past(now: i64, at: Option<i64>) -> Option<i64> {
    at.filter(|at| *at <= now)
}

/// Whether so many seconds have passed since, if it ever was.
fn waited(now: i64, at: Option<i64>, seconds: u64) -> bool {
    past(now, at).is_none_or(|at| age(now, at) >= seconds)
}

fn age(now: i64, at: i64) -> u64 {
    u64::try_from(now.saturating_sub(at)).unwrap_or(0)
}

/// What follows from the catalog's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum AfterCatalog {
    /// The full backup on record is there.
    Confirmed,
    /// No full was on record, and the catalog has one: its times are taken over.
    Adopt(Newest),
    /// There is conclusively none: what is on record is cleared, and a full is taken.
    TakeFull {
        /// Whether one was on record.
        cleared: bool,
    },
    /// The stanza does not exist yet.
    CreateStanza,
    /// There is none, and the cluster has archived before: the repository may be another than it was.
    StanzaGone,
    /// Nothing follows.
    BackOff,
}

/// Decides what follows from the catalog's answer. Nothing conclusive follows from one that is not. `may_create`: whether the
/// cluster is new ([`super::stanza`]), or somebody asks for a stanza.
pub fn after_catalog(
    catalog: &CatalogAnswer,
    has_full: bool,
    archive_lock_held: bool,
    may_create: bool,
) -> AfterCatalog {
    match catalog {
        CatalogAnswer::Present(_) if has_full => AfterCatalog::Confirmed,
        CatalogAnswer::Present(newest) => AfterCatalog::Adopt(*newest),
        CatalogAnswer::Absent => AfterCatalog::TakeFull { cleared: has_full },
        CatalogAnswer::Inconclusive { doubt: Doubt::StanzaMissing, .. } if !has_full && !archive_lock_held => {
            if may_create {
                AfterCatalog::CreateStanza
            } else {
                AfterCatalog::StanzaGone
            }
        }
        CatalogAnswer::Inconclusive { .. } => AfterCatalog::BackOff,
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
