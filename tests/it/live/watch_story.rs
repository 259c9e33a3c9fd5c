//! The watcher with real programs through a bad week: a heal, a seal, failures without a loss, a restart, and a restore.

use super::watch::{KEY, Scene, WAIT, scene, scene_with};
use crate::watch::scene::{Running, SOON};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, Operation, Operations, Policy};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const A_SECOND: Duration = Duration::from_millis(1100);
const VERIFY_NOW: (&str, &str) = ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1");

impl Scene {
    /// Commits a row and completes its segment; waits until that is archived, or given up.
    fn commit(&self, row: u32) {
        self.cluster.sql(&format!("INSERT INTO t VALUES ({row})"));
        let segments = self.cluster.write_wal(1);
        self.cluster.wait_archived(segments.last().unwrap(), WAIT);
    }

    /// Commits rows that are lost on the way.
    fn commit_in_vain(&self, rows: std::ops::Range<u32>) {
        self.s3.revoke_key(KEY);
        rows.for_each(|row| self.commit(row));
        self.s3.restore_key(KEY);
    }

    /// What a checkpoint does to segments that nobody needs any more: they get other names.
    fn recycle(&self) {
        for _ in 0..2 {
            self.cluster.write_wal(2);
            self.cluster.sql("CHECKPOINT");
        }
    }

    fn stamp(&self, key: &str) -> Option<i64> {
        let text = fs::read_to_string(self.cluster.pgdata().join(".pgbackrest_backup_state")).unwrap();
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
    }
}

