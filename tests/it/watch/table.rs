//! The watcher's table: each case is what pgBackRest answers, and what must follow. PostgreSQL is real.

use super::scene::{SOON, Scene, now, scene};
use pgbackrest_guard::ledger::gaps::GapState;
use pgbackrest_guard_lab::{Cluster, Lab, Signal, StopMode};
use std::fs;
use std::thread;
use std::time::Duration;

const FULL: &str = "20261123-010000F";
const FAR: &str = "7F/2000028";
const VERIFY_NOW: (&str, &str) = ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "1");

#[test]
fn live_only_code_two_is_conclusive_and_nothing_else_clears_the_record() {
    let scene = scene();
    scene.backup("", FULL, FAR);
    let stamps = "last_full_at=1790000000\nlast_diff_at=1790000000\ntheirs=kept\n";
    let quiet = [VERIFY_NOW, ("WAL_BACKUP_FULL_INTERVAL_SECONDS", "0"), ("WAL_BACKUP_DIFF_INTERVAL_SECONDS", "0")];
    for code in [0, 1, 3, 4, 5, 6, 99] {
        let said = scene.info(code, None).stamps(stamps).once(&quiet);
        assert!(said.contains("catalog check inconclusive"), "{code}: {said}");
        assert!(code == 0 || said.contains(&format!("the words of {code}")), "{code}: {said}");
        assert!(scene.state().contains("last_full_at=1790000000"), "{code}");
        assert!(!scene.state().contains("last_catalog_verify_at"), "{code}");
    }
    for answer in ["echo '[{'", "echo '[]'", "printf '\\377\\376'", "exit 31", "kill -9 $$"] {
        let said = scene.on("info", answer).stamps(stamps).once(&quiet);
        assert!(said.contains("catalog check inconclusive"), "{answer}: {said}");
    }
    assert_eq!((scene.calls("backup"), scene.calls("stanza-create")), (0, 0));
    let said = scene.info(2, None).stamps(stamps).once(&quiet);
    assert!(said.contains("catalog shows no full backup despite local state"), "{said}");
    assert!(said.contains("running pgbackrest backup --type=full"), "{said}");
    assert!(said.contains("backup --type=full completed"), "{said}");
    assert!(scene.state().contains("theirs=kept") && !scene.state().contains("=1790000000"), "{}", scene.state());
}

#[test]
fn live_a_full_counts_only_if_it_is_this_clusters_and_without_error() {
    let scene = scene();
    let said = scene.info(0, Some("false")).once(&[]);
    assert!(said.contains("it is adopted") && scene.state().contains("last_full_at=2000\n"), "{said}");
    scene.stamps("");
    for said in [scene.info(0, Some("true")).once(&[]), scene.info_of(7, 0, Some("false")).once(&[])] {
        assert!(said.contains("catalog check inconclusive"), "{said}");
        assert!(!scene.state().contains("last_full_at"), "{}", scene.state());
    }
    assert_eq!(scene.calls("backup"), 0);
}

#[test]
fn live_a_verify_interval_of_nothing_is_never_but_the_first_full_asks() {
    let scene = scene();
    scene.info(2, None).backup("", FULL, FAR).stamps("last_full_at=1\n");
    let never = [
        ("WAL_BACKUP_CATALOG_VERIFY_INTERVAL_SECONDS", "0"),
        ("WAL_BACKUP_FULL_INTERVAL_SECONDS", "0"),
        ("WAL_BACKUP_DIFF_INTERVAL_SECONDS", "0"),
    ];
    // Where the backups begin must be known to walk the listing; nothing is concluded of them.
    scene.once(&never);
    assert_eq!((scene.calls("backup"), scene.state().contains("last_catalog_verify_at")), (0, false));
    scene.stamps("").once(&never);
    assert_eq!((scene.calls("backup"), scene.calls("expire")), (1, 1));
}

