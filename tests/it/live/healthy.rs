//! Live: nothing is wrong.

use super::scene::{BUCKET, Live, Mode, SOON};
use pgbackrest_guard_lab::eventually;
use std::fs;

fn healthy(mode: Mode) {
    let live = Live::of(mode).start();
    let names = live.write_acknowledged(5);
    live.assert_archived(&names);
    assert_eq!(live.postgres.failed_count(), 0);
    assert_eq!(live.gaps(), []);
    assert_eq!(live.state().push, pgbackrest_guard::ledger::state::PushCounters::default());
    assert!(!live.is_marked());
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn all_is_archived_sync() {
    healthy(Mode::Sync);
}

#[test]
fn all_is_archived_async() {
    healthy(Mode::Async);
}

#[test]
fn what_the_spool_shows_as_stored_costs_no_call_of_pgbackrest() {
    let live = Live::of(Mode::Async).start();
    let calls = live.lab.path().join("calls");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\nexec pgbackrest \"$@\"\n", calls.display());
    let wrapper = live.lab.copy_program(live.lab.write_file("counting-pgbackrest", script));
    live.postgres.reload_with("archive_command", "");
    let names = live.write(20);
    // pgBackRest's async process takes up all that waits, whatever it was called for.
    let first = live.postgres.pg_wal().join(names.first().unwrap());
    live.backrest.ok(&["archive-push", first.to_str().unwrap()]);
    let spool = live.backrest.spool_path().join("archive").join(live.backrest.stanza()).join("out");
    let stored = |name: &String| spool.join(format!("{name}.ok")).exists();
    eventually("the spool shows all as stored", SOON, || names.iter().all(stored));
    live.reconfigure(&[("WAL_GUARD_PGBACKREST", wrapper.to_str().unwrap())]);
    live.wait_for_no_backlog();
    live.assert_archived(&names);
    let calls = fs::read_to_string(calls).unwrap_or_default();
    let of_these = calls.lines().filter(|line| names.iter().any(|name| line.contains(name.as_str())));
    assert_eq!(of_these.collect::<Vec<_>>(), Vec::<&str>::new());
    live.every_acknowledged_segment_is_accounted_for();
}

/// Both look into `archive_command` (exit 68 unless it holds "pgbackrest"), and wait for the segments that they need.
fn check_and_backup(mode: Mode) {
    let live = Live::of(mode).start();
    live.backrest.check();
    live.backrest.backup("full");
    live.wait_for_no_backlog();
    let archived = live.archived();
    assert!(archived.iter().any(|name| name.ends_with(".backup")), "{archived:?}");
    live.write_acknowledged(1);
    assert_eq!(live.postgres.failed_count(), 0);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn check_and_backup_accept_the_archive_command_sync() {
    check_and_backup(Mode::Sync);
}

#[test]
fn check_and_backup_accept_the_archive_command_async() {
    check_and_backup(Mode::Async);
}

/// The question that every live test ends with has teeth.
#[test]
#[should_panic(expected = "acknowledged and nowhere")]
fn what_vanishes_from_the_repository_is_missed() {
    let live = Live::of(Mode::Sync).start();
    let names = live.write_acknowledged(3);
    let objects = live.s3.objects(BUCKET);
    let vanished = objects.iter().find(|key| key.contains(names.first().unwrap().as_str())).unwrap();
    live.s3.remove_object(BUCKET, vanished);
    live.every_acknowledged_segment_is_accounted_for();
}
