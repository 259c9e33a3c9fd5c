//! What a drill finds broken: an index, a collation, WAL that is missing; and what it can't look at, which is never green.

use super::drill::{archived, command, drill, stage, text};
use super::watch::{Scene, WAIT, scene, scene_with};
use pgbackrest_guard_lab::{Disk, Fault, FaultKind, Lab, Operation, Operations, Signal, StopMode, postgres_programs};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

/// That nothing was proved, and this stage says why.
#[track_caller]
pub(crate) fn unverified(record: &Value, name: &str, words: &str) {
    assert_eq!(record["verdict"], "unverified", "{record}");
    let stage = stage(record, name);
    assert_eq!(stage["verdict"], "unverified", "{record}");
    assert!(stage["detail"].as_str().unwrap().contains(words), "{record}");
}

/// An index that was built with another order than it is looked through with, and one whose collation had another version:
/// what a new libc does to both.
const BROKEN: &str = "\
CREATE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)';
CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, \
    FUNCTION 1 cmp(int, int);
CREATE TABLE broken AS SELECT generate_series(1, 1000) AS n, 'x' || generate_series(1, 1000) AS s;
CREATE INDEX turned ON broken USING btree (n odd);
CREATE INDEX sorted ON broken (s COLLATE \"en-x-icu\");
CREATE OR REPLACE FUNCTION cmp(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)';
UPDATE pg_collation SET collversion = '0' WHERE collname = 'en-x-icu';";

/// R8: too little room is found out before the first byte, for a restore too.
#[test]
fn long_drill_is_never_green_where_something_was_not_looked_at() {
    let scene = scene();
    archived(&scene);
    // A program that should be there and is not.
    let programs = scene.lab.folder("programs");
    for entry in fs::read_dir(postgres_programs()).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("pg_amcheck") {
            symlink(&path, programs.join(path.file_name().unwrap())).unwrap();
        }
    }
    let record = drill(&scene, &[&format!("--postgres-bin={}", programs.display())], 3);
    unverified(&record, "amcheck", "pg_amcheck can't be started");
    assert_eq!(stage(&record, "read")["verdict"], "passed", "{record}");
    let versions = record["versions"].to_string();
    let server = scene.cluster.sql("SHOW server_version");
    assert!(versions.contains(&format!("\"PostgreSQL {server}\"")), "{versions} of {server}");
    // A check that takes longer than all may together.
    let sql = scene.lab.write_file("long.sql", "SELECT pg_sleep(300) IS NOT NULL;\n");
    let sql = format!("--sql={}", sql.display());
    let record = drill(&scene, &["--budget=1", &sql], 3);
    unverified(&record, "sql", "psql did not finish within --budget");
    assert_eq!(stage(&record, "restore")["verdict"], "passed", "{record}");
    // A signal in the middle of a check.
    let mut endless = command(&scene, "drill", &["--json", &sql]);
    let child = endless.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = scene.lab.path().join("pgbackrest-guard-drill/sql.log");
    scene.cluster.wait_until("a statement runs", WAIT, || log.exists());
    Lab::signal(child.id().try_into().unwrap(), Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let stopped = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)));
    unverified(&stopped, "sql", "interrupted by a signal before it was done");
    // Too little room, for a drill and for a restore: nothing is written there.
    let small = scene.lab.folder("small");
    let Some(_volume) = Disk::mount(&small, 16) else { return };
    scene.lab.give(&small);
    let full = |task: &str, arguments: &[&str]| {
        let output = command(&scene, task, arguments).env("WAL_DRILL_DIR", small.join("drill")).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(text(&output).contains("but there is only room for"), "{}", text(&output));
        fs::read_dir(&small).unwrap().count()
    };
    assert_eq!(full("drill", &[]), 0);
    assert_eq!(full("restore", &["latest", &format!("--target={}", small.join("copy").display())]), 0);
}

