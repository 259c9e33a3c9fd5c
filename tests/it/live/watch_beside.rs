//! The watcher and what lies in the archive beside this cluster's own: the timeline of a copy that archives into its origin's
//! stanza, and WAL that expiry has left.

use super::watch::{Scene, WAIT, scene};
use pgbackrest_guard_lab::{Cluster, PgBackRest};
use std::fs;
use std::time::Duration;

const VERIFY: [(&str, &str); 1] = [("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")];

fn status(scene: &Scene, output: &str) -> String {
    let mut command = scene.lab.command(&scene.guard);
    command.args(["status", output, "--pgdata"]).arg(scene.cluster.pgdata());
    command.env("PGBACKREST_CONFIG", scene.backrest.config_file());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Watches, and says what is wrong with the archive then.
fn looked_at(scene: &Scene) -> String {
    std::thread::sleep(Duration::from_millis(1100));
    scene.watch_once(&VERIFY);
    status(scene, "--output=json")
}

#[test]
fn live_watch_sees_the_timeline_of_a_copy_that_archives_into_its_origins_stanza() {
    let scene = scene();
    scene.watch_once(&[]);
    assert!(!looked_at(&scene).contains("timeline 2"));
    // The copy keeps the origin's archive_command, as a restore by hand leaves it; its pgBackRest names its own folder.
    let copy = Cluster::builder(&scene.lab).name("copy");
    let backrest = PgBackRest::builder(&scene.lab).name("pgbackrest-of-copy").postgres(&copy);
    let backrest = backrest.repo_s3(&scene.s3, "wal", super::watch::KEY, super::watch::SECRET, "/repo").write();
    let copy = scene.backrest.restore(copy.archive_command(&backrest.archive_command()), &[]);
    copy.start().unwrap();
    assert!(copy.wait_ready(WAIT) && copy.wait_promoted(WAIT), "{}", copy.log());
    copy.wait_until("its history is archived", WAIT, || scene.backrest.archived(1).contains("00000002.history"));

    let report = looked_at(&scene);
    assert!(report.contains("repository 1 holds timeline 2, which is not this server's (it is on 1)"), "{report}");
    assert!(report.contains("\"verdict\":\"warning\"") || report.contains("\"verdict\": \"warning\""), "{report}");
    assert!(status(&scene, "--output=nagios").starts_with("PGBACKREST_GUARD WARNING - repository 1 holds timeline 2"));
    assert!(status(&scene, "--output=text").contains("--target-timeline=1"));
    // What is said is so: a restore to the end of the archive goes along with the copy.
    let follower = Cluster::builder(&scene.lab).name("follower").no_archiving();
    let follower = scene.backrest.restore(follower, &[]);
    follower.start().unwrap();
    assert!(follower.wait_ready(WAIT) && follower.wait_promoted(WAIT), "{}", follower.log());
    assert_eq!(follower.sql("SELECT timeline_id FROM pg_control_checkpoint()").trim(), "3", "{}", follower.log());

    for key in scene.s3.objects("wal").iter().filter(|key| key.ends_with("00000002.history")) {
        scene.s3.remove_object("wal", key);
    }
    assert!(!looked_at(&scene).contains("timeline 2"), "{}", status(&scene, "--output=json"));
}

#[test]
fn live_watch_sees_wal_that_expiry_has_left() {
    let scene = scene();
    scene.watch_once(&[]);
    scene.backrest.backup("full");
    let config = fs::read_to_string(scene.backrest.config_file()).unwrap();
    let fewer = config.replace("repo1-retention-full=100", "repo1-retention-full=1");
    assert_ne!(config, fewer);
    fs::write(scene.backrest.config_file(), fewer).unwrap();
    // Segments before the first backup.
    let left = "older than its oldest backup, and two later backups have not removed it";
    for expected in [false, false, true] {
        let report = looked_at(&scene);
        assert_eq!(report.contains(left), expected, "{report}");
        scene.backrest.ok(&["--type=full", "--no-expire-auto", "backup"]);
    }
    scene.backrest.ok(&["expire"]);
    let report = looked_at(&scene);
    assert!(!report.contains(left), "{report}");
}