#[test]
fn live_corrupt_future_and_foreign_stamps_count_as_unset() {
    let scene = scene();
    scene.info(0, Some("false"));
    let said = scene.stamps("last_full_at=17O0\n").once(&[]);
    assert_eq!(said.matches("is not a number and counts as unset").count(), 1, "{said}");
    assert!(scene.state().contains("last_full_at=2000\n"), "{}", scene.state());
    scene.stamps(&format!("last_full_at={}\n", now() + 1000)).once(&[]);
    assert!(scene.state().contains("last_full_at=2000\n"), "{}", scene.state());
    let said = scene.stamps(&format!("last_full_at={}\nguard_system_id=1\n", now())).once(&[]);
    assert!(said.contains("belongs to another cluster"), "{said}");
    assert!(scene.state().contains("last_full_at=2000\n"), "{}", scene.state());
    // The scripts' file has no such key: it is adopted.
    let mine = format!("last_full_at={}\n", now());
    scene.stamps(&mine).once(&[]);
    assert!(scene.state().contains(mine.trim()), "{}", scene.state());
}

#[test]
fn live_a_failed_backup_waits_and_the_type_that_was_made_is_recorded() {
    let scene = scene();
    scene.info(2, None).on("backup", "echo 'P00  ERROR: [055]: the words' >&2\nexit 55\n");
    let watcher = scene.start(&[("WAL_BACKUP_RETRY_BACKOFF_SECONDS", "600")]);
    watcher.wait_for("backup --type=full failed: pgBackRest 55");
    std::thread::sleep(Duration::from_secs(3));
    let said = watcher.end();
    assert_eq!(scene.calls("backup"), 1, "{said}");
    let old = now() - 90_000;
    scene.stamps(&format!("last_full_at={old}\nlast_diff_at={old}\nlast_catalog_verify_at={}\n", now()));
    let said = scene.backup("", FULL, FAR).on("expire", "exit 82").once(&[]);
    assert!(said.contains("running pgbackrest backup --type=diff"), "{said}");
    assert!(said.contains("backup --type=full completed") && said.contains("expire failed"), "{said}");
    assert!(!scene.state().contains(&format!("last_full_at={old}")), "{}", scene.state());
}

#[test]
fn live_a_backup_that_stands_still_is_ended() {
    let scene = scene();
    scene.info(2, None).on("backup", "while :; do sleep 1; done\n");
    let said = scene.once(&[("WAL_BACKUP_STALL_SECONDS", "3")]);
    assert!(said.contains("backup --type=full failed: pgBackRest was ended: stalled"), "{said}");
}

#[test]
fn live_a_gap_is_sealed_by_a_backup_that_starts_after_it_and_by_no_other() {
    let scene = scene();
    scene.all_is_well().lose("000000010000000000000001", now() - 100);
    let said = scene.backup("", FULL, "0/28").once(&[]);
    assert!(said.contains("running pgbackrest backup --type=full"), "{said}");
    assert_eq!(scene.gaps(), [GapState::Open], "it began before the gap's end");
    let said = scene.backup("", FULL, FAR).once(&[]);
    assert_eq!(scene.gaps(), [GapState::Sealed], "{said}");
}

#[test]
fn live_a_loss_and_a_marker_during_a_backup_stay() {
    let scene = scene();
    scene.all_is_well();
    fs::write(scene.marker(), "somebody's\n").unwrap();
    scene.lab.give(&scene.marker());
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.backup(&format!("sleep 2; touch '{}'", scene.marker().display()), FULL, FAR).once(&[]);
    assert!(scene.marker().exists(), "{said}");
    std::thread::sleep(Duration::from_millis(1100));
    let said = scene.backup("", FULL, FAR).once(&[]);
    assert!(said.contains("cleared gap marker") && !scene.marker().exists(), "{said}");
    scene.info(0, Some("false")).backup("sleep 4", FULL, FAR).stamps("last_full_at=5\nlast_catalog_verify_at=5\n");
    let watcher = scene.start(&[]);
    watcher.wait_for("running pgbackrest backup");
    std::thread::sleep(Duration::from_millis(1500));
    scene.lose("000000010000000000000001", now());
    watcher.wait_for("backup --type=full completed");
    assert_eq!(scene.gaps(), [GapState::Open], "{}", watcher.said());
}

