//! `restore` that was killed: what it left behind, at any moment, and a server that can't be asked.

use super::restore::{Copy, between_two_commits, text};
use super::watch::{Scene, WAIT};
use pgbackrest_guard::data_directory::DataDirectory;
use pgbackrest_guard::postgres::Postgres;
use pgbackrest_guard::settings::Connection;
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, Lab, Operation, Operations, Signal};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The number of the server that runs on a copy.
fn server(data: &Path) -> Option<i32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

#[test]
fn live_restore_names_a_server_that_it_cannot_end_and_one_that_it_cannot_ask() {
    let (scene, time) = between_two_commits();
    let cluster = &scene.cluster;
    // A restore is killed, and the server that it leaves hangs.
    let killed = Copy::of(&scene, "hung").with("WAL_GUARD_TEST_KILL_AT", "restore-reached");
    assert_eq!(killed.restore(&["--to", &time]).status.code(), None);
    let left = server(&killed.path()).expect("it leaves a server");
    Lab::signal(left, Signal::STOP);
    let copy = Copy::of(&scene, "hung").with("WAL_GUARD_TEST_PATIENCE_SECONDS", "2");
    let output = copy.restore(&["--to", &time]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let words = format!("does not end; it may hang on its disk, or be suspended: end it (kill -9 {left})");
    assert!(text(&output).contains(&words), "{}", text(&output));
    Lab::signal(left, Signal::CONT);
    copy.restored(&["--to", &time]);
    assert_eq!(copy.rows(), "1");
    // A server that is ended in the middle of its promotion has no recovery.signal any more, and is still on the old timeline.
    let cut = Copy::of(&scene, "cut").with("WAL_GUARD_TEST_KILL_AT", "restore-reached");
    assert_eq!(cut.restore(&["--to", &time]).status.code(), None);
    let left = server(&cut.path()).expect("it leaves a server");
    Lab::signal(left, Signal::INT);
    cluster.wait_until("it ends", WAIT, || server(&cut.path()).is_none());
    fs::remove_file(cut.path().join("recovery.signal")).unwrap();
    let cut = Copy::of(&scene, "cut");
    let said = cut.restored(&["--to", &time]);
    assert!(said.contains("the promotion was cut off: replaying again"), "{said}");
    assert_eq!(cut.rows(), "1", "nothing behind the target");
    // The roles that we know may not log in.
    cluster.sql("CREATE ROLE other SUPERUSER LOGIN");
    let names = cluster.sql("SELECT rolname FROM pg_roles WHERE rolsuper AND rolname <> 'other'");
    let lock: Vec<String> = names.lines().map(|name| format!("ALTER ROLE {name} NOLOGIN")).collect();
    let segment = cluster.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    cluster.sql(&format!("{}; SELECT pg_switch_wal() IS NULL", lock.join("; ")));
    cluster.wait_archived(&segment, WAIT);
    let copy = Copy::of(&scene, "strange").with("WAL_GUARD_TEST_PATIENCE_SECONDS", "2");
    let output = copy.restore(&["latest"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("accepts none of the roles"), "{}", text(&output));
    assert!(text(&output).contains("set PGUSER") && server(&copy.path()).is_none(), "{}", text(&output));
    Copy::of(&scene, "strange").with("PGUSER", "other").restored(&["latest"]);
}

/// PostgreSQL 13 calls itself paused until its promotion is over: one that is asked for again then may come too late.
#[test]
fn live_restore_asks_for_a_promotion_that_is_over() {
    let cluster = Cluster::builder(&Lab::new()).no_archiving().start();
    let connection = Connection { user: Some("postgres".to_owned()), ..Connection::default() };
    let postgres = Postgres::of(&DataDirectory::new(cluster.pgdata().to_owned()), &connection);
    postgres.promote().unwrap();
    assert!(!postgres.recovery().unwrap().under_way);
}

/// A parent folder that is root's, as that of a mounted volume often is.
fn closed(scene: &Scene, name: &str) -> PathBuf {
    let folder = scene.lab.folder(name);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    folder
}

#[test]
fn live_restore_refuses_a_place_that_it_may_not_write_to_and_another_restores_notes() {
    let (scene, _) = between_two_commits();
    closed(&scene, "closed");
    let copy = Copy::of(&scene, "closed/copy");
    for arguments in [&["latest", "--dry-run"][..], &["latest"]] {
        copy.refused(arguments, &["this user can't write to", "/closed; have"]);
    }
    // Nor does it write into the data directory of the origin, where the default state directory is.
    let own = scene.cluster.pgdata().join(".pgbackrest_guard/.copy.pgbackrest-guard-restore");
    assert!(!own.exists(), "{}", own.display());
    // Two volumes whose data directories have the same name, and one folder for notes.
    for name in ["one/data", "two/data"] {
        scene.lab.folder(name);
        closed(&scene, name.trim_end_matches("/data"));
    }
    scene.lab.folder("notes");
    let notes = scene.lab.path().join("notes").display().to_string();
    let one = Copy::of(&scene, "one/data").with("WAL_GUARD_STATE_DIR", &notes);
    Copy::of(&scene, "one/data").refused(&["latest"], &["name a writable folder with --state-dir"]);
    let killed = Copy::of(&scene, "one/data").with("WAL_GUARD_STATE_DIR", &notes);
    let killed = killed.with("WAL_GUARD_TEST_KILL_AT", "restore-planned").restore(&["latest"]);
    assert_eq!(killed.status.code(), None, "{}", text(&killed));
    let two = Copy::of(&scene, "two/data").with("WAL_GUARD_STATE_DIR", &notes);
    for arguments in [&["latest"][..], &["latest", "--replace"]] {
        two.refused(arguments, &["belongs to a restore of", "/one/data that is under way"]);
    }
    one.restored(&["latest"]);
    two.restored(&["latest"]);
}

/// What it has left names its folders as the first command did, when the last two of them were not there yet.
#[test]
fn live_restore_that_was_killed_goes_on_where_its_folder_is_reached_by_a_link() {
    let (scene, time) = between_two_commits();
    symlink(scene.lab.folder("volume"), scene.lab.path().join("link")).unwrap();
    let copy = || Copy::of(&scene, "link/deeper/copy");
    let killed = copy().with("WAL_GUARD_TEST_KILL_AT", "restore-reached");
    assert_eq!(killed.restore(&["--to", &time]).status.code(), None);
    copy().restored(&["--to", &time]);
    assert_eq!(fs::read_dir(scene.lab.path().join("volume/deeper")).unwrap().count(), 1, "the copy alone");
    let notes = fs::read_dir(scene.cluster.pgdata().join(".pgbackrest_guard")).unwrap().flatten();
    let notes: Vec<_> = notes.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!notes.iter().any(|name| name.contains("copy")), "nothing of it among the origin's: {notes:?}");
    assert_eq!(copy().rows(), "1");
}

#[test]
fn live_restore_killed_at_any_moment_goes_on() {
    let (scene, time) = between_two_commits();
    let copy = Copy::of(&scene, "copy");
    let began = std::time::Instant::now();
    Copy::of(&scene, "whole").restored(&["--to", &time]);
    let whole = began.elapsed();
    for _ in 0..5 {
        let mut child = copy.command(&["--to", &time]).spawn().unwrap();
        // Any moment of it: the clock's fraction is as good as a die.
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let pause = whole.mul_f64(f64::from(nanos % 1000) / 1000.0);
        eprintln!("killed after {pause:?} of {whole:?}");
        std::thread::sleep(pause.max(Duration::from_millis(20)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            // It was quicker this time.
            assert_eq!(copy.rows(), "1");
            fs::remove_dir_all(copy.path()).unwrap();
        }
    }
    copy.restored(&["--to", &time]);
    assert_eq!(copy.rows(), "1");
}

/// Its pgBackRest has not written a byte yet when the restore is killed, and copies when the next one has found it.
#[test]
fn long_restore_looks_again_at_what_a_leftover_has_copied() {
    let (scene, time) = between_two_commits();
    scene.s3.inject(Fault::new(FaultKind::Hang).on(Operations::of(Operation::Get, "/backup.manifest")));
    let killed = Copy::of(&scene, "copy").with("WAL_GUARD_TEST_KILL_AT", "restore-copying");
    assert_eq!(killed.restore(&["--to", &time]).status.code(), None);
    let copy = Copy::of(&scene, "copy");
    let mut next = copy.command(&["--to", &time]);
    let next = next.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // So long the lock is the leftover's.
    std::thread::sleep(Duration::from_secs(1));
    scene.s3.clear_faults();
    let output = next.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(copy.rows(), "1");
}
