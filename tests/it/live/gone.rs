//! Live: the key or the bucket is gone. WAL is given up at once, on the record, and PostgreSQL notices nothing.

use super::scene::{BUCKET, KEY, Live, Mode, names_in};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::S3Server;

/// Archives, loses the repository, goes on, and gets it back.
fn gone(mode: Mode, code: &str, take_away: fn(&S3Server), give_back: fn(&S3Server)) {
    let live = Live::of(mode).start();
    let before = live.write_acknowledged(2);
    take_away(&live.s3);
    let lost = live.write_acknowledged(5);
    live.postgres.sql("CREATE TABLE t AS SELECT 1 AS n");
    assert_eq!(live.postgres.failed_count(), 0);
    live.assert_one_gap(&lost, Class::Gone, Cause::InstantDrop);
    let state = live.state();
    assert_eq!(state.push.dropped_count, 5);
    assert_eq!(state.push.last_failure.unwrap().s3_code.as_deref(), Some(code));
    give_back(&live.s3);
    let after = live.write_acknowledged(2);
    live.assert_archived(&before);
    live.assert_archived(&after);
    assert_eq!(live.state().push.consecutive_failures, 0);
    live.assert_one_gap(&lost, Class::Gone, Cause::InstantDrop);
    live.every_acknowledged_segment_is_accounted_for();
}

fn key_revoked(mode: Mode) {
    gone(mode, "InvalidAccessKeyId", |s3| s3.revoke_key(KEY), |s3| s3.restore_key(KEY));
}

fn bucket_deleted(mode: Mode) {
    gone(mode, "NoSuchBucket", |s3| s3.delete_bucket(BUCKET), |s3| s3.restore_bucket(BUCKET));
}

#[test]
fn a_revoked_key_sync() {
    key_revoked(Mode::Sync);
}

#[test]
fn a_revoked_key_async() {
    key_revoked(Mode::Async);
}

#[test]
fn a_deleted_bucket_sync() {
    bucket_deleted(Mode::Sync);
}

#[test]
fn a_deleted_bucket_async() {
    bucket_deleted(Mode::Async);
}

/// A stanza that nobody has created looks the same to pgBackRest; it is no reason to lose WAL.
fn missing_stanza(mode: Mode) {
    let live = Live::of(mode).without_stanza().start();
    let names = live.write(3);
    live.wait_for_failures(2);
    live.assert_kept(&names);
    assert_eq!(live.last_class(), Some(Class::StanzaMissing));
    live.backrest.stanza_create();
    let after = live.write_acknowledged(1);
    live.assert_archived(&[names, after].concat());
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn a_missing_stanza_is_waited_for_sync() {
    missing_stanza(Mode::Sync);
}

#[test]
fn a_missing_stanza_is_waited_for_async() {
    missing_stanza(Mode::Async);
}

fn overflow(mode: Mode) {
    let setup = Live::of(mode);
    let overflow = setup.lab_path().join("overflow");
    let live = setup.env("WAL_OVERFLOW_DIR", overflow.to_str().unwrap()).start();
    live.lab.folder("overflow");
    live.s3.revoke_key(KEY);
    let names = live.write_acknowledged(4);
    assert_eq!(live.postgres.failed_count(), 0);
    assert_eq!(live.gaps(), []);
    assert!(!live.is_marked());
    assert_eq!(live.state().push.overflowed_count, 4);
    assert_eq!(Vec::from_iter(names_in(&overflow)), names);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn the_overflow_folder_saves_what_is_given_up_sync() {
    overflow(Mode::Sync);
}

#[test]
fn the_overflow_folder_saves_what_is_given_up_async() {
    overflow(Mode::Async);
}
