//! What the watcher does in one poll.
//!
//! A full backup is the ground on which everything stands, so without one on record it comes first; then gaps, because
//! what lies behind one can't be restored; then the calendar. Times are seconds since 1970; one in the future comes from
//! a clock that was set back, and counts as unset.

use crate::pgbackrest::info::{Catalog, Newest};

/// How often things happen, in seconds; 0 means never for intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Between full backups.
    pub full: u64,
    /// Between differential backups.
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
    /// When a repair last failed.
    pub repair_failed_at: Option<i64>,
}

/// What is to be seen now, on a primary that answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
pub struct Observation {
    /// Now.
    pub now: i64,
    /// Whether something is lost that is neither healed, sealed nor acknowledged.
    pub gap: bool,
    /// Whether files wait to be pushed again: deferred, in overflow, or lost but still whole in `pg_wal`.
    pub repairable: bool,
    /// Whether some of them are lost ones: a gap that may yet be healed is not sealed.
    pub healable: bool,
    /// When archiving last failed, by PostgreSQL's count or push's.
    pub last_failure_at: Option<i64>,
    /// Whether a backup runs.
    pub backup_runs: bool,
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
    /// Push again what can be.
    Repair,
    /// Take a backup.
    Backup(Kind, Reason),
}

/// Decides one poll.
#[must_use]
pub fn decide(seen: &Observation, memory: &Memory, schedule: &Schedule) -> Vec<Action> {
    let mut actions = Vec::new();
    if schedule.heartbeat {
        actions.push(Action::Heartbeat);
    }
    let past = |at: Option<i64>| at.filter(|at| *at <= seen.now);
    let waited = |at: Option<i64>, seconds: u64| past(at).is_none_or(|at| age(seen.now, at) >= seconds);
    let backoff = backoff(memory, schedule);
    let has_full = past(memory.last_full_at).is_some();
    let verify_due = schedule.verify > 0 && waited(memory.last_verify_at, schedule.verify);
    // Without a full, asking ends in a backup: one that has just failed is waited out first.
    let first_due = !has_full && !seen.backup_runs && waited(memory.backup_failed_at, backoff);
    if (first_due || has_full && verify_due) && waited(memory.inconclusive_at, backoff) {
        actions.push(Action::AskCatalog);
    }
    let quiet = waited(seen.last_failure_at, schedule.grace);
    if seen.repairable && quiet && waited(memory.repair_failed_at, backoff) {
        actions.push(Action::Repair);
    }
    if has_full && !seen.backup_runs && waited(memory.backup_failed_at, backoff) {
        actions.extend(backup(seen, memory, schedule, quiet));
    }
    actions
}

/// The backup that is wanted now, with a full one on record.
fn backup(seen: &Observation, memory: &Memory, schedule: &Schedule, quiet: bool) -> Option<Action> {
    let past = |at: Option<i64>| at.filter(|at| *at <= seen.now);
    let due = |at: Option<i64>, interval: u64| interval > 0 && past(at).is_some_and(|at| age(seen.now, at) >= interval);
    if seen.gap && quiet && !seen.healable {
        let kind = if schedule.gap_diff { Kind::Diff } else { Kind::Full };
        Some(Action::Backup(kind, Reason::Gap))
    } else if due(memory.last_full_at, schedule.full) {
        Some(Action::Backup(Kind::Full, Reason::Due))
    } else if due(past(memory.last_diff_at).max(memory.last_full_at), schedule.diff) {
        Some(Action::Backup(Kind::Diff, Reason::Due))
    } else {
        None
    }
}

/// How long a failure is waited out, in seconds.
#[must_use]
pub fn backoff(memory: &Memory, schedule: &Schedule) -> u64 {
    schedule.backoff.unwrap_or(if memory.last_full_at.is_some() { 600 } else { 30 })
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
    /// Nothing follows.
    BackOff,
}

