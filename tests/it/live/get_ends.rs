//! Where a recovery ends: at the true end, at a target, at a hole, at a switch to another timeline.

use super::get::{LONG, Origin, ROWS, Wanted, assert_complete, rows, wait_log};
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, Operation, Operations, PgBackRest, StopMode};
use std::time::Duration;

#[test]
fn the_true_end_of_the_archive_promotes_by_itself() {
    let origin = Origin::new();
    for (name, asynchronous) in [("whole", false), ("whole-ahead", true)] {
        let copy = origin.restore(Wanted { asynchronous, ..Wanted::new(name) });
        copy.start_recovery();
        assert_complete(&copy);
        let log = copy.log();
        assert!(log.contains("is in no repository: to PostgreSQL the archive ends before it"), "{log}");
        assert!(!log.contains("the repository could not be queried"), "{log}");
    }
}

#[test]
fn targets_are_reached() {
    let origin = Origin::new();
    let field = |what: &str, n: usize| origin.cluster.sql(&format!("SELECT {what} FROM t WHERE n = {n}"));
    let lsn = origin.cluster.sql("SELECT pg_create_restore_point('here')");
    origin.cluster.sql("INSERT INTO t VALUES (99)");
    let last = origin.cluster.switch_wal();
    origin.cluster.wait_archived(&last, LONG);
    let (time, xid) = (field("at", 5), field("x", 4));
    let targets = [
        ("time", time.as_str(), 4),
        ("xid", xid.as_str(), 4),
        ("name", "here", ROWS),
        ("lsn", lsn.as_str(), ROWS),
        ("immediate", "", 0),
    ];
    for (kind, target, expected) in targets {
        let (kind_option, target) = (format!("--type={kind}"), format!("--target={target}"));
        let options = [kind_option.as_str(), "--target-action=promote", target.as_str()];
        let options = options.get(..if kind == "immediate" { 2 } else { 3 }).unwrap();
        let asynchronous = kind == "xid";
        let copy = origin.restore(Wanted { asynchronous, options, ..Wanted::new(&format!("to-{kind}")) });
        copy.start_recovery();
        assert!(copy.wait_promoted(LONG), "{kind}: {}", copy.log());
        assert_eq!(rows(&copy), expected, "{kind}: {}", copy.log());
        copy.stop(StopMode::Immediate);
    }
}

#[test]
fn a_target_that_lies_behind_an_outage_is_still_reached() {
    let origin = Origin::new();
    let xid = origin.cluster.sql("SELECT x FROM t WHERE n = 8");
    let target = format!("--target={xid}");
    let options = ["--type=xid", "--target-action=promote", target.as_str()];
    let copy = origin.restore(Wanted { options: &options, ..Wanted::new("behind") });
    let outage = origin.denied_at(&origin.segments[5], &copy);
    wait_log(&copy, "the repository could not be queried: class denied (AccessDenied)");
    outage.end(&origin);
    assert!(copy.wait_promoted(LONG), "{}", copy.log());
    assert_eq!(rows(&copy), 8, "{}", copy.log());
}

#[test]
fn a_segment_that_is_really_missing_ends_the_recovery_and_the_line_says_so() {
    let origin = Origin::new();
    let missing = &origin.segments[5];
    let objects = origin.s3.objects("wal");
    let object = objects.iter().find(|key| key.contains(missing)).unwrap();
    origin.s3.remove_object("wal", object);
    for (name, asynchronous) in [("hole", false), ("hole-ahead", true)] {
        let copy = origin.restore(Wanted { asynchronous, ..Wanted::new(name) });
        copy.start_recovery();
        assert!(copy.wait_promoted(LONG), "{}", copy.log());
        assert_eq!(rows(&copy), 5, "{}", copy.log());
        let line =
            format!("pgbackrest-guard-get: {missing} is in no repository: to PostgreSQL the archive ends before it");
        assert!(copy.log().contains(&line), "{}", copy.log());
    }
}

#[test]
fn a_recovery_follows_the_newest_timeline_through_an_outage() {
    let origin = Origin::new();
    let name = "second";
    let promoted = promoted_and_archiving(&origin, name);
    promoted.sql("INSERT INTO t VALUES (100)");
    let last = promoted.switch_wal();
    promoted.wait_archived(&last, LONG);
    promoted.wait_archived("00000002.history", LONG);
    promoted.stop(StopMode::Fast);

    let broken = Fault::status(503, "SlowDown").on(Operations::key_contains("00000002.history"));
    for (name, asynchronous) in [("third", false), ("fourth", true)] {
        // From 2.55 on `restore` reads the history too, so the outage begins behind it.
        let copy = origin.restore(Wanted { asynchronous, ..Wanted::new(name) });
        let fault = origin.s3.inject(broken.clone());
        copy.start_recovery();
        if asynchronous {
            origin.s3.remove(fault);
            origin.s3.inject(Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, &last)).times(2));
        } else {
            wait_log(&copy, "00000002.history: the repository could not be queried: class unavailable");
            origin.s3.remove(fault);
        }
        assert!(copy.wait_promoted(LONG), "{}", copy.log());
        assert_eq!(rows(&copy), ROWS + 1, "{}", copy.log());
        assert!(copy.log().contains("selected new timeline ID: 3"), "{}", copy.log());
    }
}

/// A copy that was recovered and archives to the same repository, on timeline 2.
pub(crate) fn promoted_and_archiving(origin: &Origin, name: &str) -> Cluster {
    let copy = Cluster::builder(&origin.lab).name(name);
    let backrest = PgBackRest::builder(&origin.lab).name("store-second").postgres(&copy);
    let backrest = backrest.repo_s3(&origin.s3, "wal", super::get::KEY, "secret", "/repo").write();
    let restore_command = format!("--recovery-option=restore_command={}", origin.command(&backrest, ""));
    let copy = backrest.restore(copy.archive_command(&backrest.archive_command()), &[&restore_command]);
    copy.start_recovery();
    assert_complete(&copy);
    copy
}

#[test]
fn a_trickling_server_is_slow_and_ends_no_recovery() {
    let origin = Origin::new();
    let at = &origin.segments[5];
    let slow = Fault::new(FaultKind::Trickle { bytes_per_second: 2_000 }).on(Operations::of(Operation::Get, at));
    let fault = origin.s3.inject(slow);
    let copy = origin.restore(Wanted { guard: Some("--retry 120 --timeout 2"), ..Wanted::new("slow") });
    copy.start_recovery();
    wait_log(
        &copy,
        &format!(
            "{at}: the repository could not be queried: class unavailable: pgBackRest was ended: it took longer than"
        ),
    );
    assert!(!copy.wait_promoted(Duration::ZERO));
    origin.s3.remove(fault);
    assert_complete(&copy);
}

#[test]
fn long_a_key_that_is_revoked_ends_no_recovery() {
    let origin = Origin::new();
    let copy = origin.restore(Wanted::new("revoked"));
    let outage = origin.denied_at(&origin.segments[5], &copy);
    origin.s3.revoke_key(super::get::KEY);
    outage.end(&origin);
    wait_log(&copy, "(InvalidAccessKeyId)");
    assert!(!copy.log().contains("secret") && !copy.log().contains("selected new timeline"), "{}", copy.log());
    origin.s3.restore_key(super::get::KEY);
    assert_complete(&copy);
}
