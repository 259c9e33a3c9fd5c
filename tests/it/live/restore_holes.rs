//! What goes wrong where a cluster is restored by hand or by scripts, and that it does not here. Each hole has a number, by
//! which its tests are found (`grep -rn 'R12:' tests src`), and its line in docs/restore.md.

use super::restore::{Copy, archived, backed_up, clock, commit, rows, text};
use super::watch::{WAIT, scene_with};
use pgbackrest_guard_lab::{Fault, Operation, Operations};
use std::fs;
use std::process::Stdio;

/// R2: a transaction that is older than the newest backup, without a word on which backup to take.
#[test]
fn live_restore_to_a_transaction_takes_no_backup_that_is_newer() {
    let scene = backed_up();
    let xid = commit(&scene.cluster, 1);
    commit(&scene.cluster, 2);
    scene.backrest.backup("full");
    commit(&scene.cluster, 3);
    archived(&scene);
    let copy = Copy::of(&scene, "copy");
    let said = copy.restored(&["--to-xid", &xid]);
    assert_eq!(copy.rows(), "1", "{said}");
    // Named all the same: it says what is wrong, and nothing is promoted.
    let newest =
        scene.backrest.info().stdout.rsplit("\"label\":\"").next().unwrap().split('"').next().unwrap().to_owned();
    let named = Copy::of(&scene, "named");
    let output = named.restore(&["--to-xid", &xid, "--set", &newest]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("nothing was promoted"), "{}", text(&output));
}

/// R3: every usual form of a time is the same moment; one without an offset is refused unless it is said whose it is. What was
/// understood is printed in UTC and as this machine has it.
#[test]
fn live_restore_reads_every_usual_form_of_a_time_and_says_what_it_has_read() {
    let scene = backed_up();
    commit(&scene.cluster, 1);
    let at: jiff::Timestamp = clock(&scene.cluster).parse().unwrap();
    commit(&scene.cluster, 2);
    archived(&scene);
    // A zone whose clock is two and a half hours behind.
    let copy = Copy::of(&scene, "copy").with("TZ", "XYZ+2:30");
    let civil = |hours: i64, minutes: i64, separator: &str| {
        let there = at + jiff::SignedDuration::from_mins(hours * 60 + minutes);
        there.to_string().trim_end_matches('Z').replace('T', separator)
    };
    let plain = |arguments: &[&str]| {
        let output = copy.restore(&[arguments, &["--dry-run"]].concat());
        (output.status.code(), text(&output))
    };
    for form in [
        format!("{}Z", civil(0, 0, "T")),
        format!("{}Z", civil(0, 0, " ")),
        format!("{}.0Z", civil(0, 0, "T")),
        format!("{}.000000+00", civil(0, 0, " ")),
        format!("{} UTC", civil(0, 0, " ")),
        format!("{} GMT", civil(0, 0, " ")),
        format!("{} +00", civil(0, 0, " ")),
        format!("{}+02", civil(2, 0, " ")),
        format!("{}+0200", civil(2, 0, "T")),
        format!("{}+02:00", civil(2, 0, "T")),
        format!("{} -0430", civil(-4, -30, " ")),
    ] {
        let (code, said) = plain(&["--to", &form]);
        assert_eq!(code, Some(0), "{form}: {said}");
        assert!(said.contains(&format!("to {at} (local time {} ", civil(-2, -30, " "))), "{form}: {said}");
    }
    let local = civil(-2, -30, " ");
    for (form, words) in [
        (local.as_str(), "it has no offset from UTC"),
        (&local.replace(' ', "T"), "it has no offset from UTC"),
        (local.split(' ').next().unwrap(), "it has no offset from UTC"),
        ("yesterday", "it is not a time such as"),
        ("2026-02-30 00:00:00+00", "it is not a time such as"),
    ] {
        let (code, said) = plain(&["--to", form]);
        assert_eq!((code, said.contains(words)), (Some(2), true), "{form}: {said}");
    }
    let (code, said) = plain(&["--to", &local, "--local-time"]);
    assert_eq!((code, said.contains(&format!("to {at} (local time {local} "))), (Some(0), true), "{said}");
    // A fraction counts.
    let said = copy.restored(&["--to", &format!("{}.5Z", civil(0, 0, "T"))]);
    assert_eq!(copy.rows(), "1", "{said}");
}

