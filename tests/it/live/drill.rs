//! `drill` on a real archive: what it proves, what it finds broken, and that its origin notices nothing.

use super::drill_origin::Origin;
use super::handover_record::Ended;
use super::watch::{Scene, WAIT, scene, scene_with};
use pgbackrest_guard_lab::{Cluster, Lab, Signal, StopMode, postgres_programs};
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

/// Moments lie apart by more than a second.
const APART: Duration = Duration::from_millis(1100);

pub(crate) fn command(scene: &Scene, task: &str, arguments: &[&str]) -> Command {
    scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let mut command = scene.lab.command(&scene.guard);
    command.arg(task).args(arguments).arg("--pgdata").arg(scene.cluster.pgdata());
    command.env("PGBACKREST_CONFIG", scene.backrest.config_file()).env("WAL_GET_RETRY_SECONDS", "3");
    command.env("PGUSER", scene.cluster.sql("select current_user").trim());
    command
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Drills; the record.
#[track_caller]
pub(crate) fn drill(scene: &Scene, arguments: &[&str], code: i32) -> Value {
    let output = command(scene, "drill", &[&["--json"], arguments].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

pub(crate) fn stage<'r>(record: &'r Value, name: &str) -> &'r Value {
    let stages = record["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("no stage {name}: {record}"))
}

fn status(scene: &Scene, arguments: &[&str]) -> String {
    text(&command(scene, "status", arguments).output().unwrap())
}

/// A cluster with rows in two backups' reach, seen by the watcher.
pub(crate) fn archived(scene: &Scene) {
    let cluster = &scene.cluster;
    cluster.sql("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)");
    scene.watch_once(&[]);
    for row in 2..5 {
        sleep(APART);
        cluster.sql(&format!("INSERT INTO t VALUES ({row})"));
    }
    sleep(APART);
    let segment = cluster.switch_wal();
    cluster.wait_archived(&segment, WAIT);
    scene.watch_once(&[("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")]);
}

#[test]
fn long_drill_proves_the_newest_the_oldest_and_any_moment_in_turn() {
    let scene = scene_with(|backrest| backrest.archive_async(true), |postgres| postgres);
    archived(&scene);
    let sql = scene.lab.write_file("checks.sql", "SELECT count(*) >= 1 FROM t;\nSELECT bool_and(n > 0) FROM t;\n");
    let before = Origin::of(&scene);
    let sql = format!("--sql={}", sql.display());
    for aim in ["newest", "oldest", "random"] {
        let record = drill(&scene, &[&sql], 0);
        assert_eq!((record["verdict"].as_str(), record["aim"].as_str()), (Some("passed"), Some(aim)), "{record}");
        for name in ["select", "restore", "collations", "checksums", "start", "amcheck", "read", "sql", "stop"] {
            assert_eq!(stage(&record, name)["verdict"], "passed", "{name}: {record}");
        }
    }
    before.is_untouched(&scene);
    assert!(!scene.lab.path().join("pgbackrest-guard-drill").exists());
    let report: Value = serde_json::from_str(&status(&scene, &["--output=json"])).unwrap();
    assert_eq!(report["drill"]["verdict"], "passed", "{report}");
    assert!(report["drill"]["seconds"].as_u64().is_some_and(|seconds| seconds > 0));
    assert!(status(&scene, &[]).contains("proved restorable"), "{}", status(&scene, &[]));
    let metrics = status(&scene, &["--output=prometheus"]);
    assert!(metrics.contains("\npgbackrest_guard_drill_passed{stanza=\"main\",cluster=\"data\"} 1\n"), "{metrics}");
    // What does not hold, and what can't be looked at.
    let wrong = scene.lab.write_file("wrong.sql", "SELECT false;\n");
    let record = drill(&scene, &[&format!("--sql={}", wrong.display())], 1);
    assert_eq!(
        (record["verdict"].as_str(), stage(&record, "sql")["verdict"].as_str()),
        (Some("failed"), Some("failed"))
    );
    assert!(status(&scene, &[]).contains("the last drill failed"));
    let record = drill(&scene, &["--at=2001-01-01T00:00:00Z"], 1);
    assert_eq!(stage(&record, "restore")["verdict"], "failed", "{record}");
}

#[test]
fn live_drill_clears_what_a_killed_one_left_and_touches_nothing_foreign() {
    let scene = scene();
    archived(&scene);
    let folder = scene.lab.path().join("pgbackrest-guard-drill");
    let kept = drill(&scene, &["--keep"], 0);
    assert!(folder.join("data/PG_VERSION").exists(), "{kept}");
    // Somebody's server on the kept copy would be a leftover; one that was killed is ended by the next drill.
    let mut child = command(&scene, "drill", &[]).spawn().unwrap();
    scene.cluster.wait_until("the copy's server runs", WAIT, || {
        let pid = folder.join("data/postmaster.pid");
        fs::read_to_string(pid).is_ok_and(|text| text.contains("ready"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(folder.exists());
    let record = drill(&scene, &[], 0);
    assert_eq!(record["verdict"], "passed");
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    let precious = scene.lab.write_file(folder.join("precious"), "x");
    scene.lab.give(&folder);
    let output = command(&scene, "drill", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("is not empty and not a drill's"), "{}", text(&output));
    assert_eq!(fs::read_to_string(precious).unwrap(), "x");
}

/// A page that was damaged before the backup, which a restore copies as it is.
#[test]
fn live_drill_finds_a_damaged_page() {
    let scene = scene_with(|backrest| backrest.option("global", "checksum-page", "n"), |postgres| postgres);
    let cluster: &Cluster = &scene.cluster;
    // From PostgreSQL 18 on they are on by default.
    if cluster.sql("SHOW data_checksums") == "off" {
        cluster.stop(StopMode::Fast);
        let mut checksums = scene.lab.command(postgres_programs().join("pg_checksums"));
        assert!(checksums.arg("--enable").arg("-D").arg(cluster.pgdata()).output().unwrap().status.success());
        cluster.start().unwrap();
    }
    cluster.sql("CREATE TABLE broken AS SELECT generate_series(1, 5000) AS n");
    let file = cluster.sql("VACUUM FREEZE broken; CHECKPOINT; SELECT pg_relation_filepath('broken')");
    let path = cluster.pgdata().join(file.lines().last().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8192 + 4000] ^= 0x55;
    fs::write(&path, bytes).unwrap();
    scene.lab.give(&path);
    archived(&scene);
    let record = drill(&scene, &[], 1);
    assert_eq!(record["verdict"], "failed", "{record}");
    assert_eq!(stage(&record, "checksums")["verdict"], "failed", "{record}");
}

#[test]
fn live_watch_drills_by_itself_and_ends_with_its_drill() {
    let scene = scene();
    archived(&scene);
    scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let variables = [("WAL_DRILL_INTERVAL_HOURS", "1"), ("WAL_BACKUP_POLL_INTERVAL_SECONDS", "1")];
    let log = scene.lab.path().join("watch.log");
    let mut watcher = scene.watcher(&scene.cluster, &variables);
    let watcher = Ended(watcher.stderr(File::create(&log).unwrap()).spawn().unwrap());
    let said = |words: &str| fs::read_to_string(&log).unwrap_or_default().contains(words);
    scene.cluster.wait_until("it has drilled", WAIT, || said("the drill has passed"));
    assert_eq!(fs::read_to_string(&log).unwrap().matches("a restore drill begins").count(), 1);
    assert!(status(&scene, &[]).contains("proved restorable"), "{}", status(&scene, &[]));
    drop(watcher);
    // Long ago, by the record: another one begins, and ends with the watcher.
    let record = scene.cluster.pgdata().join(".pgbackrest_guard/drill.json");
    let text = fs::read_to_string(&record).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["at"] = 1.into();
    fs::write(&record, value.to_string()).unwrap();
    scene.lab.give(&record);
    let mut watcher = scene.watcher(&scene.cluster, &variables);
    let mut watcher = Ended(watcher.stderr(File::create(&log).unwrap()).spawn().unwrap());
    scene.cluster.wait_until("it drills", WAIT, || said("a restore drill begins"));
    Lab::signal(watcher.0.id().try_into().unwrap(), Signal::TERM);
    assert!(watcher.0.wait().unwrap().success());
    scene.cluster.wait_until("nothing of the drill is left", WAIT, || {
        !scene.lab.processes().iter().any(|process| process.command.contains("drill"))
    });
}
