//! `run` on an empty volume, where a cluster is to be restored: from a real archive, as PID 1 and root, with everything real.

use super::run::{BUCKET, KEY, SECRET, Volume};
use crate::run::scene::{Run, places};
use pgbackrest_guard::checkpoint::OF_RUN;
use pgbackrest_guard_lab::{Lab, Signal};
use std::fs;
use std::path::Path;

/// Where the cluster is restored from.
fn source(volume: &Volume) -> Vec<(&'static str, String)> {
    vec![
        ("WAL_RECOVER_FROM_BUCKET", BUCKET.to_owned()),
        ("WAL_RECOVER_FROM_ENDPOINT", format!("https://{}:{}", volume.s3.host(), volume.s3.port())),
        ("WAL_RECOVER_FROM_KEY", KEY.to_owned()),
        ("WAL_RECOVER_FROM_SECRET", SECRET.to_owned()),
    ]
}

fn start(volume: &Volume, variables: &[(&'static str, String)]) -> Run {
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    volume.start(&variables)
}

/// That `run` ends with 1 and these words, and no cluster was made.
#[track_caller]
fn refuses(volume: &Volume, variables: &[(&'static str, String)], words: &str) {
    let mut run = start(volume, variables);
    let status = run.status();
    let said = run.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(words) && said.contains("CMD is not started"), "{words}: {said}");
    assert!(!said.contains("before initdb") && !said.contains(SECRET), "{said}");
    assert!(!said.contains("resumes it"), "there is nothing to resume: {said}");
    assert!(!volume.scene.path("data/PG_VERSION").exists());
}

fn repository_path(volume: &Volume, data: &str) -> String {
    fs::read_to_string(volume.scene.path(data).join(".pgbackrest_repo_path")).unwrap().trim().to_owned()
}

/// An archived cluster of a first start, which is moved out of the way; a moment with 1001 rows, and one more after it.
fn archived(volume: &Volume) -> String {
    volume.scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    let mut run = volume.start(&[]);
    run.wait_for("backup --type=full completed");
    volume.archives(&mut run);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let moment = volume.sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    volume.sql("insert into t values (-1)");
    volume.archives(&mut run);
    volume.stops(run, 0);
    fs::rename(volume.scene.path("data"), volume.scene.path("origin")).unwrap();
    moment
}

/// That the restored cluster serves what it should, and archives to a path of its own.
#[track_caller]
fn serves(volume: &Volume, run: &mut Run) {
    run.wait_for("database system is ready to accept connections");
    run.wait("it takes connections", |_| volume.scene.path("data/postmaster.pid").exists());
    assert_eq!(
        volume.sql("select count(*) from t"),
        "1001",
        "what was written before the moment, and nothing after it"
    );
    assert_eq!(volume.sql("show archive_mode"), "on");
    let [own, origin] = ["data", "origin"].map(|data| repository_path(volume, data));
    assert!(own.starts_with(&format!("{origin}-")), "{own} beside {origin}");
    for left in [".data.pgbackrest-guard", ".data.pgbackrest-guard-restore", "data/.pgbackrest_gap_pending"] {
        assert!(!volume.scene.path(left).exists(), "{left}");
    }
    assert!(!run.said().contains("before initdb"), "{}", run.said());
}

/// R1: whatever is missing or wrong, nothing becomes an empty database. R4: on a volume with a cluster nothing is staged.
#[test]
fn live_run_restores_before_it_starts_and_never_makes_an_empty_cluster() {
    let volume = Volume::new(places()[0]);
    let moment = archived(&volume);

    // Whatever is asked for and can't be done: an error, and no initdb.
    let target = ("WAL_RECOVER_TARGET_TIME", moment.clone());
    refuses(&volume, std::slice::from_ref(&target), "WAL_RECOVER_FROM_BUCKET is not set");
    refuses(&volume, &source(&volume), "no target is set");
    let script = ("POSTGRES_RECOVERY_TARGET_XID", "7".to_owned());
    refuses(&volume, &[script], "WAL_RECOVER_FROM_BUCKET is not set");
    let with = |mut all: Vec<(&'static str, String)>, one: (&'static str, String)| {
        all.push(one);
        all
    };
    let nobodys = ("POSTGRES_RECOVERY_TARGET_TIME", "2026-11-22 10:00:00".to_owned());
    refuses(&volume, &with(source(&volume), nobodys), "it has no offset from UTC");
    let far = ("WAL_RECOVER_TARGET_TIME", "2001-01-01T00:00:00Z".to_owned());
    refuses(&volume, &with(source(&volume), far), "older than every usable backup");
    let elsewhere = with(with(source(&volume), target.clone()), ("WAL_RECOVER_FROM_PATH", "/nowhere".to_owned()));
    refuses(&volume, &elsewhere, "/nowhere holds no backups");

    let all = with(source(&volume), target);
    // As a new volume is where it is mounted.
    fs::remove_dir(volume.scene.path("data")).unwrap();
    fs::create_dir(volume.scene.path("data")).unwrap();
    let mut run = start(&volume, &all);
    serves(&volume, &mut run);
    run.wait_for("backup --type=full completed");
    volume.stops(run, 0);
    // The variables stay set, and mean nothing on the volume any more.
    let mut run = start(&volume, &all);
    run.wait_for("holds a cluster: the restore variables have no effect here");
    run.wait_for("database system is ready to accept connections");
    run.signal(Signal::INT);
    assert_eq!(run.status().code(), Some(0), "{}", run.said());
    assert!(Path::new(&volume.scene.path("data/PG_VERSION")).exists());
}

/// R7: where the data directory alone is a volume, and the container is a new one.
#[test]
fn live_run_refuses_a_copy_that_was_cut_off_where_nothing_tells_how_far_it_had_come() {
    let volume = Volume::new(*places().last().unwrap());
    let moment = archived(&volume);
    let mut all = source(&volume);
    all.push(("WAL_RECOVER_TARGET_TIME", moment));
    all.push(("WAL_RECOVER_FROM_PATH", repository_path(&volume, "origin")));
    let mut killed = all.clone();
    killed.push(("WAL_GUARD_TEST_KILL_AT", "restore-reached".to_owned()));
    let mut run = start(&volume, &killed);
    assert_eq!(run.status().code(), Some(1), "{}", run.said());
    // With the container go its processes and its folders.
    for process in volume.scene.lab.processes() {
        Lab::signal(process.pid, Signal::KILL);
    }
    run.wait("they are gone", |_| volume.scene.lab.processes().is_empty());
    let data = volume.scene.path("data");
    fs::remove_dir_all(volume.scene.path(".data.pgbackrest-guard")).unwrap();
    let _ = fs::remove_dir_all(volume.scene.path(".data.pgbackrest-guard-restore"));
    let refused = |variables: &[(&'static str, String)], words: &str| {
        let mut run = start(&volume, variables);
        assert_eq!(run.status().code(), Some(1), "{}", run.said());
        assert!(run.said().contains(words) && run.said().contains("CMD is not started"), "{words}: {}", run.said());
    };
    refused(&all, "is gone: empty the data directory");
    refused(&[], "is gone: set the same WAL_RECOVER_* variables again and empty the data directory");
    // The same in the middle of its promotion: a server that is started on that replays past the target.
    fs::remove_file(data.join("recovery.signal")).unwrap();
    refused(&all, "is gone: empty the data directory");
    // As the line says.
    fs::remove_dir_all(&data).unwrap();
    volume.scene.lab.folder("data");
    let mut run = start(&volume, &all);
    serves(&volume, &mut run);
    volume.stops(run, 0);
}

/// R6: `serves` looks for what the source has left, its keys among it. R7: without its variables a restore is not taken for
/// done.
/// An empty volume and the variables of a restore, whose copies archive beside the origin.
fn asked() -> (Volume, Vec<(&'static str, String)>) {
    // The first process of a namespace can't be killed from inside.
    let volume = Volume::new(*places().last().unwrap());
    let moment = archived(&volume);
    let mut all = source(&volume);
    all.push(("WAL_RECOVER_TARGET_TIME", moment));
    all.push(("WAL_RECOVER_FROM_PATH", repository_path(&volume, "origin")));
    (volume, all)
}

fn killed_at(volume: &Volume, all: &[(&'static str, String)], checkpoint: &str) -> (Option<i32>, String) {
    let mut variables = all.to_vec();
    variables.push(("WAL_GUARD_TEST_KILL_AT", checkpoint.to_owned()));
    let mut run = start(volume, &variables);
    (run.status().code(), run.said())
}

#[test]
fn long_run_goes_on_where_it_was_killed_and_hands_over() {
    let (volume, all) = asked();
    for checkpoint in OF_RUN.iter().copied() {
        assert_eq!(killed_at(&volume, &all, checkpoint).0, None, "{checkpoint}");
        assert!(volume.scene.path(".data.pgbackrest-guard/source.conf").exists(), "{checkpoint}");
        if checkpoint == "run-path-noted" {
            // Where only the data directory is a volume.
            fs::remove_dir_all(volume.scene.path(".data.pgbackrest-guard")).unwrap();
        }
        // With or without its variables.
        let variables = if checkpoint == "run-restored" { &[][..] } else { &all };
        let mut run = start(&volume, variables);
        serves(&volume, &mut run);
        volume.stops(run, 0);
        fs::remove_dir_all(volume.scene.path("data")).unwrap();
    }
}

/// In the middle of the replay: the restore dies, and `run` with it.
#[test]
fn live_run_goes_on_where_its_restore_was_killed() {
    let (volume, all) = asked();
    let (code, said) = killed_at(&volume, &all, "restore-reached");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ended with signal 9, so CMD is not started"), "{said}");
    let mut run = start(&volume, &[]);
    assert_eq!(run.status().code(), Some(1), "{}", run.said());
    assert!(
        run.said().contains("a restore into it is not finished: set the same WAL_RECOVER_* variables again"),
        "{}",
        run.said()
    );
    let mut run = start(&volume, &all);
    serves(&volume, &mut run);
    volume.stops(run, 0);
}