/// What setup and a watcher leave in a data directory, beside the stamps and the state directory.
const LEFT: [&str; 4] =
    [".pgbackrest_gap_pending", ".pgbackrest_repo_path", ".pgbackrest_restored", "conf.d/pgbackrest.conf"];

/// R5: what a watcher has noted in the origin comes along in a backup, and does not become the copy's.
#[test]
fn live_restore_takes_the_watchers_notes_out_of_the_copy() {
    let scene = backed_up();
    let cluster = &scene.cluster;
    scene.lab.folder(cluster.pgdata().join("conf.d"));
    for name in LEFT {
        scene.lab.write_file(cluster.pgdata().join(name), "/repo\n");
    }
    scene.backrest.backup("full");
    commit(cluster, 1);
    archived(&scene);
    let copy = Copy::of(&scene, "copy");
    copy.restored(&["latest"]);
    assert!(cluster.pgdata().join(".pgbackrest_guard/ledger").exists() && copy.path().join("conf.d").exists());
    for name in LEFT.iter().chain(&[".pgbackrest_guard", ".pgbackrest_backup_state"]) {
        assert!(cluster.pgdata().join(name).exists(), "{name}");
        assert!(!copy.path().join(name).exists(), "{name}");
    }
}

/// R12: the replay fetches ahead into a spool of its own, and checkpoints rarely. Neither stays with the copy.
#[test]
fn live_restore_fetches_ahead_and_checkpoints_rarely_for_the_replay_alone() {
    let scene =
        scene_with(|backrest| backrest.archive_async(true), |postgres| postgres.setting("checkpoint_timeout", "7min"));
    let scene = super::restore::prepared(scene);
    let cluster = &scene.cluster;
    commit(cluster, 1);
    let segments = cluster.write_wal(6);
    archived(&scene);
    let spool = scene.backrest.spool_path().join("archive/main");
    let origins = || scene.lab.processes().iter().any(|process| process.command.contains("archive-push"));
    cluster.wait_until("the archiver is done", WAIT, || !origins());
    let spooled = || {
        let out = fs::read_dir(spool.join("out")).into_iter().flatten().flatten();
        let mut names: Vec<_> = out.map(|entry| entry.file_name()).collect();
        names.sort();
        (names, spool.join("in").exists())
    };
    let before = spooled();
    // One of the last segments can't be had for a while.
    let late = &segments[4];
    scene.s3.inject(Fault::status(503, "SlowDown").on(Operations::of(Operation::Get, late)));
    let tuned = Copy::of(&scene, "copy").with("WAL_GET_RETRY_SECONDS", "300");
    let tuned = tuned.with("PITR_RECOVERY_CHECKPOINT_TIMEOUT", "33min").with("PITR_RECOVERY_MAX_WAL_SIZE", "77MB");
    let child = tuned.command(&["latest"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let fetched =
        || fs::read_dir(tuned.folder().join("spool/archive/main/in")).map_or(0, |files| files.flatten().count());
    let log = || fs::read_to_string(tuned.folder().join("server.log")).unwrap_or_default();
    cluster.wait_until("it fetches ahead, and waits", WAIT, || fetched() > 0 && log().contains("could not be queried"));
    let options = fs::read_to_string(tuned.path().join("postmaster.opts")).unwrap();
    for option in ["checkpoint_timeout=33min", "max_wal_size=77MB", "archive_mode=off", "listen_addresses="] {
        assert!(options.contains(option), "{option}: {options}");
    }
    scene.s3.clear_faults();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(spooled(), before, "the origin's spool");
    // `pg_ctl restart` would take the replay's options for the server's own (pg_ctl.c, `read_post_opts`).
    assert!(!tuned.path().join("postmaster.opts").exists());
    let copy = tuned.start();
    assert_eq!(copy.sql("SHOW checkpoint_timeout"), "7min");
    assert_eq!(copy.sql("SHOW max_wal_size"), cluster.sql("SHOW max_wal_size"));
    assert_eq!(rows(&copy), "1");
}