#[test]
fn live_watch_mends_what_can_be_mended_and_a_restore_has_every_row() {
    let scene = scene();
    scene.cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    scene.commit(0);
    // Healed: no backup.
    scene.commit_in_vain(1..3);
    sleep(A_SECOND);
    scene.watch_once(&[]);
    assert_eq!((scene.states(), scene.backups()), (vec![(GapState::Healed, 2)], 1));
    assert!(!scene.cluster.pgdata().join(".pgbackrest_gap_pending").exists());
    // Recycled: sealed, by a backup.
    scene.commit_in_vain(3..5);
    scene.recycle();
    sleep(A_SECOND);
    let said = scene.watch_once(&[("WAL_BACKUP_GAP_TYPE", "diff")]);
    assert!(said.contains("running pgbackrest backup --type=diff (a gap can't be healed)"), "{said}");
    assert!(said.contains("sealed by") && said.contains("cleared gap marker"), "{said}");
    assert!(scene.states().contains(&(GapState::Sealed, 2)) && scene.backups() == 2, "{:?}", scene.states());
    // A gap that a person has sealed by a backup of his own costs no other.
    scene.commit_in_vain(5..6);
    scene.recycle();
    sleep(A_SECOND);
    scene.backrest.backup("diff");
    let said = scene.watch_once(&[]);
    assert!(said.contains("1 gap is sealed by") && !said.contains("running"), "{said}");
    assert_eq!(scene.backups(), 3);
    (6..8).for_each(|row| scene.commit(row));
    sleep(A_SECOND);
    let said = scene.watch_once(&[VERIFY_NOW]);
    assert!(said.contains("catalog verified") && !said.contains("missing"), "{said}");
    let copy = Cluster::builder(&scene.lab).name("copy").no_archiving();
    let copy = scene.backrest.restore(copy, &[]);
    copy.start().unwrap_or_else(|log| panic!("the copy does not start:\n{log}"));
    assert!(copy.wait_promoted(WAIT), "{}", copy.log());
    assert_eq!(copy.sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"), "0 1 2 3 4 5 6 7");
}

#[test]
fn live_watch_answers_failures_without_a_loss_by_a_look_and_not_by_a_backup() {
    let scene = scene();
    scene.cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    let fail = |row| {
        scene.s3.set_policy(KEY, Policy::ReadOnly);
        scene.cluster.sql(&format!("INSERT INTO t VALUES ({row})"));
        let segments = scene.cluster.write_wal(2);
        scene.cluster.wait_until("pushes fail", WAIT, || scene.cluster.failed_count() > 0);
        scene.watch_once(&[VERIFY_NOW]);
        scene.s3.set_policy(KEY, Policy::ReadWrite);
        scene.cluster.reload_with("archive_timeout", "0");
        scene.cluster.wait_archived(segments.last().unwrap(), WAIT);
        sleep(A_SECOND);
        let said = scene.watch_once(&[]);
        assert!(
            said.contains("archiving had failed and has caught up: nothing is missing except what is on record"),
            "{said}"
        );
        assert_eq!(scene.stamp("last_full_failed_count"), i64::try_from(scene.cluster.failed_count()).ok());
        let said = scene.watch_once(&[]);
        assert!(!said.contains("caught up"), "{said}");
    };
    fail(1);
    let counted = scene.cluster.failed_count();
    scene.cluster.sql("SELECT pg_stat_reset_shared('archiver')");
    assert!(counted > 0);
    scene.cluster.wait_until("the counters begin anew", WAIT, || scene.cluster.failed_count() == 0);
    sleep(A_SECOND);
    fail(2);
    // A crash begins the counters anew too.
    scene.cluster.kill();
    scene.cluster.start().unwrap_or_else(|log| panic!("it does not start again:\n{log}"));
    fail(3);
    assert_eq!(scene.backups(), 1);
    // A segment that went missing in the same hour is found by the same look.
    let written = scene.cluster.write_wal(3);
    scene.cluster.wait_archived(written.last().unwrap(), WAIT);
    let object = scene.s3.objects("wal").into_iter().find(|object| object.contains(written[1].as_str())).unwrap();
    scene.s3.remove_object("wal", &object);
    let _ = fs::remove_file(scene.cluster.pg_wal().join(&written[1]));
    scene.s3.set_policy(KEY, Policy::ReadOnly);
    let last = scene.cluster.write_wal(1);
    let failed = scene.cluster.failed_count();
    scene.cluster.wait_until("pushes fail", WAIT, || scene.cluster.failed_count() > failed);
    scene.s3.set_policy(KEY, Policy::ReadWrite);
    scene.cluster.reload_with("archive_timeout", "0");
    scene.cluster.wait_archived(last.last().unwrap(), WAIT);
    sleep(A_SECOND);
    let said = scene.watch_once(&[]);
    assert!(said.contains("1 WAL segment is missing in every repository that was walked: a gap is recorded"), "{said}");
}

#[test]
fn live_watch_ends_a_wedged_worker_and_archiving_goes_on() {
    let scene = scene_with(
        |backrest| {
            backrest.archive_async(true).option("global", "io-timeout", "600").option("global", "archive-timeout", "2")
        },
        |postgres| postgres,
    );
    scene.watch_once(&[]);
    scene.s3.inject(Fault::new(FaultKind::Hang).on(Operations::of(Operation::Put, "archive/")));
    let stuck = scene.cluster.write_wal(2);
    let worker = || scene.lab.processes().iter().any(|process| process.command.contains("archive-push:async"));
    scene.cluster.wait_until("the worker hangs", WAIT, worker);
    let variables = [("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1"), ("WAL_GUARD_TEST_PATIENCE_SECONDS", "4")];
    let watcher = Running::start(&scene.lab, &mut scene.watcher(&scene.cluster, &variables));
    watcher.wait_for("has made no progress for 4 s while WAL waits: ended");
    scene.s3.clear_faults();
    scene.cluster.wait_archived(stuck.last().unwrap(), WAIT);
    watcher.end();
    assert!(scene.backrest.archived(1).contains(stuck.last().unwrap()));
}

#[test]
fn live_watch_takes_a_running_backup_along_when_it_ends() {
    let scene = scene();
    scene.backrest.stanza_create();
    let slow = FaultKind::Trickle { bytes_per_second: 2_000 };
    scene.s3.inject(Fault::new(slow).on(Operations::of(Operation::Put, "backup/")));
    let watcher = Running::start(&scene.lab, &mut scene.watcher(&scene.cluster, &[]));
    watcher.wait_for("running pgbackrest backup --type=full");
    let runs = || scene.lab.processes().iter().any(|process| process.command.contains("--type=full"));
    scene.cluster.wait_until("the backup runs", SOON, runs);
    watcher.end();
    assert!(!runs(), "left behind: {:?}", scene.lab.processes());
    scene.s3.clear_faults();
    let said = scene.watch_once(&[]);
    assert!(said.contains("backup --type=full completed"), "{said}");
}
