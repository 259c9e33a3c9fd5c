//! Live: `archive-push-queue-max`. pgBackRest throws WAL away, says so in a warning, and exits 0.

use super::scene::{KEY, Live, Mode};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::Policy;

fn queue_max(mode: Mode) {
    let live = Live::of(mode).option("archive-push-queue-max", "4MB").start();
    let before = live.write_acknowledged(1);
    live.s3.set_policy(KEY, Policy::Nothing);
    let written = live.write(12);
    live.wait("pgBackRest drops", || live.postgres.ready().len() <= 4);
    assert!(live.is_marked());
    let gaps = live.gaps();
    let [gap] = gaps.as_slice() else { panic!("not one gap: {gaps:#?}") };
    assert_eq!((gap.class, gap.cause), (Class::Unavailable, Cause::ArchivePushQueueMax));
    assert_eq!(Some(&gap.first.to_string()), written.first());
    live.every_acknowledged_segment_is_accounted_for();
    live.s3.set_policy(KEY, Policy::ReadWrite);
    live.drain();
    let after = live.write_acknowledged(2);
    live.assert_archived(&[before, after].concat());
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn what_pgbackrest_drops_is_recorded_sync() {
    queue_max(Mode::Sync);
}

#[test]
fn what_pgbackrest_drops_is_recorded_async() {
    queue_max(Mode::Async);
}