#[test]
fn live_the_heartbeat_goes_on_beside_a_backup_and_sigterm_ends_both() {
    let scene = scene();
    let lsn = || scene.cluster.sql("select pg_current_wal_insert_lsn()");
    scene.info(2, None).on("backup", "sleep 307 & sleep 307\n");
    let watcher = scene.start(&[]);
    watcher.wait_for("running pgbackrest backup");
    let before = lsn();
    scene.cluster.wait_until("the heartbeat goes on", SOON, || lsn() != before);
    watcher.end();
    assert!(scene.lab.processes().iter().all(|process| !format!("{process:?}").contains("sleep")), "left behind");
}

#[test]
fn live_sigterm_ends_the_watcher_while_pgbackrest_or_postgresql_hangs() {
    let scene = scene();
    scene.on("info", "trap '' TERM\nwhile :; do sleep 0.1; done\n");
    let watcher = scene.start(&[]);
    scene.cluster.wait_until("info is asked", SOON, || scene.calls("info") > 0);
    watcher.end();
    let watcher = scene.all_is_well().start(&[]);
    watcher.wait_for("watching a primary");
    let pid = scene.cluster.pid().unwrap();
    Lab::signal(pid, Signal::STOP);
    std::thread::sleep(Duration::from_millis(1500));
    watcher.end();
    Lab::signal(pid, Signal::CONT);
}

#[test]
fn live_without_a_server_or_archiving_nothing_is_done() {
    let scene = scene();
    let said = scene.once(&[("WAL_ARCHIVE_BUCKET", "")]);
    assert!(said.contains("archiving is switched off"), "{said}");
    scene.cluster.stop(StopMode::Fast);
    let watcher = scene.start(&[]);
    watcher.wait_for("iteration skipped: PostgreSQL does not answer");
    std::thread::sleep(Duration::from_secs(3));
    let said = watcher.end();
    assert_eq!(said.matches("iteration skipped").count(), 1, "{said}");
    let said = scene.once(&[]);
    assert!(said.contains("iteration skipped"), "{said}");
    assert!(!scene.cluster.pgdata().join(".pgbackrest_guard").exists());
    assert_eq!(scene.calls("info"), 0);
}

#[test]
fn live_a_file_that_the_repository_holds_with_other_content_blocks_no_other() {
    let scene = scene();
    let overflow = scene.lab.folder("overflow");
    let [bad, good] = ["000000010000000000000003", "000000010000000000000004"];
    for name in [bad, good] {
        scene.lab.write_file(format!("overflow/{name}"), "x");
    }
    let script = format!("case \"$*\" in *{bad}) echo 'P00  ERROR: [045]: other content' >&2; exit 45 ;; esac\n");
    scene.info(0, Some("false")).all_is_well().on("archive-push", &script).on("repo-ls", "exit 0");
    let variables = [("WAL_OVERFLOW_DIR", overflow.to_str().unwrap())];
    let said = scene.once(&variables);
    assert!(said.contains("does not list it") && overflow.join(good).exists(), "no proof: {said}");
    let said =
        scene.on("repo-ls", &format!("echo {good}-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst")).once(&variables);
    assert!(said.contains(&format!("{bad} can't be pushed again and is left where it is: pgBackRest 45")), "{said}");
    assert!(said.contains(&format!("{good} is stored")), "{said}");
    assert!(overflow.join(bad).exists() && !overflow.join(good).exists());
}

#[test]
fn live_a_backup_that_says_nothing_is_one_all_the_same() {
    let scene = scene();
    scene.all_is_well().lose("000000010000000000000001", now() - 100);
    let said = scene.info(0, Some("false")).on("backup", "exit 0").once(&[]);
    assert!(said.contains("backup --type=full completed: a full backup of "), "{said}");
    assert_eq!(scene.gaps(), [GapState::Sealed], "it began where WAL was written to by then, or later");
    assert!(scene.state().contains("last_full_at="), "{}", scene.state());
}

