//! Live: two repositories, of which one fails. `gone` needs every failing one to be gone.

use super::one_dead::assert_owed;
use super::scene::{Live, Mode, PROGRAM, SECOND_BUCKET, SECOND_KEY};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::{Fault, Operations};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The healthy one gets what it can get; the other one lacks it, and that is what the ledger says.
fn one_gone(mode: Mode) {
    let live = Live::of(mode).second_repository().start();
    let before = live.write_acknowledged(2);
    live.s3.revoke_key(SECOND_KEY);
    let during = live.write_acknowledged(3);
    assert_eq!(live.postgres.failed_count(), 0);
    assert_owed(&live, &during, Class::Gone, Cause::InstantDrop);
    let second: BTreeSet<String> = live.backrest.archived(2);
    assert!(during.iter().all(|name| !second.contains(name)), "{second:?}");
    live.s3.restore_key(SECOND_KEY);
    let after = live.write_acknowledged(2);
    live.assert_archived(&[before, after].concat());
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn one_is_gone_and_the_other_healthy_sync() {
    one_gone(Mode::Sync);
}

#[test]
fn one_is_gone_and_the_other_healthy_async() {
    one_gone(Mode::Async);
}

/// The one that can't be reached may come back, so what it lacks is kept for it.
fn one_gone_one_unreachable(mode: Mode) {
    let live = Live::of(mode).second_repository().env("WAL_PUSH_TIMEOUT_SECONDS", "10").start();
    live.write_acknowledged(1);
    live.s3.revoke_key(super::scene::KEY);
    let second = Operations::Matching(Arc::new(|request| request.bucket == SECOND_BUCKET));
    live.s3.inject(Fault::status(503, "SlowDown").on(second));
    let during = live.write(2);
    live.wait_for_failures(2);
    live.assert_kept(&during);
    assert_eq!(live.last_class(), Some(Class::Unavailable));
    // Both are well again before the next push: one that meets them in between owes repository 1 what only that lacks.
    live.postgres.reload_with("archive_command", "false");
    live.wait("no push is under way", || live.pids(PROGRAM).is_empty());
    live.s3.clear_faults();
    live.s3.restore_key(super::scene::KEY);
    live.write(1);
    live.drain();
    live.assert_archived(&during);
    assert_eq!(live.gaps(), []);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn one_is_gone_and_the_other_unreachable_sync() {
    one_gone_one_unreachable(Mode::Sync);
}

#[test]
fn one_is_gone_and_the_other_unreachable_async() {
    one_gone_one_unreachable(Mode::Async);
}
