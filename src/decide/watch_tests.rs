//! The watcher's decisions: a table, and what holds for all of them.

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
    assert_eq!(actions(gap, well()), [Action::LookUp, Action::Backup(Kind::Full, Reason::Gap)]);
    assert_eq!(actions(Observation { pushable: true, healable: true, ..gap }, well()), [Action::Heal]);
    let beside = Observation { pushable: true, ..gap };
    assert_eq!(actions(beside, well()), [Action::Heal, Action::LookUp, Action::Backup(Kind::Full, Reason::Gap)]);
    assert_eq!(actions(Observation { last_failure_at: Some(NOW - 299), ..gap }, well()), []);
    assert_eq!(actions(Observation { backup_runs: true, ..gap }, well()), []);
    assert_eq!(actions(gap, Memory { backup_failed_at: Some(NOW - 599), ..well() }), []);
    let diff = Schedule { gap_diff: true, ..SCHEDULE };
    assert_eq!(decide(&gap, &well(), &diff), [Action::LookUp, Action::Backup(Kind::Diff, Reason::Gap)]);
}

#[test]
fn a_gap_that_a_backup_did_not_seal_waits_for_the_next_one() {
    let gap = Observation { gap: true, ..seen() };
    assert_eq!(actions(gap, Memory { unsealed_at: Some(NOW - 599), ..well() }), []);
    let waited = Memory { unsealed_at: Some(NOW - 600), ..well() };
    assert_eq!(actions(gap, waited), [Action::LookUp, Action::Backup(Kind::Full, Reason::Gap)]);
}

#[test]
fn no_backup_is_begun_where_no_repository_can_be_read() {
    let aged = Memory { last_full_at: Some(NOW - 604_800), ..well() };
    assert_eq!(actions(seen(), aged), [Action::LookUp, Action::Backup(Kind::Full, Reason::Due)]);
    for gap in [false, true] {
        assert_eq!(actions(Observation { gap, ..seen() }, Memory { unreadable: true, ..aged }), []);
    }
}

#[test]
fn right_before_a_backup_it_is_decided_again() {
    let gap = Observation { gap: true, ..seen() };
    let at = |reason, seen: Observation, memory: Memory| obstacle(reason, &seen, &memory, &SCHEDULE);
    assert_eq!(at(Reason::Gap, gap, well()), None);
    assert_eq!(at(Reason::Gap, seen(), well()), Some(Obstacle::Overtaken), "the look-up has closed it");
    assert_eq!(at(Reason::Unproven, gap, well()), Some(Obstacle::Overtaken), "it was shown meanwhile");
    let aged = Memory { last_full_at: Some(NOW - 604_800), ..well() };
    assert_eq!(at(Reason::Due, seen(), aged), None);
    assert_eq!(at(Reason::Due, Observation { backup_locked: true, ..seen() }, aged), Some(Obstacle::Locked));
    let first = Memory { backup_failed_at: Some(NOW - 29), ..Memory::default() };
    assert_eq!(at(Reason::NoFull, seen(), first), Some(Obstacle::Overtaken));
    assert_eq!(at(Reason::NoFull, seen(), Memory { backup_failed_at: Some(NOW - 30), ..first }), None);
    for memory in [Memory { unreadable: true, ..well() }, Memory { backup_failed_at: Some(NOW), ..well() }] {
        assert_eq!(at(Reason::Gap, gap, memory), Some(Obstacle::Overtaken));
    }
    for seen in [Observation { backup_runs: true, ..gap }, Observation { backup_runs: true, unproven: true, ..gap }] {
        assert_eq!(at(Reason::Gap, seen, well()), Some(Obstacle::Overtaken));
    }
    assert_eq!(at(Reason::Gap, Observation { others: true, ..gap }, well()), Some(Obstacle::Others));
    assert_eq!(at(Reason::Gap, Observation { others: true, ..seen() }, well()), Some(Obstacle::Overtaken));
    assert_eq!(at(Reason::Due, seen(), well()), Some(Obstacle::Overtaken), "somebody has just taken one");
}

