//! A drill that is killed, or whose restore is, and one whose store goes away: what is left, and what the next one makes of it.

use super::drill::{archived, command, drill, stage, text};
use super::drill_finds::{at_work_below, at_work_in, unverified};
use super::drill_origin::Origin;
use super::watch::{Scene, WAIT, scene_with};
use pgbackrest_guard::checkpoint::OF_DRILL;
use pgbackrest_guard_lab::{Fault, FaultKind, Lab, Operation, Operations, Signal};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

fn scene() -> Scene {
    let scene =
        scene_with(|backrest| backrest.archive_async(true).option("global", "io-timeout", "1"), |postgres| postgres);
    archived(&scene);
    scene
}

fn folder(scene: &Scene) -> PathBuf {
    scene.lab.path().join("pgbackrest-guard-drill")
}

/// That a drill which is killed there leaves nothing but its folder, and that the next one clears that before all else.
#[track_caller]
fn killed_at(scene: &Scene, origin: &Origin, checkpoint: &str) {
    let folder = folder(scene);
    let killed = |checkpoint: &str| {
        let output = command(scene, "drill", &[]).env("WAL_GUARD_TEST_KILL_AT", checkpoint).output().unwrap();
        assert_eq!(output.status.code(), None, "{checkpoint}: {}", text(&output));
    };
    killed(checkpoint);
    assert!(folder.join("pgbackrest-guard-drill").exists(), "{checkpoint}");
    origin.is_untouched(scene);
    killed("drill-entered");
    assert_eq!(at_work_in(&folder), Vec::<i32>::new(), "{checkpoint}");
    let left = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name());
    let mut left: Vec<_> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, ["pgbackrest-guard-drill", "server"], "{checkpoint}");
}

#[test]
fn live_drill_killed_with_its_server_up_or_its_record_written_is_cleared_by_the_next() {
    let scene = scene();
    let origin = Origin::of(&scene);
    for checkpoint in ["drill-started", "drill-recorded"] {
        killed_at(&scene, &origin, checkpoint);
    }
    assert_eq!(drill(&scene, &[], 0)["verdict"], "passed");
    assert!(!folder(&scene).exists());
    origin.is_untouched(&scene);
}

#[test]
fn long_drill_killed_at_every_stage_is_cleared_by_the_next() {
    let scene = scene();
    let origin = Origin::of(&scene);
    for checkpoint in OF_DRILL.iter().copied() {
        killed_at(&scene, &origin, checkpoint);
    }
    assert_eq!(drill(&scene, &[], 0)["verdict"], "passed");
    assert!(!folder(&scene).exists());
}

/// As by the kernel where memory runs short: the drill lives on, and so does what the restore has started. The folder is reached
/// by a link, and has another name for pgBackRest and for the server.
#[test]
fn live_drill_whose_restore_is_killed_ends_what_that_has_left() {
    let scene = scene();
    symlink(scene.lab.folder("volume"), scene.lab.path().join("link")).unwrap();
    let origin = Origin::of(&scene);
    let folder = scene.lab.path().join("volume/a-drill");
    for checkpoint in ["restore-copying", "restore-reached"] {
        let mut killed = command(&scene, "drill", &["--json"]);
        killed.env("WAL_DRILL_DIR", scene.lab.path().join("link/a-drill"));
        let output = killed.env("WAL_GUARD_TEST_KILL_AT", checkpoint).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{checkpoint}: {}", text(&output));
        let record = serde_json::from_slice(&output.stdout).unwrap();
        unverified(&record, "restore", "signal 9");
        assert_eq!(at_work_below(&scene.lab, "/a-drill/data"), Vec::<i32>::new(), "{checkpoint}");
        assert!(!folder.exists(), "{checkpoint}");
        origin.is_untouched(&scene);
    }
}

/// In the copy and in the replay, each of which waits for a store that says nothing.
#[test]
fn live_drill_that_is_told_to_end_while_it_restores_leaves_nothing() {
    let scene = scene();
    let origin = Origin::of(&scene);
    let folder = folder(&scene);
    let last = scene.cluster.done().into_iter().filter(|name| name.len() == 24).max().unwrap();
    let copying = folder.join("data/backup.manifest");
    let replaying = folder.join(".data.pgbackrest-guard-restore/server.log");
    let waits = || fs::read_to_string(&replaying).is_ok_and(|log| log.contains("could not be queried"));
    let looks: [(Fault, &dyn Fn() -> bool); 2] = [
        (Fault::new(FaultKind::Hang).on(Operations::of(Operation::Get, "/bundle/")), &|| copying.exists()),
        (Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, &last)), &waits),
    ];
    for (fault, is_there) in looks {
        scene.s3.inject(fault);
        let mut drill = command(&scene, "drill", &["--json"]);
        drill.env("WAL_GET_RETRY_SECONDS", "300").stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = drill.spawn().unwrap();
        scene.cluster.wait_until("it waits for the store", WAIT, is_there);
        Lab::signal(child.id().try_into().unwrap(), Signal::TERM);
        let output = child.wait_with_output().unwrap();
        scene.s3.clear_faults();
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        let record = serde_json::from_slice(&output.stdout).unwrap();
        unverified(&record, "restore", "interrupted by a signal");
        assert_eq!(at_work_in(&folder), Vec::<i32>::new());
        assert!(!folder.exists());
        origin.is_untouched(&scene);
    }
}

/// Neither failed, for nothing is shown to be broken, nor green.
#[test]
fn long_drill_proves_nothing_where_the_store_goes_away_while_it_copies() {
    let scene = scene();
    let origin = Origin::of(&scene);
    scene.s3.inject(Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, "/bundle/")));
    let record = drill(&scene, &[], 3);
    scene.s3.clear_faults();
    unverified(&record, "restore", "503");
    assert_eq!(stage(&record, "select")["verdict"], "passed", "{record}");
    assert!(!folder(&scene).exists());
    let record = drill(&scene, &[], 0);
    assert_eq!(record["verdict"], "passed");
    origin.is_untouched(&scene);
}