#[test]
fn live_a_backup_on_another_timeline_seals_nothing() {
    let scene = scene();
    scene.backups_are_listed("7F/2000028").all_is_well().lose("000000010000000000000001", now() - 100);
    let made = scene.lab.path().join("standin/answer/made");
    fs::write(&made, now().to_string()).unwrap();
    // Somebody's copy of the cluster was promoted, and archives here too.
    let foreign = fs::read_to_string(scene.lab.path().join("standin/answer/info.sh")).unwrap();
    scene.on(
        "info",
        &foreign.replace("\"start\":\"000000010000000000000001\"", "\"start\":\"000000020000000000000001\""),
    );
    let said = scene.on("backup", "exit 55").once(&[]);
    assert!(said.contains("running pgbackrest backup --type=full") && !said.contains("sealed by"), "{said}");
    assert_eq!(scene.gaps(), [GapState::Open]);
}

fn lock(scene: &Scene, name: &str) -> fs::File {
    let file = fs::File::create(scene.lab.path().join("standin/lock").join(name)).unwrap();
    fs2::FileExt::try_lock_exclusive(&file).unwrap();
    file
}

/// A push that fails for want of the stanza holds it for most of a second, and the next one begins a second later.
#[test]
fn live_a_stanza_is_created_once_the_push_that_lacks_it_has_ended() {
    let scene = scene();
    let archive = lock(&scene, "main-archive.lock");
    let push = thread::spawn(move || {
        thread::sleep(Duration::from_millis(1500));
        drop(archive);
    });
    let said = scene.info(1, None).once(&[]);
    push.join().unwrap();
    assert!(!said.contains("catalog check inconclusive") && scene.calls("stanza-create") == 1, "{said}");
}

/// It may also begin between that look and stanza-create, which then ends with 50.
#[test]
fn live_a_stanza_is_created_though_a_push_takes_the_lock_first() {
    let scene = scene();
    let mark = scene.lab.path().join("standin/answer/locked");
    scene.on("stanza-create", &format!("[ -e {0} ] || {{ touch {0}; exit 50; }}", mark.display()));
    let said = scene.info(1, None).once(&[]);
    assert!(said.contains("stanza-create completed") && scene.calls("stanza-create") == 2, "{said}");
    // No other failure is tried again at once.
    let said = scene.on("stanza-create", "exit 41").stamps("").info(1, None).once(&[]);
    assert!(said.contains("the stanza can't be created") && scene.calls("stanza-create") == 3, "{said}");
}

#[test]
fn live_no_stanza_is_created_and_no_backup_begun_while_somebody_holds_the_lock() {
    let scene = scene();
    let lock = |name| lock(&scene, name);
    let archive = lock("main-archive.lock");
    let said = scene.info(1, None).once(&[]);
    assert!(said.contains("catalog check inconclusive"), "{said}");
    assert_eq!(scene.calls("stanza-create"), 0);
    drop(archive);
    let backup = lock("main-backup.lock");
    let said = scene.info(2, None).once(&[]);
    assert!(said.contains("another process holds pgBackRest's backup lock"), "{said}");
    assert_eq!(scene.calls("backup"), 0);
    drop(backup);
    scene.backup("", FULL, FAR).once(&[]);
    assert_eq!(scene.calls("backup"), 1);
}

#[test]
fn live_another_servers_answers_are_nobodys_orders() {
    let scene = scene();
    let other = Cluster::builder(&scene.lab).name("other").no_archiving().start();
    let port = other.port().to_string();
    let said = scene.info(2, None).once(&[("PGPORT", &port), ("PGHOST", other.socket_dir().to_str().unwrap())]);
    assert!(said.contains("the server that answers is not the one of"), "{said}");
    let signal = scene.cluster.pgdata().join("standby.signal");
    fs::write(&signal, "").unwrap();
    let said = scene.once(&[]);
    assert!(said.contains("this data directory is a standby's, though a primary answers"), "{said}");
    assert!(!scene.cluster.pgdata().join(".pgbackrest_guard").exists());
    assert_eq!((scene.calls("info"), scene.calls("backup")), (0, 0));
}
