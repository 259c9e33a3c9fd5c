//! Live: one of two repositories is dead, and the healthy one gets each segment at once.
//!
//! pgBackRest knows no push to one repository alone: in sync mode it stores a segment in the healthy one, fails, and PostgreSQL
//! asks for the same segment again, so that the second one waits for the dead repository; and where that one does not even
//! refuse, pgBackRest never comes to store anything (`archivePushCheck`, src/command/archive/push/push.c, reads every
//! repository's `archive.info` first).

use super::scene::{Live, Mode, SECOND_BUCKET, Setup};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::{Fault, FaultKind, Operations};
use std::sync::Arc;
use std::time::Duration;

/// How long a push may take here. A dead store is waited for half as long.
const LIMIT: (&str, &str) = ("WAL_PUSH_TIMEOUT_SECONDS", "10");

fn refuses() -> FaultKind {
    FaultKind::Status { http: 403, code: "AccessDenied".to_owned() }
}

/// Two repositories that are patient with each other, and little patience of our own.
fn two(mode: Mode) -> Setup {
    Live::of(mode).second_repository().option("io-timeout", "60").env(LIMIT.0, LIMIT.1)
}

/// The second one fails in this way from now on.
fn dies(live: &Live, how: FaultKind) {
    let second = Operations::Matching(Arc::new(|request| request.bucket == SECOND_BUCKET));
    live.s3.inject(Fault::new(how).on(second));
}

/// One gap is open, and it says that the second one lacks these segments, and no other repository.
#[track_caller]
pub(super) fn assert_owed(live: &Live, names: &[String], class: Class, cause: Cause) {
    let gaps = live.gaps();
    let [gap] = gaps.as_slice() else { panic!("not one gap: {gaps:#?}\n{}", live.postgres.log()) };
    assert_eq!([gap.first.to_string(), gap.last.to_string()], [names[0].clone(), names[names.len() - 1].clone()]);
    assert_eq!((gap.class, gap.cause, gap.repositories.as_deref()), (class, cause, Some(&[2][..])), "{gap:#?}");
    assert!(!live.is_marked(), "a debt is no loss");
    live.assert_archived(names);
}

/// All are required: PostgreSQL keeps what the dead one lacks, up to the threshold, and the healthy one has it by then.
fn all_are_required(mode: Mode, how: FaultKind, class: Class) {
    let live = two(mode).start();
    let before = live.write_acknowledged(1);
    dies(&live, how);
    let during = live.write(4);
    live.wait("the healthy one has them all", || during.iter().all(|name| live.archived().contains(name)));
    live.assert_kept(&during);
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", "0")]);
    live.wait_for_no_backlog();
    assert_owed(&live, &during, class, Cause::DropThreshold);
    assert_eq!(live.state().push.dropped_count, 0, "nothing is lost");
    live.s3.clear_faults();
    live.reconfigure(&[]);
    if class == Class::Unavailable {
        // What hung is asked again half a minute later, and PostgreSQL then a minute later.
        return live.every_acknowledged_segment_is_accounted_for();
    }
    let after = live.write(2);
    // Within 5 s of its answer the dead one is not asked again, and after three pushes that failed so PostgreSQL would pause for a
    // minute; a reload wakes the archiver.
    live.wait("it is asked again", || {
        std::thread::sleep(Duration::from_secs(1));
        live.reconfigure(&[]);
        live.postgres.wake_archiver();
        live.postgres.ready().is_empty()
    });
    live.assert_archived(&[before, after.clone()].concat());
    let second = live.backrest.archived(2);
    assert!(after.iter().all(|name| second.contains(name)), "it is asked again: {second:?}");
    assert_eq!(live.state().push.out, None);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn a_hanging_repository_keeps_nothing_from_the_healthy_one_sync() {
    all_are_required(Mode::Sync, FaultKind::Hang, Class::Unavailable);
}

#[test]
fn a_hanging_repository_keeps_nothing_from_the_healthy_one_async() {
    all_are_required(Mode::Async, FaultKind::Hang, Class::Unavailable);
}

#[test]
fn a_refusing_repository_keeps_nothing_from_the_healthy_one_sync() {
    all_are_required(Mode::Sync, refuses(), Class::Denied);
}

/// What is required has the segments, so PostgreSQL goes on, and the dead one is owed them.
fn one_is_required(mode: Mode, required: &str, how: FaultKind, class: Class) {
    let live = two(mode).env("WAL_REQUIRED_REPOS", required).start();
    live.write_acknowledged(1);
    dies(&live, how);
    let during = live.write_acknowledged(4);
    assert_owed(&live, &during, class, Cause::NotRequired);
    assert_eq!(live.postgres.failed_count(), 0, "{}", live.postgres.log());
    let state = live.state();
    assert_eq!((state.push.consecutive_failures, state.push.dropped_count), (0, 0));
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn what_any_repository_has_is_acknowledged_sync() {
    one_is_required(Mode::Sync, "any", FaultKind::Hang, Class::Unavailable);
}

#[test]
fn what_the_listed_repository_has_is_acknowledged_async() {
    one_is_required(Mode::Async, "1", refuses(), Class::Denied);
}

#[test]
fn what_the_listed_repository_lacks_is_kept_though_another_has_it() {
    let live = two(Mode::Sync).env("WAL_REQUIRED_REPOS", "2").start();
    live.write_acknowledged(1);
    dies(&live, refuses());
    let during = live.write(2);
    live.wait("the healthy one has them all", || during.iter().all(|name| live.archived().contains(name)));
    live.wait_for_failures(1);
    live.assert_kept(&during);
}
