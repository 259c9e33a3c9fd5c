//! What setup can't do: a full or read-only disk, a server that would not start, a store that pgBackRest can't speak to.
//! One line says what and where, the exit code is 1, and no half-way state is left.

use super::scene::Scene;
use pgbackrest_guard_lab::Disk;
use std::fs;
use std::process::Command;

#[test]
fn a_read_only_folder_for_pgbackrests_configuration_leaves_archiving_off() {
    let scene = Scene::initialised();
    let etc = scene.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let Some(_disk) = Disk::mount(&etc, 1) else { return };
    let remount = |how: &str| assert!(Command::new("mount").args(["-o", how]).arg(&etc).status().unwrap().success());
    remount("remount,ro");
    let before = scene.everything();
    let said = scene.setup(&[]).ended(1).tells_no_secret();
    let line = said.stderr.lines().find(|line| line.contains("setup failed")).unwrap();
    assert!(line.contains(&scene.conf().display().to_string()) && line.contains("Read-only file system"), "{line}");
    assert_eq!(scene.everything(), before, "archiving stays off");
    scene.setup(&["--dry-run"]).ended(0);
    // Once all is right there, nothing has to be written.
    remount("remount,rw");
    scene.setup(&[]).ended(0);
    remount("remount,ro");
    scene.setup(&[]).ended(0).says("nothing changed");
    // What is right already stays in force when something new can't be written.
    let server = scene.read("conf.d/pgbackrest.conf");
    let scene = scene.with("WAL_ARCHIVE_BUCKET", "other-bucket");
    scene.setup(&[]).ended(1);
    assert_eq!(scene.read("conf.d/pgbackrest.conf"), server);
    // Junk needs nothing of that folder.
    scene.with("WAL_ARCHIVE_BUCKET", "${{x}}").setup(&[]).ended(0);
}

#[test]
fn junk_that_can_not_be_recorded_does_not_keep_the_server_from_booting() {
    let scene = Scene::initialised();
    scene.setup(&[]).ended(0);
    fs::create_dir(scene.data().join(".pgbackrest_invalid_bucket")).unwrap();
    let said = scene.with("WAL_ARCHIVE_BUCKET", "a b").setup(&[]).ended(0);
    assert!(said.stderr.contains(".pgbackrest_invalid_bucket") && said.stderr.contains("setup failed"), "{said:?}");
}

#[test]
fn a_full_disk_leaves_no_half_a_file() {
    let scene = Scene::new();
    let etc = scene.path().join("etc");
    fs::create_dir(&etc).unwrap();
    let (Some(conf_disk), Some(data_disk)) = (Disk::mount(&etc, 1), Disk::mount(&scene.data(), 1)) else { return };
    scene.initialise(42);
    data_disk.fill();
    let said = scene.setup(&[]).ended(1).tells_no_secret();
    assert!(said.stderr.contains("No space left on device"), "{said:?}");
    let made = |name: &str| scene.data().join(name).exists();
    assert!(!made("conf.d/pgbackrest.conf") && !made(".pgbackrest_repo_path"), "{:?}", scene.names());
    fs::remove_file(scene.data().join("filler")).unwrap();
    fs::remove_file(scene.conf()).unwrap();
    conf_disk.fill();
    scene.setup(&[]).ended(1).says("No space left on device").says("pgbackrest.conf");
    assert!(!made("conf.d/pgbackrest.conf") && !scene.conf().exists(), "{:?}", scene.names());
    assert!(scene.names().iter().all(|name| !name.contains(".new")), "{:?}", scene.names());
    fs::remove_file(etc.join("filler")).unwrap();
    scene.setup(&[]).ended(0);
    assert!(made("conf.d/pgbackrest.conf") && scene.conf().exists());
}

#[test]
fn archiving_never_keeps_a_server_from_starting() {
    let scene = Scene::initialised();
    scene.setup(&[]).ended(0);
    for (file, text) in
        [("postgresql.auto.conf", "wal_level = 'minimal'"), ("conf.d/own.conf", "Wal_Level minimal # x")]
    {
        let old = scene.read(file).unwrap_or_default();
        scene.put(file, text);
        scene.setup(&[]).ended(1).says("wal_level is minimal in").says(file).says("would not start");
        assert_eq!(scene.read("conf.d/pgbackrest.conf"), None);
        scene.put(file, &old);
        scene.setup(&[]).ended(0);
        assert!(scene.read("conf.d/pgbackrest.conf").is_some());
    }
}