#[test]
fn a_backup_for_a_gap_that_leaves_it_was_in_vain() {
    assert!(was_in_vain(Reason::Gap, true, 0, false) && was_in_vain(Reason::Gap, false, 0, true));
    assert!(!was_in_vain(Reason::Gap, true, 1, false) && !was_in_vain(Reason::Due, true, 0, true));
    assert_eq!(tries_used(Walk::TooLong), Some(PROOFS));
    assert_eq!([Walk::Whole, Walk::Unfinished, Walk::Broken].map(tries_used), [None, Some(0), Some(1)]);
}

#[test]
fn what_others_take_is_looked_for_and_waited_for() {
    let others = Observation { others: true, ..seen() };
    let aged = Memory { last_full_at: Some(NOW - 604_800), ..well() };
    assert_eq!(actions(others, well()), []);
    assert_eq!(actions(others, aged), [Action::LookUp, Action::Wait(Kind::Full, Reason::Due)]);
    let gap = Observation { gap: true, ..others };
    assert_eq!(actions(gap, well()), [Action::LookUp, Action::Wait(Kind::Full, Reason::Gap)]);
    let waited = |ago, memory: Memory| Memory { waited_at: Some(NOW - ago), ..memory };
    assert_eq!(actions(gap, waited(599, aged)), []);
    assert_eq!(actions(gap, waited(600, aged)), [Action::LookUp, Action::Wait(Kind::Full, Reason::Gap)]);
    assert_eq!(actions(others, Memory::default()), [Action::AskCatalog]);
    assert_eq!(actions(others, waited(29, Memory::default())), []);
    assert_eq!(actions(others, waited(30, Memory::default())), [Action::AskCatalog]);
    let unproven = Observation { unproven: true, ..others };
    let tried = Memory { unproven_at: Some(NOW - 1), unproven_count: PROOFS, ..well() };
    assert_eq!(actions(unproven, tried), [Action::LookUp, Action::Wait(Kind::Full, Reason::Unproven)]);
}

#[test]
fn a_ledger_from_elsewhere_is_checked_at_once_and_again_after_a_while() {
    let unchecked = Observation { unchecked: true, ..seen() };
    assert_eq!(actions(unchecked, well()), [Action::AskCatalog]);
    assert_eq!(actions(unchecked, Memory { check_tried_at: Some(NOW - 599), ..well() }), []);
    assert_eq!(actions(unchecked, Memory { check_tried_at: Some(NOW - 600), ..well() }), [Action::AskCatalog]);
    assert_eq!(decide(&unchecked, &well(), &Schedule { verify: 0, ..SCHEDULE }), [Action::AskCatalog]);
}

#[test]
fn what_is_archived_is_walked_at_once_and_after_a_failure_later() {
    let unwalked = Observation { unwalked: true, ..seen() };
    assert_eq!(actions(unwalked, well()), [Action::ProveContinuity]);
    let failed = |ago| Memory { walk_failed_at: Some(NOW - ago), ..well() };
    assert_eq!(actions(unwalked, failed(599)), []);
    assert_eq!(actions(unwalked, failed(600)), [Action::ProveContinuity]);
    assert_eq!(actions(unwalked, Memory { last_full_at: None, backup_failed_at: Some(NOW), ..well() }), []);
}

#[test]
fn failures_need_a_proof_and_a_backup_only_where_there_is_none_to_be_had() {
    let unproven = Observation { unproven: true, ..seen() };
    assert_eq!(actions(unproven, well()), [Action::ProveContinuity]);
    assert_eq!(actions(Observation { last_failure_at: Some(NOW - 299), ..unproven }, well()), []);
    let tried = |ago, count| Memory { unproven_at: Some(NOW - ago), unproven_count: count, ..well() };
    assert_eq!(actions(unproven, tried(599, 2)), []);
    assert_eq!(actions(unproven, tried(600, 2)), [Action::ProveContinuity]);
    assert_eq!(actions(unproven, tried(1, PROOFS)), [Action::Backup(Kind::Full, Reason::Unproven)]);
    assert_eq!(actions(seen(), tried(1, PROOFS)), []);
    // The check of the catalog walks the listing too.
    let due = Memory { last_verify_at: None, ..well() };
    assert_eq!(actions(unproven, due), [Action::AskCatalog]);
}

