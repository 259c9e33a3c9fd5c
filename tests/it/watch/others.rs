//! Backups that others take: what of theirs counts, and what is never run beside them. PostgreSQL is real.

use super::scene::{Scene, now, scene};
use pgbackrest_guard::ledger::gaps::GapState;
use std::fs;

const FULL: &str = "20261123-010000F";
const FAR: &str = "7F/2000028";
const OTHERS: (&str, &str) = ("WAL_BACKUP_TAKEN_BY", "others");

/// Neither a backup nor an expiry was run.
#[track_caller]
fn none_is_run(scene: &Scene, said: &str) {
    assert_eq!((scene.calls("backup"), scene.calls("expire")), (0, 0), "{said}");
}

#[test]
fn live_others_backups_are_waited_for_adopted_and_seal() {
    let scene = scene();
    scene.info(2, None).backup("", FULL, FAR);
    let said = scene.once(&[OTHERS]);
    assert!(said.contains("nothing can be restored: it takes a full backup, by whoever takes them"), "{said}");
    none_is_run(&scene, &said);
    assert!(!scene.state().contains("last_full_at"), "{}", scene.state());
    let said = scene.backups_are_listed(FAR).once(&[OTHERS]);
    assert!(
        said.contains("the catalog has one: it is adopted") && scene.state().contains("last_full_at=2000\n"),
        "{said}"
    );
    scene.lose("000000010000000000000001", now() - 100);
    let said = scene.once(&[OTHERS]);
    assert!(said.contains("a gap can't be healed and waits for a full backup, by whoever takes them"), "{said}");
    assert_eq!(scene.gaps(), [GapState::Open]);
    // Cron takes one.
    fs::write(scene.lab.path().join("standin/answer/made"), now().to_string()).unwrap();
    let said = scene.once(&[OTHERS]);
    assert!(said.contains("is adopted: others took it"), "{said}");
    assert_eq!(scene.gaps(), [GapState::Sealed], "{said}");
    assert!(!scene.state().contains("last_full_at=2000\n"), "{}", scene.state());
    none_is_run(&scene, &said);
}

#[test]
fn live_what_others_have_not_taken_in_time_is_said() {
    let scene = scene();
    scene.info(0, Some("false")).backup("", FULL, FAR);
    let old = now() - 700_000;
    scene.stamps(&format!("last_full_at={old}\nlast_diff_at={old}\nlast_catalog_verify_at={}\n", now()));
    let said = scene.once(&[OTHERS]);
    let words =
        "a full backup is overdue by the configured intervals (the newest ended at 1970-01-01T00:33:20Z), by whoever";
    assert!(said.contains(words), "{said}");
    none_is_run(&scene, &said);
}

#[test]
fn live_a_full_that_cron_took_makes_the_weekly_one_needless() {
    let scene = scene();
    let old = now() - 700_000;
    scene.backups_are_listed(FAR);
    fs::write(scene.lab.path().join("standin/answer/made"), (now() - 60).to_string()).unwrap();
    // The catalog is not due for a check: it is asked because a backup is.
    scene.stamps(&format!("last_full_at={old}\nlast_diff_at={old}\nlast_catalog_verify_at={}\n", now()));
    let said = scene.once(&[]);
    assert!(said.contains("the newest full backup in the catalog ended at"), "{said}");
    none_is_run(&scene, &said);
    assert!(!scene.state().contains(&format!("last_full_at={old}")), "{}", scene.state());
}

#[test]
fn live_a_repository_on_another_host_is_backed_up_there_below_2_55() {
    let scene = scene();
    let config = scene.lab.path().join("standin/pgbackrest.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("repo1-path=", "repo1-host=backup\nrepo1-path=")).unwrap();
    scene.info(2, None).backup("", FULL, FAR);
    // As newer ones do.
    scene.on("version", "[ $# = 1 ] || exit 31; echo 'pgBackRest 2.54.2'");
    let said = scene.once(&[]);
    let words = "no backup is taken here: repository 1 is on another host, and pgBackRest 2.54 takes backups on that \
                 host only (72)";
    assert_eq!(said.matches(words).count(), 1, "{said}");
    none_is_run(&scene, &said);
    scene.on("version", "echo 'pgBackRest 2.55.0'").once(&[]);
    assert_eq!(scene.calls("backup"), 1);
}

#[test]
fn live_archive_mode_always_leaves_the_backups_to_others() {
    let scene = scene();
    scene.cluster.sql("alter system set archive_mode = always");
    scene.cluster.sql("alter system set archive_command = 'true'");
    scene.cluster.restart();
    scene.info(2, None).backup("", FULL, FAR);
    let said = scene.once(&[]);
    assert!(said.contains("archive_mode is always") && said.contains("(67)"), "{said}");
    none_is_run(&scene, &said);
    // Whoever has told pgBackRest not to look may take them.
    let config = scene.lab.path().join("standin/pgbackrest.conf");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "archive-mode-check=n\n").unwrap();
    scene.once(&[]);
    assert_eq!(scene.calls("backup"), 1);
}
