//! The watcher with real programs and two repositories: what one has is owed to the other, and paid out of it.

use super::scene::ledger_of;
use super::watch::{Scene, WAIT};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Archives into two folders, and gives up at the first failure.
fn scene_in_two_folders() -> (Scene, PathBuf) {
    let lab = Lab::new();
    let s3 = S3Server::start(&lab);
    let builder = Cluster::builder(&lab);
    let second = lab.path().join("second");
    let backrest = PgBackRest::builder(&lab).postgres(&builder);
    let backrest = backrest.repo_posix(&lab.path().join("first")).repo_posix(&second).write();
    let push = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
    let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let variables = "WAL_DROP_THRESHOLD_MB=0 WAL_DROP_AFTER_SECONDS=0";
    let config = backrest.config_file();
    let command = format!("{variables} PGBACKREST_CONFIG={} {} %p", config.display(), push.display());
    let cluster = builder.archive_command(&command).start();
    (Scene { lab, s3, backrest, cluster, guard }, second)
}

fn status(scene: &Scene) -> serde_json::Value {
    let mut command = scene.lab.command(&scene.guard);
    command.args(["status", "--output=json", "--pgdata"]).arg(scene.cluster.pgdata());
    command.env("PGBACKREST_CONFIG", scene.backrest.config_file());
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

fn archived_backups(scene: &Scene, repository: &str) -> usize {
    let info = scene.backrest.ok(&[&format!("--repo={repository}"), "info", "--output=json"]);
    info.matches("\"label\"").count()
}

#[test]
fn live_watch_backs_up_into_each_repository_and_a_dead_one_is_in_nobodys_way() {
    let (scene, second) = scene_in_two_folders();
    let said = scene.watch_once(&[]);
    assert!(said.contains("backup --type=full completed"), "{said}");
    assert_eq!([1, 2].map(|key| archived_backups(&scene, &key.to_string())), [1, 1], "{said}");
    assert!(!status(&scene)["reasons"].to_string().contains("there is no backup in"), "{:#}", status(&scene));
    // What is due is taken without the dead one, and no longer into one that nobody asks for.
    let away = second.with_extension("away");
    fs::rename(&second, &away).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    let due = [("WAL_BACKUP_DIFF_INTERVAL_SECONDS", "1")];
    let said = scene.watch_once(&due);
    assert!(said.contains("no backup in repository 2") && said.contains("backup --type=diff completed"), "{said}");
    let _ = fs::remove_dir_all(&second);
    fs::rename(&away, &second).unwrap();
    assert_eq!([1, 2].map(|key| archived_backups(&scene, &key.to_string())), [2, 1], "{said}");
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[due[0], ("WAL_BACKUP_REPOS", "2")]);
    assert_eq!([1, 2].map(|key| archived_backups(&scene, &key.to_string())), [2, 2], "{said}");
}