#[test]
fn a_count_that_began_anew_is_newer_from_one_on() {
    let failures = |count, since| Failures { count, since };
    let proven = failures(500, Some(7));
    assert!(!failures(500, Some(7)).are_newer_than(proven));
    assert!(failures(501, Some(7)).are_newer_than(proven));
    // A crash, or pg_stat_reset_shared('archiver').
    assert!(!failures(0, Some(9)).are_newer_than(proven));
    assert!(failures(40, Some(9)).are_newer_than(proven) && failures(500, Some(9)).are_newer_than(proven));
    assert!(failures(40, None).are_newer_than(failures(500, None)));
    // The scripts' state says nothing of when.
    assert!(!failures(500, Some(9)).are_newer_than(failures(500, None)));
    assert!(failures(1, None).are_newer_than(Failures::default()));
}

#[test]
fn the_calendar_wants_a_full_before_a_diff() {
    let aged = |full, diff| Memory { last_full_at: Some(NOW - full), last_diff_at: Some(NOW - diff), ..well() };
    assert_eq!(actions(seen(), aged(604_800, 86_400)), [Action::LookUp, Action::Backup(Kind::Full, Reason::Due)]);
    assert_eq!(actions(seen(), aged(604_799, 86_400)), [Action::LookUp, Action::Backup(Kind::Diff, Reason::Due)]);
    assert_eq!(actions(seen(), aged(86_399, 500_000)), []);
    assert_eq!(decide(&seen(), &aged(9_000_000, 9_000_000), &Schedule { full: 0, diff: 0, verify: 0, ..SCHEDULE }), []);
}

#[test]
fn only_absent_clears_the_record_and_only_without_one_is_a_stanza_created() {
    let newest = Newest { full: 1, any: 2 };
    let missing = CatalogAnswer::Inconclusive { why: String::new(), doubt: Doubt::StanzaMissing };
    let unreadable = CatalogAnswer::Inconclusive { why: String::new(), doubt: Doubt::Unreadable };
    assert_eq!(after_catalog(&CatalogAnswer::Present(newest), true, false, true), AfterCatalog::Confirmed);
    assert_eq!(after_catalog(&CatalogAnswer::Present(newest), false, false, true), AfterCatalog::Adopt(newest));
    assert_eq!(after_catalog(&CatalogAnswer::Absent, true, false, true), AfterCatalog::TakeFull { cleared: true });
    assert_eq!(after_catalog(&missing, false, false, true), AfterCatalog::CreateStanza);
    assert_eq!(after_catalog(&missing, false, false, false), AfterCatalog::StanzaGone);
    for (catalog, has_full, lock) in [(&missing, true, false), (&missing, false, true), (&unreadable, false, false)] {
        assert_eq!(after_catalog(catalog, has_full, lock, true), AfterCatalog::BackOff);
    }
}

proptest! {
    #[test]
    fn never_more_than_one_backup_and_none_while_one_runs(
        gap: bool, pushable: bool, healable: bool, backup_runs: bool, unproven: bool, unreadable: bool, others: bool, count in 0..5_u32, full in -5_000_000..10_i64, diff in -5_000_000..10_i64,
    ) {
        let memory = Memory { last_full_at: Some(NOW + full), last_diff_at: Some(NOW + diff), unreadable, unproven_count: count, ..well() };
        let actions = actions(Observation { gap, pushable, healable, backup_runs, others, unproven, ..seen() }, memory);
        let backups = actions.iter().filter(|action| matches!(action, Action::Backup(..))).count();
        prop_assert!(backups <= usize::from(!backup_runs && !unreadable && !others));
    }
}