#[test]
fn what_can_not_be_set_up_is_said_and_nothing_is_written() {
    let unchanged = |scene: &Scene, says: &str| {
        let before = scene.everything();
        scene.setup(&[]).ended(1).tells_no_secret().says(says);
        assert_eq!(scene.everything(), before, "{says}");
    };
    unchanged(&Scene::initialised().without("WAL_ARCHIVE_SECRET"), "WAL_ARCHIVE_SECRET is not set");
    unchanged(&Scene::initialised().without("WAL_ARCHIVE_KEY"), "WAL_ARCHIVE_KEY is not set");
    let scene = Scene::initialised();
    fs::remove_file(scene.data().join("postgresql.conf")).unwrap();
    unchanged(&scene, "can't find the postgresql.conf of");
    let scene = Scene::initialised();
    fs::remove_file(scene.data().join("global/pg_control")).unwrap();
    unchanged(&scene, "global/pg_control");
    let odd = Scene::new();
    odd.setup(&["--pgdata=/nowhere/da\nta"]).ended(1).says("/nowhere/da\\nta is not plain text");
    assert!(!odd.conf().exists());
    // The same questions are not asked when archiving is off.
    scene.with("WAL_ARCHIVE_BUCKET", "a b").setup(&[]).ended(0);
    Scene::new().without("PGDATA").setup(&[]).ended(2).says("no data directory");
    Scene::new().setup(&["--pgdata"]).ended(2);
}

#[test]
fn plain_http_needs_a_pgbackrest_that_speaks_it() {
    let scene = Scene::initialised().with("WAL_ARCHIVE_ENDPOINT", "http://127.0.0.1:1");
    let said = |version: &str| {
        let program = scene.path().join("pgbackrest");
        fs::write(&program, format!("#!/bin/sh\necho 'pgBackRest {version}'\n")).unwrap();
        Command::new("chmod").arg("755").arg(&program).status().unwrap();
        scene.setup(&["--pgbackrest", program.to_str().unwrap()])
    };
    said("2.45").ended(1).says("begins with http://").says("pgBackRest 2.45").says("2.58");
    said("2.57.0").ended(1);
    assert_eq!(scene.read("conf.d/pgbackrest.conf"), None);
    said("2.58.0").ended(0);
    assert!(fs::read_to_string(scene.conf()).unwrap().contains("repo1-s3-endpoint=http://127.0.0.1:1\n"));
    scene.setup(&["--pgbackrest=/nowhere/pgbackrest"]).ended(0).says("can't ask /nowhere/pgbackrest");
    let dots = Scene::initialised().with("WAL_ARCHIVE_BUCKET", "my.bucket");
    dots.setup(&[]).ended(0);
    assert!(dots.read("conf.d/pgbackrest.conf").is_some());
}

#[test]
fn what_is_not_given_has_the_usual_meaning_and_is_said() {
    let scene = Scene::initialised();
    let scene = ["ENDPOINT", "REGION", "KEY", "SECRET"]
        .iter()
        .fold(scene, |scene, name| scene.without(&format!("WAL_ARCHIVE_{name}")));
    let said = scene.setup(&[]).ended(0).says("Amazon's S3 is used").says("the machine's own role");
    let conf = fs::read_to_string(scene.conf()).unwrap();
    for line in ["repo1-s3-endpoint=s3.us-east-1.amazonaws.com", "repo1-s3-region=us-east-1", "repo1-s3-key-type=auto"]
    {
        assert!(conf.lines().any(|other| other == line), "{line} in {conf} {said:?}");
    }
    let scene = Scene::initialised()
        .with("WAL_ARCHIVE_PATH", "relative")
        .with("WAL_ARCHIVE_S3_URI_STYLE", "virtual")
        .with("POSTGRES_ARCHIVE_TIMEOUT", "08")
        .with("WAL_BACKUP_RETENTION_FULL", "0")
        .with("WAL_BACKUP_RETENTION_DIFF", "5gb")
        .with("PGBACKREST_BACKUP_PROCESS_MAX", "-1")
        .with("PGBACKREST_ARCHIVE_PUSH_PROCESS_MAX", "5");
    let said = scene.setup(&[]).ended(0);
    let warned = |name: &str| said.stderr.lines().filter(|line| line.contains(&format!("{name}='"))).count() == 1;
    for name in
        ["WAL_ARCHIVE_PATH", "WAL_ARCHIVE_S3_URI_STYLE", "POSTGRES_ARCHIVE_TIMEOUT", "WAL_BACKUP_RETENTION_FULL"]
    {
        assert!(warned(name), "{name} {said:?}");
    }
    let conf = fs::read_to_string(scene.conf()).unwrap();
    let processes = |command: &str, n: u32| conf.contains(&format!("[global:{command}]\nprocess-max={n}\n"));
    assert!(conf.contains("repo1-s3-uri-style=path\n") && conf.contains("repo1-retention-full=4\n"), "{conf}");
    assert!(processes("archive-push", 5) && processes("backup", 1) && processes("archive-get", 1), "{conf}");
    assert!(scene.read("conf.d/pgbackrest.conf").unwrap().contains("archive_timeout = 60\n"));
}
