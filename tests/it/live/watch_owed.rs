//! The watcher with real programs and two repositories: what one has is owed to the other, and paid out of it.

use super::scene::ledger_of;
use super::watch::{Scene, WAIT};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server};
use std::fs;
use std::path::{Path, PathBuf};
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
fn live_watch_pays_a_repository_out_of_the_other() {
    let (scene, second) = scene_in_two_folders();
    let said = scene.watch_once(&[]);
    assert!(said.contains("completed"), "{said}");
    let away = second.with_extension("away");
    fs::rename(&second, &away).unwrap();
    let owed = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(owed.last().unwrap(), WAIT);
    assert_eq!(scene.states(), [(GapState::Open, 2)], "push does not know who has them");
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

#[test]
fn live_watch_seals_a_gap_for_each_repository_by_its_own_backup() {
    let (scene, second) = scene_in_two_folders();
    scene.watch_once(&[]);
    let first = second.with_file_name("first");
    let move_away = |folder: &Path| fs::rename(folder, folder.with_extension("away")).unwrap();
    let bring_back = |folder: &Path| {
        let _ = fs::remove_dir_all(folder);
        fs::rename(folder.with_extension("away"), folder).unwrap();
    };
    move_away(&first);
    move_away(&second);
    let lost = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(lost.last().unwrap(), WAIT);
    scene.cluster.sql("CHECKPOINT");
    for name in &lost {
        let _ = fs::remove_file(scene.cluster.pg_wal().join(name));
    }
    // WAL gets into both again, backups into the first one alone.
    bring_back(&first);
    bring_back(&second);
    let backups_of_second = second.join("backup");
    move_away(&backups_of_second);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&[("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0")]);
    assert!(said.contains("no backup in repository 2") && said.contains("in repository 1"), "{said}");
    // As long as the second one can't be read nothing is tried.
    let backups = archived_backups(&scene, "1");
    let asked = [("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "0"), ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1")];
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&asked);
    assert!(!said.contains("running pgbackrest backup"), "{said}");
    let state = ledger_of(scene.cluster.pgdata()).unwrap();
    let gap = state.gaps.open_gap_of(lost[0].parse().unwrap(), false, state.segment_size());
    assert_eq!(gap.map(|gap| &gap.sealed_in), Some(&vec![1]), "a restore from the second one still needs it: {said}");
    let report = status(&scene);
    assert_eq!(report["verdict"], "warning", "{:#}", report["reasons"]);
    assert!(report["reasons"].to_string().contains("no backup since a gap in repository 2"), "{:#}", report["reasons"]);
    bring_back(&backups_of_second);
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.watch_once(&asked);
    assert!(said.contains("a gap is sealed in another repository alone"), "{said}");
    let state = ledger_of(scene.cluster.pgdata()).unwrap();
    let is_open = |name: &String| state.gaps.open_gap_of(name.parse().unwrap(), false, state.segment_size()).is_some();
    assert!(!lost.iter().any(is_open), "{said}");
    // It then gets its own, and the first one no other.
    assert_eq!([archived_backups(&scene, "1"), archived_backups(&scene, "2")], [backups, 2], "{said}");
}