/// R16: an index that was built with another version of its collation is named.
#[test]
fn long_drill_finds_a_broken_index_an_old_collation_and_missing_wal() {
    let scene = scene();
    scene.cluster.sql(BROKEN);
    archived(&scene);
    let record = drill(&scene, &[], 1);
    assert_eq!(record["verdict"], "failed", "{record}");
    for (name, verdict) in [("restore", "passed"), ("end", "passed"), ("collations", "failed"), ("amcheck", "failed")] {
        assert_eq!(stage(&record, name)["verdict"], verdict, "{name}: {record}");
    }
    let detail = |name: &str| stage(&record, name)["detail"].to_string();
    assert!(detail("collations").contains("sorted (\\\"en-x-icu\\\" 0, here "), "{record}");
    assert!(!detail("collations").contains("turned"), "{record}");
    assert!(detail("amcheck").contains("turned"), "{record}");
    assert!(record["rpo_seconds"].as_u64().is_some_and(|seconds| seconds < 600), "{record}");
    let behind = missing(&scene);
    // The end of the archive is not that of what was archived, and what lies behind the hole is not there.
    let record = drill(&scene, &[&format!("--at={behind}")], 1);
    assert_eq!(stage(&record, "restore")["verdict"], "failed", "{record}");
    let record = drill(&scene, &[], 1);
    assert_eq!((&record["aim"], &stage(&record, "end")["verdict"]), (&"newest".into(), &"failed".into()), "{record}");
    assert!(record["rpo_seconds"].is_u64(), "{record}");
}

/// What a promotion has left behind a hole lies on another timeline, which no replay comes to.
#[test]
fn live_drill_of_the_newest_finds_a_hole_before_a_promotion() {
    let scene = scene();
    archived(&scene);
    let cluster = &scene.cluster;
    cluster.sql("INSERT INTO t VALUES (102)");
    // Its end completes the timeline's last segment.
    cluster.stop(StopMode::Fast);
    let last = scene.backrest.archived(1).into_iter().rfind(|name| name.len() == 24).unwrap();
    let key = scene.s3.objects("wal").into_iter().find(|key| key.contains(&format!("{last}-"))).unwrap();
    scene.s3.remove_object("wal", &key);
    let signal = scene.lab.write_file(cluster.pgdata().join("standby.signal"), "");
    cluster.start().unwrap();
    cluster.promote();
    assert!(!signal.exists());
    cluster.sql("INSERT INTO t VALUES (103)");
    let segment = cluster.switch_wal();
    cluster.wait_archived(&segment, WAIT);
    assert!(segment.starts_with("00000002"), "{segment}");
    let record = drill(&scene, &[], 1);
    assert_eq!((&record["aim"], &stage(&record, "end")["verdict"]), (&"newest".into(), &"failed".into()), "{record}");
}

/// Takes a segment out of the archive, behind everything that is claimed; a moment behind it.
fn missing(scene: &Scene) -> String {
    let cluster = &scene.cluster;
    let commit = |row: u32| {
        cluster.sql(&format!("INSERT INTO t VALUES ({row})"));
        let segment = cluster.switch_wal();
        cluster.wait_archived(&segment, WAIT);
        segment
    };
    let lost = commit(101);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let moment = cluster.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    commit(102);
    let stored = |key: &String| key.contains(&format!("{lost}-"));
    let key = scene.s3.objects("wal").into_iter().find(stored).expect("it is stored");
    scene.s3.remove_object("wal", &key);
    moment
}

/// A cluster with WAL behind what is claimed, whose last segment is full of commits; that segment, and the one before it.
fn behind(scene: &Scene) -> [String; 2] {
    archived(scene);
    let cluster = &scene.cluster;
    [201, 301].map(|row| {
        for row in row..row + 20 {
            cluster.sql(&format!("INSERT INTO t VALUES ({row})"));
        }
        let segment = cluster.switch_wal();
        cluster.wait_archived(&segment, WAIT);
        segment
    })
}

fn stored(scene: &Scene, segment: &str) -> String {
    let is_it = |key: &String| key.contains(&format!("/{segment}-"));
    scene.s3.objects("wal").into_iter().find(is_it).expect("it is stored")
}

/// Has the next drill go for the newest moment, whatever the last one went for.
fn in_turn_again(scene: &Scene) {
    let _ = fs::remove_file(scene.cluster.pgdata().join(".pgbackrest_guard/drill.json"));
}

/// That a drill has failed, in the replay, and why.
#[track_caller]
fn failed_by(record: &Value, words: &[&str]) {
    assert_eq!(
        (&record["verdict"], &stage(record, "restore")["verdict"]),
        (&"failed".into(), &"failed".into()),
        "{record}"
    );
    let detail = stage(record, "restore")["detail"].as_str().unwrap();
    assert!(words.iter().all(|word| detail.contains(word)), "{words:?}: {record}");
}

