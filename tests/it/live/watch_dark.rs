//! The watcher with real programs, and a catalog that can't be trusted: nothing is cleared, no backup is begun.

use super::watch::{KEY, SECRET, Scene, WAIT, scene, scene_with};
use pgbackrest_guard_lab::{Cluster, Fault, FaultKind, PgBackRest, PgBackRestBuilder};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// The catalog is asked, and a backup is due.
const ALL_IS_DUE: [(&str, &str); 2] =
    [("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1"), ("WAL_BACKUP_FULL_INTERVAL_SECONDS", "1")];
const A_SECOND: Duration = Duration::from_millis(1100);

fn impatient(backrest: PgBackRestBuilder) -> PgBackRestBuilder {
    backrest.option("global", "io-timeout", "1")
}

/// One poll, which must find the catalog inconclusive and say these words of pgBackRest's.
#[track_caller]
fn is_inconclusive(scene: &Scene, what: &str, words: &str, variables: &[(&str, &str)]) {
    let state = || fs::read_to_string(scene.cluster.pgdata().join(".pgbackrest_backup_state")).unwrap();
    let before = state();
    sleep(A_SECOND);
    let said = scene.watch_once(&[&ALL_IS_DUE, variables].concat());
    assert!(said.contains("catalog check inconclusive") && said.contains(words), "{what}: {said}");
    assert!(!said.contains("running pgbackrest backup") && !said.contains("stanza-create completed"), "{what}: {said}");
    assert_eq!(state(), before, "{what}");
}

/// A node without stamps, and a path that is mistyped, or a folder that is not mounted: that looks like a new repository.
#[test]
fn live_watch_creates_no_stanza_for_a_cluster_that_has_archived_before() {
    let scene = scene();
    let said = scene.watch_once(&[]);
    assert!(said.contains("stanza-create completed"), "{said}");
    let written = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(&written[0], WAIT);
    fs::remove_file(scene.cluster.pgdata().join(".pgbackrest_backup_state")).unwrap();
    let config = fs::read_to_string(scene.backrest.config_file()).unwrap();
    fs::write(scene.backrest.config_file(), config.replace("repo1-path=/repo", "repo1-path=/rope")).unwrap();
    let said = scene.watch_once(&[]);
    assert!(said.contains("no stanza is created") && said.contains("--create-stanza"), "{said}");
    let made = |scene: &Scene| scene.s3.objects("wal").iter().any(|name| name.contains("rope"));
    assert!(!made(&scene), "{said}");
    let mut asked = scene.watcher(&scene.cluster, &[]);
    let said = asked.args(["--once", "--create-stanza"]).output().unwrap();
    assert!(made(&scene), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn live_watch_clears_nothing_and_begins_nothing_while_the_store_can_not_be_asked() {
    let scene = scene_with(impatient, |postgres| postgres);
    scene.watch_once(&[]);
    scene.s3.revoke_key(KEY);
    is_inconclusive(&scene, "the key is revoked", "InvalidAccessKeyId", &[]);
    scene.s3.restore_key(KEY);
    scene.s3.delete_bucket("wal");
    is_inconclusive(&scene, "the bucket is gone", "NoSuchBucket", &[]);
    scene.s3.restore_bucket("wal");
    for (what, fault, words) in [
        ("it refuses", Fault::new(FaultKind::Refuse), "HostConnectError"),
        ("it hangs", Fault::new(FaultKind::Hang), "timeout"),
        ("it answers 500", Fault::status(500, "InternalError"), "[500]"),
        ("it denies", Fault::status(403, "AccessDenied"), "AccessDenied"),
    ] {
        scene.s3.inject(fault);
        is_inconclusive(&scene, what, words, &[]);
        scene.s3.clear_faults();
    }
    let wrong = PgBackRest::builder(&scene.lab).name("elsewhere");
    let postgres = Cluster::builder(&scene.lab);
    let wrong = wrong.pg_path(scene.cluster.pgdata(), scene.cluster.port(), postgres.socket_dir());
    let wrong = wrong.repo_s3(&scene.s3, "wal", KEY, SECRET, "/elsewhere").write();
    // A repository that is named wrongly is asked at once, and forgets nothing.
    let state = scene.cluster.pgdata().join(".pgbackrest_backup_state");
    let kept = fs::read_to_string(&state).unwrap();
    let stamps = kept.lines().filter(|line| line.starts_with("last_full_at") || line.starts_with("last_diff_at"));
    let said = scene.watch_once(&[("PGBACKREST_CONFIG", wrong.config_file().to_str().unwrap())]);
    assert!(said.contains("catalog check inconclusive: repo1: code 1, missing stanza path"), "{said}");
    assert!(!said.contains("running pgbackrest backup") && !said.contains("stanza-create completed"), "{said}");
    let now = fs::read_to_string(&state).unwrap();
    assert!(stamps.clone().count() == 2 && stamps.clone().all(|line| now.contains(line)), "{kept}\n{now}");
    sleep(A_SECOND);
    let said = scene.watch_once(&ALL_IS_DUE[..1]);
    assert!(said.contains("catalog verified"), "{said}");
}

#[test]
fn live_watch_concludes_nothing_from_what_a_wrong_passphrase_makes_of_the_catalog() {
    let cipher = |pass: &'static str| {
        move |backrest: PgBackRestBuilder| {
            impatient(backrest).option("global", "repo1-cipher-type", "aes-256-cbc").option(
                "global",
                "repo1-cipher-pass",
                pass,
            )
        }
    };
    let scene = scene_with(cipher("right"), |postgres| postgres);
    scene.watch_once(&[]);
    let config = scene.backrest.config_file();
    let text = fs::read_to_string(&config).unwrap();
    // What comes out of it is another nonsense each time: valid JSON, invalid JSON, no UTF-8.
    for pass in ["wrong", "other", "third", "fourth", "fifth"] {
        fs::write(&config, text.replace("cipher-pass=right", &format!("cipher-pass={pass}"))).unwrap();
        is_inconclusive(&scene, pass, "", &[]);
    }
    fs::write(&config, text).unwrap();
    sleep(A_SECOND);
    let said = scene.watch_once(&ALL_IS_DUE[..1]);
    assert!(said.contains("catalog verified"), "{said}");
}
