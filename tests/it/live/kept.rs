//! Live: WAL that waits is kept below the threshold, and given up on the record above it; only what waits counts.

use super::scene::{KEY, Live, Mode};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::Policy;
use std::fs;

/// In MiB, which is segments too.
const THRESHOLD: usize = 6;

fn set_threshold(live: &Live) {
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", &THRESHOLD.to_string())]);
}

/// Refused, kept; over a threshold given up, oldest first; allowed again, archived.
fn read_only(mode: Mode) {
    let live = Live::of(mode).start();
    let before = live.write_acknowledged(1);
    live.s3.set_policy(KEY, Policy::ReadOnly);
    let kept = live.write(3);
    live.wait_for_failures(3);
    live.assert_kept(&kept);
    assert_eq!(live.last_class(), Some(Class::Denied));

    set_threshold(&live);
    for _ in 0..2 {
        live.write(15);
        live.wait("pg_wal stops growing", || live.postgres.ready().len() < THRESHOLD);
    }
    let gaps = live.gaps();
    let [gap] = gaps.as_slice() else { panic!("not one gap: {gaps:#?}") };
    assert_eq!((gap.class, gap.cause), (Class::Denied, Cause::DropThreshold));
    assert_eq!(Some(&gap.first.to_string()), kept.first());
    assert_eq!(live.state().push.dropped_count, 33 - (THRESHOLD as u64 - 1));
    assert!(live.is_marked());
    live.every_acknowledged_segment_is_accounted_for();

    let waiting = live.postgres.ready();
    live.s3.set_policy(KEY, Policy::ReadWrite);
    live.drain();
    let after = live.write_acknowledged(1);
    live.assert_archived(&[before, waiting, after].concat());
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn a_read_only_policy_sync() {
    read_only(Mode::Sync);
}

#[test]
fn a_read_only_policy_async() {
    read_only(Mode::Async);
}

fn pg_wal_mib(live: &Live) -> usize {
    let files = fs::read_dir(live.postgres.pg_wal()).unwrap().flatten();
    files.filter(|file| file.metadata().is_ok_and(|file| file.len() == 1 << 20)).count()
}

/// Two segments wait, and `pg_wal` holds far more than the threshold: dropping them would free nothing.
fn much_wal_little_backlog(fill: fn(&Live)) {
    let live = Live::of(Mode::Sync).setting("min_wal_size", "24MB").setting("max_wal_size", "48MB").start();
    fill(&live);
    assert!(pg_wal_mib(&live) > 2 * THRESHOLD, "{} segments in pg_wal", pg_wal_mib(&live));
    set_threshold(&live);
    live.s3.set_policy(KEY, Policy::Nothing);
    let names = live.write(2);
    live.wait_for_failures(3);
    live.assert_kept(&names);
    live.s3.set_policy(KEY, Policy::ReadWrite);
    live.drain();
    live.assert_archived(&names);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn what_a_slot_keeps_is_no_backlog() {
    much_wal_little_backlog(|live| {
        live.postgres.sql("SELECT pg_create_physical_replication_slot('slow', true)");
        live.write_acknowledged(20);
        live.postgres.sql("CHECKPOINT");
    });
}

#[test]
fn recycled_segments_are_no_backlog() {
    much_wal_little_backlog(|live| {
        live.write_acknowledged(20);
        live.postgres.sql("CHECKPOINT");
        let current = live.postgres.current_segment();
        let entries = fs::read_dir(live.postgres.pg_wal()).unwrap().flatten();
        let recycled = entries.filter(|entry| entry.file_name().into_string().unwrap() > current);
        assert!(recycled.count() > 2 * THRESHOLD, "a checkpoint recycles");
    });
}

/// `initdb --waldir`: pgBackRest follows the link, and so must what measures.
fn symbolic_link(mode: Mode) {
    let live = Live::of(mode).wal_elsewhere().start();
    let before = live.write_acknowledged(2);
    live.assert_archived(&before);
    set_threshold(&live);
    live.s3.set_policy(KEY, Policy::ReadOnly);
    live.write(10);
    live.wait("pg_wal stops growing", || live.postgres.ready().len() < THRESHOLD);
    assert_eq!(live.gaps().len(), 1);
    live.s3.set_policy(KEY, Policy::ReadWrite);
    live.drain();
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn pg_wal_as_a_symbolic_link_sync() {
    symbolic_link(Mode::Sync);
}

#[test]
fn pg_wal_as_a_symbolic_link_async() {
    symbolic_link(Mode::Async);
}
