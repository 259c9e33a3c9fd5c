//! Live: the server, or the program itself, ends in the middle of a push. Nothing is given up because of it, and
//! nothing is unaccounted for afterwards.

use super::scene::{KEY, Live, Mode, PROGRAM};
use pgbackrest_guard_lab::{Fault, FaultKind, Lab, Operations, Signal, StopMode};
use std::time::Duration;

/// A server whose pushes hang, and would do so for a minute if nobody ended them.
fn hanging(mode: Mode) -> (Live, Vec<String>) {
    let live = Live::of(mode).option("io-timeout", "60").option("archive-timeout", "70").start();
    live.write_acknowledged(1);
    live.s3.inject(Fault::new(FaultKind::Hang));
    live.s3.forget_requests();
    let names = live.write(3);
    live.wait("a request hangs", || !live.s3.requests().is_empty());
    (live, names)
}

/// The server is up again and the store is well: everything arrives.
fn goes_on(live: &Live, names: &[String]) {
    live.s3.clear_faults();
    live.write_acknowledged(1);
    live.assert_archived(names);
    assert_eq!(live.gaps(), []);
    live.every_acknowledged_segment_is_accounted_for();
}

fn fast_shutdown(mode: Mode) {
    let (live, names) = hanging(mode);
    // A threshold that the backlog exceeds: a shutdown is no reason to give anything up all the same.
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", "1")]);
    let took = live.postgres.stop(StopMode::Fast);
    eprintln!("the stop took {took:?}");
    // Container engines send SIGKILL ten seconds after SIGTERM.
    assert!(took < Duration::from_secs(9), "took {took:?}\n{}", live.postgres.log());
    live.assert_kept(&names);
    live.s3.clear_faults();
    live.postgres.start().unwrap();
    goes_on(&live, &names);
}

#[test]
fn a_fast_shutdown_is_not_held_up_by_a_hanging_push_sync() {
    fast_shutdown(Mode::Sync);
}

#[test]
fn a_fast_shutdown_is_not_held_up_by_a_hanging_push_async() {
    fast_shutdown(Mode::Async);
}

/// Uploads crawl, and pgBackRest's own time limit is short: each push fails before it has stood still for long.
#[test]
fn live_a_fast_shutdown_is_not_held_up_by_a_backlog_that_is_dropped_one_by_one() {
    let live = Live::of(Mode::Async).option("io-timeout", "1").start();
    live.write_acknowledged(1);
    let crawl = FaultKind::Trickle { bytes_per_second: 100_000 };
    live.s3.inject(Fault::new(crawl).on(Operations::Put));
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", "1"), ("WAL_DROP_AFTER_SECONDS", "0")]);
    let names = live.write(14);
    let took = live.postgres.stop(StopMode::Fast);
    let kept = live.postgres.ready();
    eprintln!("the stop took {took:?}, {} are left", kept.len());
    assert!(kept.len() > names.len() / 2, "only {kept:?} are left\n{}", live.postgres.log());
    live.s3.clear_faults();
    live.postgres.start().unwrap();
    live.write_acknowledged(1);
    live.every_acknowledged_segment_is_accounted_for();
}

fn immediate_shutdown(mode: Mode) {
    let (live, names) = hanging(mode);
    live.postgres.stop(StopMode::Immediate);
    live.assert_kept(&names);
    live.s3.clear_faults();
    live.postgres.start().unwrap();
    goes_on(&live, &names);
}

#[test]
fn an_immediate_shutdown_during_a_hanging_push_sync() {
    immediate_shutdown(Mode::Sync);
}

#[test]
fn an_immediate_shutdown_during_a_hanging_push_async() {
    immediate_shutdown(Mode::Async);
}

/// PostgreSQL takes that for a signal to its archiver, and starts a new one within ten seconds.
fn killed_while_it_hangs(mode: Mode) {
    let (live, names) = hanging(mode);
    kill_a_push(&live);
    goes_on(&live, &names);
}

/// Kills the push that runs, and waits for the next archiver: one starts ten seconds after the last one did, and only
/// when something wakes the postmaster, such as the connection that looks for it (postmaster.c, `ServerLoop`).
fn kill_a_push(live: &Live) {
    let before = live.postgres.archiver();
    // One that is about to end may be gone before the signal strikes.
    live.wait("a push is killed", || {
        live.pids(PROGRAM).iter().for_each(|pid| Lab::signal(*pid, Signal::KILL));
        live.postgres.archiver() != before
    });
    live.wait("a new archiver", || {
        // A connection wakes the postmaster.
        live.postgres.sql("SELECT 1");
        ![None, before].contains(&live.postgres.archiver())
    });
}

#[test]
fn a_killed_push_is_repeated_sync() {
    killed_while_it_hangs(Mode::Sync);
}

#[test]
fn a_killed_push_is_repeated_async() {
    killed_while_it_hangs(Mode::Async);
}

/// The kill may strike before the record, between record and exit, or between exit and PostgreSQL's note of it.
#[test]
fn a_push_that_is_killed_while_it_gives_up_leaves_nothing_unaccounted_for() {
    let live = Live::of(Mode::Sync).start();
    live.s3.revoke_key(KEY);
    live.write(30);
    live.wait("one is given up", || live.postgres.ready().len() < 30);
    kill_a_push(&live);
    live.every_acknowledged_segment_is_accounted_for();
    live.wait_for_no_backlog();
    live.every_acknowledged_segment_is_accounted_for();
    assert_eq!(live.state().push.dropped_count, 30);
}

/// The same by a crash of the whole server, which leaves `pg_wal` as it is and asks for some files again.
#[test]
fn a_server_that_is_killed_while_wal_is_given_up_leaves_nothing_unaccounted_for() {
    let live = Live::of(Mode::Sync).start();
    live.s3.revoke_key(KEY);
    live.write(30);
    live.wait("some are given up", || live.postgres.ready().len() < 25);
    live.postgres.kill();
    live.every_acknowledged_segment_is_accounted_for();
    live.wait("the archiver has ended", || live.pids(PROGRAM).is_empty() && live.pids("postgres: ").is_empty());
    // A process that is being killed has no name any more, but still holds the shared memory.
    live.wait("the server starts again", || live.postgres.start().is_ok());
    live.wait_for_no_backlog();
    live.every_acknowledged_segment_is_accounted_for();
}
