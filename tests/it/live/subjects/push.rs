//! `archive_command`, bare and guarded.

use super::super::scene::{KEY, Live, Mode, SECOND_BUCKET};
use super::{Known, bare, said};
use pgbackrest_guard::ledger::gaps::Cause;
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard_lab::{Fault, FaultKind, Operation, Operations, Policy, StopMode, within};
use std::fs::{self, File};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(super) const WAITS_FOR_EVER: Known = Known {
    what: "Key revoked: every push fails, and all WAL waits in pg_wal until the disk is full",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const DROPS_WITHOUT_RECORD: Known = Known {
    what: "`archive-push-queue-max` reached: WAL is dropped with exit 0, and only a warning in a log remains",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const HOLDS_UP_WHAT_FOLLOWS: Known = Known {
    what: "A segment is in the archive with other content: its push fails for ever, and all WAL behind it waits",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const ONE_OF_TWO_SYNC: Known = Known {
    what: "One of two repositories refuses: the healthy one gets the first waiting segment, and none behind it",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const ONE_OF_TWO_ASYNC: Known =
    Known { what: "The same with `archive-async`: the async process stops at the first error", seen_on: &["2.60"] };
pub(super) const REPEATS_AN_OLD_ERROR: Known = Known {
    what: "An async process still works on another file: a push gets the old error again, although the store would take the file",
    seen_on: &["2.45", "2.55", "2.60"],
};
pub(super) const MEASURES_BY_THE_FIRST: Known = Known {
    what: "A `.history` file is first in the queue, as after a promotion: pgBackRest takes the queue for tiny, and its limit drops nothing",
    seen_on: &["2.55", "2.60"],
};
pub(super) const REFUSES_A_COPY: Known = Known {
    what: "With a queue limit, a copy of a segment outside of pg_wal can't be pushed (25 or 73)",
    seen_on: &["2.45", "2.55", "2.60"],
};

/// Segments that wait, of these.
fn waiting(live: &Live, names: &[String]) -> usize {
    let ready = live.postgres.ready();
    names.iter().filter(|name| ready.contains(name)).count()
}

/// Segments in repository 1, of these.
fn stored(live: &Live, names: &[String]) -> usize {
    let archived = live.archived();
    names.iter().filter(|name| archived.contains(*name)).count()
}

#[test]
fn a_revoked_key_and_a_full_queue() {
    const LIMIT: (&str, &str) = ("PGBACKREST_ARCHIVE_PUSH_QUEUE_MAX", "1MB");
    let live = Live::of(Mode::Sync).start();
    live.write_acknowledged(1);
    live.s3.revoke_key(KEY);
    bare(&live, "");
    let names = live.write(3);
    live.wait_for_failures(3);
    WAITS_FOR_EVER.is(waiting(&live, &names) == 3, &live.postgres.log());
    live.reconfigure(&[]);
    live.wait_for_no_backlog();
    live.assert_one_gap(&names, Class::Gone, Cause::InstantDrop);

    bare(&live, &format!("{}={}", LIMIT.0, LIMIT.1));
    let names = live.write(4);
    let dropped = within(Duration::from_secs(10), || waiting(&live, &names) <= 1);
    let recorded = live.state().push.dropped_count > 3;
    DROPS_WITHOUT_RECORD.is(dropped && stored(&live, &names) == 0 && !recorded, &live.postgres.log());
    // Refused instead of gone, so that the limit is pgBackRest's own.
    live.s3.restore_key(KEY);
    live.s3.set_policy(KEY, Policy::Nothing);
    live.reconfigure(&[LIMIT]);
    let names = live.write(4);
    live.wait("pgBackRest drops", || waiting(&live, &names) <= 1);
    let on_record = live.gaps().into_iter().any(|gap| gap.cause == Cause::ArchivePushQueueMax);
    assert!(on_record && live.state().push.dropped_count > 5, "{:#?}", live.gaps());
}

#[test]
fn a_segment_that_is_there_with_other_content() {
    let live = Live::of(Mode::Sync).start();
    live.write_acknowledged(1);
    live.postgres.reload_with("archive_command", "");
    let names = live.write(3);
    let first = live.postgres.pg_wal().join(&names[0]);
    let own = fs::read(&first).unwrap();
    let mut other = own.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&first, other).unwrap();
    live.backrest.ok(&["archive-push", first.to_str().unwrap()]);
    fs::write(&first, own).unwrap();

    let before = live.postgres.failed_count();
    bare(&live, "");
    live.wait_for_failures(before + 3);
    HOLDS_UP_WHAT_FOLLOWS.is(stored(&live, &names[1..]) == 0, &live.postgres.log());
    live.reconfigure(&[("WAL_DROP_THRESHOLD_MB", "0")]);
    live.wait_for_no_backlog();
    live.assert_one_gap(&names[..1], Class::Mismatch, Cause::DropThreshold);
    live.assert_archived(&names[1..]);
}

#[test]
fn one_of_two_repositories_refuses() {
    let live = Live::of(Mode::Sync).second_repository().start();
    live.write_acknowledged(1);
    let second = Operations::Matching(Arc::new(|request| request.bucket == SECOND_BUCKET));
    live.s3.inject(Fault::status(403, "AccessDenied").on(second));
    bare(&live, "");
    let names = live.write(4);
    live.wait_for_failures(3);
    ONE_OF_TWO_SYNC.is(stored(&live, &names) == 1, &live.postgres.log());
    let before = live.postgres.failed_count();
    bare(&live, "PGBACKREST_ARCHIVE_ASYNC=y");
    live.wait_for_failures(before + 3);
    // Where it goes on, it is through within a second.
    let all = within(Duration::from_secs(3), || stored(&live, &names) == 4);
    ONE_OF_TWO_ASYNC.is(!all, &live.postgres.log());
    let more = live.write(2);
    live.reconfigure(&[]);
    live.wait("the healthy one has them all", || stored(&live, &more) == 2 && stored(&live, &names) == 4);
    live.assert_kept(&names);
}

#[test]
fn an_async_process_that_still_works_on_another_file() {
    let setup = Live::of(Mode::Async).option("process-max", "2").option("io-timeout", "60");
    let live = setup.option("archive-timeout", "4").start();
    live.write_acknowledged(1);
    live.postgres.reload_with("archive_command", "");
    let names = live.write(2);
    let gone = Fault::status(403, "InvalidAccessKeyId").on(Operations::of(Operation::Put, &names[0]));
    let fault = live.s3.inject(gone);
    live.s3.inject(Fault::new(FaultKind::Hang).on(Operations::of(Operation::Put, &names[1])));
    let path = format!("pg_wal/{}", names[0]);
    let first = live.backrest.run(&["archive-push", &path]);
    assert_ne!(first.code(), Some(0), "{}", said(&first));
    let error = live.backrest.spool_path().join(format!("archive/main/out/{}.error", names[0]));
    live.wait("the error is in the spool", || error.exists());

    // The store takes it from now on.
    live.s3.remove(fault);
    live.s3.forget_requests();
    let again = live.backrest.run(&["archive-push", &path]);
    let tried = live.s3.requests().iter().any(|request| request.key.contains(&names[0]));
    let repeats = again.code() != Some(0) && said(&again).contains("InvalidAccessKeyId") && !tried;
    REPEATS_AN_OLD_ERROR.is(repeats, &said(&again));
    // Of gone, if it were new, the guard would give the segment up.
    File::options().write(true).open(&error).unwrap().set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
    let pushed = live.push(&path, &[]);
    assert_ne!(pushed.code(), Some(0), "{}", said(&pushed));
    assert_eq!(live.gaps(), [], "{}", said(&pushed));
    live.s3.clear_faults();
    live.drain();
    live.assert_archived(&names);
}

#[test]
fn a_limit_that_is_measured_by_the_first_file_and_a_copy() {
    let live = Live::of(Mode::Sync).start();
    let names = live.write_acknowledged(2);
    let pg_wal = live.postgres.pg_wal();
    let content = fs::read(pg_wal.join(&names[0])).unwrap();
    live.postgres.stop(StopMode::Fast);
    // As after a promotion: the history of timeline 2, and three segments of it. Who drops them does not look into them.
    let history = "00000002.history".to_owned();
    let segments = (3..6).map(|number| format!("0000000200000000{number:08X}"));
    let files: Vec<String> = std::iter::once(history.clone()).chain(segments).collect();
    for name in &files {
        let bytes = if *name == history { &b"1\t0/3000000\tno recovery target specified\n"[..] } else { &content };
        live.lab.write_file(pg_wal.join(name), bytes);
        live.lab.write_file(pg_wal.join("archive_status").join(format!("{name}.ready")), "");
    }
    live.s3.set_policy(KEY, Policy::Nothing);
    let path = format!("pg_wal/{}", files[1]);
    let push = live.backrest.run(&["--archive-push-queue-max=2MB", "archive-push", &path]);
    MEASURES_BY_THE_FIRST.is(push.code() != Some(0), &said(&push));
    let push = live.push(&path, &[("WAL_DROP_THRESHOLD_MB", "2")]);
    assert_eq!(push.code(), Some(0), "{}", said(&push));
    live.assert_one_gap(&files[1..2], Class::Denied, Cause::DropThreshold);

    let copy = live.lab.folder("elsewhere").join(&names[0]);
    live.lab.write_file(&copy, &content);
    live.s3.set_policy(KEY, Policy::ReadWrite);
    let push = live.backrest.run(&["--archive-push-queue-max=1GB", "archive-push", copy.to_str().unwrap()]);
    REFUSES_A_COPY.is(matches!(push.code(), Some(25 | 73)), &said(&push));
    // What the watcher takes away when it pushes copies; `live::watch_heal_many` has a limit.
    let push = live.backrest.run(&["--reset-archive-push-queue-max", "archive-push", copy.to_str().unwrap()]);
    assert_eq!(push.code(), Some(0), "{}", said(&push));
}