#[test]
fn live_watch_takes_the_first_full_where_only_a_second_repository_is_configured() {
    let (scene, _) = scene_in_two_folders();
    let text = fs::read_to_string(scene.backrest.config_file()).unwrap();
    let without_one: Vec<&str> = text.lines().filter(|line| !line.starts_with("repo1-")).collect();
    fs::write(scene.backrest.config_file(), without_one.join("\n") + "\n").unwrap();
    // Without checks of the catalog what it did not hold at first is known to be there now all the same.
    let said = scene.watch_once(&[("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "0")]);
    assert!(said.contains("stanza-create completed") && said.contains("backup --type=full completed"), "{said}");
    assert_eq!(status(&scene)["catalog"]["state"], "present");
    assert_eq!(status(&scene)["windows"].as_array().map(Vec::len), Some(1), "{:#}", status(&scene));
    let written = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(&written[0], WAIT);
    assert_eq!(status(&scene)["repositories"][0]["key"], 2);
    assert_eq!(status(&scene)["verdict"], "ok", "{:#}", status(&scene)["reasons"]);
}

#[test]
fn live_watch_seals_each_repository_by_a_backup_of_its_own() {
    let (scene, second) = scene_in_two_folders();
    let said = scene.watch_once(&[]);
    assert_eq!([1, 2].map(|key| archived_backups(&scene, &key.to_string())), [1, 1], "{said}");
    let folders = [scene.lab.path().join("first"), second.clone()];
    for folder in &folders {
        fs::rename(folder, folder.with_extension("away")).unwrap();
    }
    let lost = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(&lost[0], WAIT);
    scene.cluster.sql("CHECKPOINT");
    let _ = fs::remove_file(scene.cluster.pg_wal().join(&lost[0]));
    let back = |folder: &PathBuf| {
        let _ = fs::remove_dir_all(folder);
        fs::rename(folder.with_extension("away"), folder).unwrap();
    };
    back(&folders[0]);
    std::thread::sleep(Duration::from_millis(1100));
    let patience = [("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0")];
    let said = scene.watch_once(&patience);
    let of_gap = || {
        let gaps = ledger_of(scene.cluster.pgdata()).unwrap().gaps;
        // The backup that went into the first one is owed to the second.
        let gaps = gaps.iter().filter(|gap| gap.first.to_string() == lost[0]);
        gaps.map(|gap| (gap.state, gap.repositories.clone(), gap.sealed_in.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_gap(), [(GapState::Open, None, vec![1])], "{said}");
    assert_eq!(archived_backups(&scene, "1"), 2, "{said}");
    let reasons = status(&scene)["reasons"].to_string();
    assert!(reasons.contains("no backup since a gap in repository 2") && !reasons.contains("open gap"), "{reasons}");
    back(&folders[1]);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&patience);
    assert_eq!(of_gap(), [(GapState::Sealed, None, vec![1, 2])], "{said}");
    assert_eq!(
        [1, 2].map(|key| archived_backups(&scene, &key.to_string())),
        [2, 2],
        "none but where it is needed: {said}"
    );
}

#[test]
fn live_watch_pays_a_repository_out_of_the_other() {
    let (scene, second) = scene_in_two_folders();
    let said = scene.watch_once(&[]);
    assert!(said.contains("completed"), "{said}");
    let away = second.with_extension("away");
    fs::rename(&second, &away).unwrap();
    let owed = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(owed.last().unwrap(), WAIT);
    assert_eq!(scene.states(), [(GapState::Open, 2)]);
    std::thread::sleep(Duration::from_millis(1100));
    let backups = scene.backups();
    scene.watch_once(&[]);
    let gaps = ledger_of(scene.cluster.pgdata()).unwrap().gaps;
    let lacking: Vec<_> = gaps.open().map(|gap| gap.repositories.clone()).collect();
    assert_eq!(lacking, [Some(vec![2])], "the first one has them");
    assert_eq!(scene.backups(), backups, "a debt is worth no backup");
    let report = status(&scene);
    assert_eq!(report["verdict"], "warning", "{:#}", report["reasons"]);
    assert!(report["reasons"].to_string().contains("owed to repository 2"), "{:#}", report["reasons"]);
    assert_eq!(report["gaps"][0]["repositories"], serde_json::json!([2]));
    // They are in pg_wal no more when the second one is back.
    scene.cluster.sql("CHECKPOINT");
    for name in &owed {
        let _ = fs::remove_file(scene.cluster.pg_wal().join(name));
    }
    let _ = fs::remove_dir_all(&second);
    fs::rename(&away, &second).unwrap();
    let said = scene.watch_once(&[("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0")]);
    assert_eq!(scene.states(), [(GapState::Healed, 2)], "{said}");
    let there = scene.backrest.archived(2);
    assert!(owed.iter().all(|name| there.contains(name)), "{there:?}");
    let after = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(&after[0], WAIT);
    scene.watch_once(&[]);
    let report = status(&scene);
    assert_eq!(report["repositories"][1]["owed_segments"], 0, "{:#}", report["repositories"]);
    assert!(!report["reasons"].to_string().contains("owed"), "{:#}", report["reasons"]);
}