#[test]
fn long_drill_finds_wal_that_is_damaged_or_vanishes_after_it_was_listed() {
    let scene = scene_with(|backrest| backrest.option("global", "compress-type", "gz"), |postgres| postgres);
    let [before, last] = behind(&scene);
    let key = stored(&scene, &last);
    let whole = scene.s3.object_bytes("wal", &key);
    // Bytes in the middle of what is compressed.
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].fill(0x5a);
    scene.s3.put_object("wal", &key, &damaged);
    failed_by(&drill(&scene, &[], 1), &[&last, "is damaged in repository 1"]);
    in_turn_again(&scene);
    // Half of it.
    scene.s3.put_object("wal", &key, &whole[..whole.len() / 2]);
    failed_by(&drill(&scene, &[], 1), &[&last, "is damaged in repository 1"]);
    scene.s3.put_object("wal", &key, &whole);
    in_turn_again(&scene);
    // An outage of the same segment shows nothing.
    scene.s3.inject(Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, &last)));
    unverified(&drill(&scene, &[], 3), "restore", "could no longer be queried");
    scene.s3.clear_faults();
    in_turn_again(&scene);
    // One that vanishes while the backup is copied, after the archive was listed.
    let gone = stored(&scene, &before);
    scene.s3.inject(Fault::new(FaultKind::Hang).on(Operations::of(Operation::Get, "/bundle/")));
    let copying = || {
        scene
            .s3
            .requests()
            .iter()
            .any(|request| request.key.contains("/bundle/") && request.operation == Operation::Get)
    };
    scene.s3.forget_requests();
    let mut command = command(&scene, "drill", &["--json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    scene.cluster.wait_until("the backup is copied", WAIT, copying);
    scene.s3.remove_object("wal", &gone);
    scene.s3.clear_faults();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    failed_by(&serde_json::from_slice(&output.stdout).unwrap(), &["was listed, but is missing from the archive"]);
}

/// Without compression nothing but PostgreSQL's own checksums shows it, and PostgreSQL takes it for the end of WAL.
#[test]
fn live_drill_finds_wal_that_only_postgresql_can_tell_to_be_damaged() {
    let scene = scene_with(|backrest| backrest.option("global", "compress-type", "none"), |postgres| postgres);
    let [_, last] = behind(&scene);
    let key = stored(&scene, &last);
    let mut damaged = scene.s3.object_bytes("wal", &key);
    // Past the segment's first records, before its last ones.
    let used = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[used / 2..used / 2 + 8].fill(0x5a);
    scene.s3.put_object("wal", &key, &damaged);
    failed_by(&drill(&scene, &[], 1), &["the replay ended at", "holds no valid WAL"]);
}

/// The processes whose arguments name a folder.
pub(crate) fn at_work_in(folder: &Path) -> Vec<i32> {
    naming(&[folder.to_str().unwrap()])
}

/// The same below a laboratory, by whatever link: other tests have a folder of that name.
pub(crate) fn at_work_below(lab: &Lab, folder: &str) -> Vec<i32> {
    naming(&[lab.path().to_str().unwrap(), folder])
}

fn naming(words: &[&str]) -> Vec<i32> {
    let named = |pid: &i32| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        words.iter().all(|word| arguments.contains(word))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    entries.filter_map(|name| name.to_str()?.parse().ok()).filter(named).collect()
}

/// They are stopped, so that nothing but the next drill can end them. A folder that is reached by a link has another name for
/// pgBackRest and for the server.
#[test]
fn live_drill_ends_the_restore_that_a_killed_one_has_left() {
    let scene = scene();
    archived(&scene);
    symlink(scene.lab.folder("volume"), scene.lab.path().join("link")).unwrap();
    let drill = |arguments: &[&str]| {
        let mut drill = command(&scene, "drill", arguments);
        drill.env("WAL_DRILL_DIR", scene.lab.path().join("link/a-drill"));
        drill
    };
    let data = scene.lab.path().join("volume/a-drill/data");
    let left = || at_work_below(&scene.lab, "/a-drill/data");
    scene.s3.inject(Fault::new(FaultKind::Hang).on(Operations::of(Operation::Get, "/bundle/")));
    let mut child = drill(&[]).spawn().unwrap();
    scene.cluster.wait_until("the backup is copied", WAIT, || data.join("backup.manifest").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(left().len() >= 2, "a restore and its pgBackRest: {:?}", left());
    for pid in left() {
        Lab::signal(pid, Signal::STOP);
    }
    scene.s3.clear_faults();
    let output = drill(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(left(), Vec::<i32>::new());
    // The server of a restore, too.
    let mut child = drill(&[]).env("WAL_GUARD_TEST_KILL_AT", "drill-started").spawn().unwrap();
    child.wait().unwrap();
    assert!(!left().is_empty());
    let output = drill(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(left(), Vec::<i32>::new());
}