/// Decides what follows from the catalog's answer. Nothing conclusive follows from one that is not.
pub fn after_catalog(catalog: &Catalog, has_full: bool, archive_lock_held: bool) -> AfterCatalog {
    match catalog {
        Catalog::Present(_) if has_full => AfterCatalog::Confirmed,
        Catalog::Present(newest) => AfterCatalog::Adopt(*newest),
        Catalog::Absent => AfterCatalog::TakeFull { cleared: has_full },
        Catalog::Inconclusive { stanza_missing: true, .. } if !has_full && !archive_lock_held => {
            AfterCatalog::CreateStanza
        }
        Catalog::Inconclusive { .. } => AfterCatalog::BackOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_000_000;
    const SCHEDULE: Schedule = Schedule {
        full: 604_800,
        diff: 86_400,
        verify: 3_600,
        grace: 300,
        backoff: None,
        gap_diff: false,
        heartbeat: false,
    };

    fn well() -> Memory {
        let just = Some(NOW - 10);
        Memory { last_full_at: just, last_diff_at: just, last_verify_at: just, ..Memory::default() }
    }

    fn seen() -> Observation {
        Observation { now: NOW, ..Observation::default() }
    }

    fn actions(seen: Observation, memory: Memory) -> Vec<Action> {
        decide(&seen, &memory, &SCHEDULE)
    }

    #[test]
    fn nothing_is_done_when_all_is_well() {
        assert_eq!(actions(seen(), well()), []);
        let heartbeat = Schedule { heartbeat: true, ..SCHEDULE };
        assert_eq!(decide(&seen(), &well(), &heartbeat), [Action::Heartbeat]);
    }

    #[test]
    fn without_a_full_the_catalog_is_asked_before_anything_else() {
        assert_eq!(actions(seen(), Memory::default()), [Action::AskCatalog]);
        let future = Memory { last_full_at: Some(NOW + 5), ..well() };
        assert_eq!(actions(seen(), future), [Action::AskCatalog]);
        let recently = |ago| Memory { inconclusive_at: Some(NOW - ago), ..Memory::default() };
        assert_eq!(actions(seen(), recently(29)), []);
        assert_eq!(actions(seen(), recently(30)), [Action::AskCatalog]);
        let failed = |ago| Memory { backup_failed_at: Some(NOW - ago), ..Memory::default() };
        assert_eq!(actions(seen(), failed(29)), []);
        assert_eq!(actions(seen(), failed(30)), [Action::AskCatalog]);
        assert_eq!(actions(Observation { backup_runs: true, ..seen() }, Memory::default()), []);
    }

    #[test]
    fn the_catalog_is_asked_every_hour_and_never_with_an_interval_of_nothing() {
        let due = Memory { last_verify_at: Some(NOW - 3_600), ..well() };
        assert_eq!(actions(seen(), due), [Action::AskCatalog]);
        assert_eq!(decide(&seen(), &due, &Schedule { verify: 0, ..SCHEDULE }), []);
        assert_eq!(actions(seen(), Memory { inconclusive_at: Some(NOW - 599), ..due }), []);
    }

    #[test]
    fn a_gap_is_healed_where_that_is_possible_else_sealed_once_failures_are_quiet() {
        let gap = Observation { gap: true, ..seen() };
        assert_eq!(actions(gap, well()), [Action::Backup(Kind::Full, Reason::Gap)]);
        assert_eq!(actions(Observation { repairable: true, healable: true, ..gap }, well()), [Action::Repair]);
        let beside = Observation { repairable: true, ..gap };
        assert_eq!(actions(beside, well()), [Action::Repair, Action::Backup(Kind::Full, Reason::Gap)]);
        assert_eq!(actions(Observation { last_failure_at: Some(NOW - 299), ..gap }, well()), []);
        assert_eq!(actions(Observation { backup_runs: true, ..gap }, well()), []);
        assert_eq!(actions(gap, Memory { backup_failed_at: Some(NOW - 599), ..well() }), []);
        let diff = Schedule { gap_diff: true, ..SCHEDULE };
        assert_eq!(decide(&gap, &well(), &diff), [Action::Backup(Kind::Diff, Reason::Gap)]);
    }

    #[test]
    fn the_calendar_wants_a_full_before_a_diff() {
        let aged = |full, diff| Memory { last_full_at: Some(NOW - full), last_diff_at: Some(NOW - diff), ..well() };
        assert_eq!(actions(seen(), aged(604_800, 86_400)), [Action::Backup(Kind::Full, Reason::Due)]);
        assert_eq!(actions(seen(), aged(604_799, 86_400)), [Action::Backup(Kind::Diff, Reason::Due)]);
        assert_eq!(actions(seen(), aged(86_399, 500_000)), []);
        assert_eq!(
            decide(&seen(), &aged(9_000_000, 9_000_000), &Schedule { full: 0, diff: 0, verify: 0, ..SCHEDULE }),
            []
        );
    }

    #[test]
    fn only_absent_clears_the_record_and_only_without_one_is_a_stanza_created() {
        let newest = Newest { full: 1, any: 2 };
        let missing = Catalog::Inconclusive { why: String::new(), stanza_missing: true };
        let dark = Catalog::Inconclusive { why: String::new(), stanza_missing: false };
        assert_eq!(after_catalog(&Catalog::Present(newest), true, false), AfterCatalog::Confirmed);
        assert_eq!(after_catalog(&Catalog::Present(newest), false, false), AfterCatalog::Adopt(newest));
        assert_eq!(after_catalog(&Catalog::Absent, true, false), AfterCatalog::TakeFull { cleared: true });
        assert_eq!(after_catalog(&missing, false, false), AfterCatalog::CreateStanza);
        for (catalog, has_full, lock) in [(&missing, true, false), (&missing, false, true), (&dark, false, false)] {
            assert_eq!(after_catalog(catalog, has_full, lock), AfterCatalog::BackOff);
        }
    }

    proptest! {
        #[test]
        fn never_more_than_one_backup_and_none_while_one_runs(
            gap: bool, repairable: bool, healable: bool, backup_runs: bool, full in -5_000_000..10_i64, diff in -5_000_000..10_i64,
        ) {
            let memory = Memory { last_full_at: Some(NOW + full), last_diff_at: Some(NOW + diff), ..well() };
            let actions = actions(Observation { gap, repairable, healable, backup_runs, ..seen() }, memory);
            let backups = actions.iter().filter(|action| matches!(action, Action::Backup(..))).count();
            prop_assert!(backups <= usize::from(!backup_runs));
        }
    }
}
