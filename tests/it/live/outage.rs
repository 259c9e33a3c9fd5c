//! Live: the store can't be reached, or can't serve. Nothing is lost, and archiving goes on by itself afterwards.

use super::scene::{Live, Mode};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::{Fault, FaultKind, Operations};

/// Breaks, fails, mends, catches up.
fn outage(mode: Mode, fault: Fault) {
    let live = Live::of(mode).env("WAL_PUSH_TIMEOUT_SECONDS", "3").start();
    let before = live.write_acknowledged(1);
    live.s3.inject(fault);
    let during = live.write(3);
    live.wait_for_failures(2);
    live.assert_kept(during.get(1..).unwrap());
    assert_eq!(live.last_class(), Some(Class::Unavailable), "{}", live.postgres.log());
    live.s3.clear_faults();
    let after = live.write_acknowledged(1);
    live.assert_archived(&[before, during, after].concat());
    assert_eq!(live.state().push.consecutive_failures, 0);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn the_server_refuses_sync() {
    outage(Mode::Sync, Fault::new(FaultKind::Refuse));
}

#[test]
fn the_server_refuses_async() {
    outage(Mode::Async, Fault::new(FaultKind::Refuse));
}

#[test]
fn the_server_hangs_sync() {
    outage(Mode::Sync, Fault::new(FaultKind::Hang));
}

#[test]
fn the_server_hangs_async() {
    outage(Mode::Async, Fault::new(FaultKind::Hang));
}

#[test]
fn the_server_answers_500_sync() {
    outage(Mode::Sync, Fault::status(500, "InternalError"));
}

#[test]
fn the_server_answers_500_async() {
    outage(Mode::Async, Fault::status(500, "InternalError"));
}

#[test]
fn the_server_answers_503_to_uploads_sync() {
    outage(Mode::Sync, Fault::status(503, "SlowDown").on(Operations::Put));
}

#[test]
fn the_server_answers_503_to_uploads_async() {
    outage(Mode::Async, Fault::status(503, "SlowDown").on(Operations::Put));
}

#[test]
fn the_server_resets_uploads_sync() {
    outage(Mode::Sync, Fault::new(FaultKind::ResetMidBody).on(Operations::Put));
}

#[test]
fn the_server_resets_uploads_async() {
    outage(Mode::Async, Fault::new(FaultKind::ResetMidBody).on(Operations::Put));
}

/// Each upload takes five seconds: it is slow, and is left alone, whatever waits.
fn trickle(mode: Mode) {
    let live = Live::of(mode).option("io-timeout", "60").env("WAL_DROP_THRESHOLD_MB", "0").start();
    live.s3.inject(Fault::new(FaultKind::Trickle { bytes_per_second: 200_000 }).on(Operations::Put));
    let written = live.write_acknowledged(3);
    live.assert_archived(&written);
    assert_eq!((live.gaps(), live.state().push.failed_count), (Vec::new(), 0), "{}", live.postgres.log());
}

#[test]
fn the_server_trickles_sync() {
    trickle(Mode::Sync);
}

#[test]
fn the_server_trickles_async() {
    trickle(Mode::Async);
}
