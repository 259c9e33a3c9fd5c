//! A container's life on one volume: first start, stop, restart, junk, another bucket, another cluster, SIGKILL.

use crate::container::{BUCKET, Options, Scene};
use crate::engine::Engine;
use crate::say;
use pgbackrest_guard_lab::{Fault, FaultKind};
use std::fs;

const SUPERUSER: &str = "postgres";

pub(crate) fn life(engine: &Engine) {
    let scene = Scene::new(engine);
    let first = scene.start();
    first.is_well();
    first.archives(SUPERUSER);
    let data = engine.data_in(&scene.volume);
    let path = fs::read_to_string(data.join(".pgbackrest_repo_path")).unwrap();
    say("first start: initdb, the hook, the server, a full backup, a segment archived, status says ok");
    let (code, took) = first.stop();
    assert_eq!(code, "0", "{}", first.log());
    say(&format!("stop: code 0 after {:.1} s", took.as_secs_f64()));
    first.again();
    first.archives(SUPERUSER);
    say("the same container started again archives");
    first.stop();
    drop(first);

    let junk = scene.start_where("WAL_ARCHIVE_BUCKET", "${{bucket.BUCKET}}");
    junk.is_up(SUPERUSER);
    assert_eq!(junk.status("/archiving/invalid_bucket"), "unresolved-template-ref", "{}", junk.log());
    assert_eq!(junk.status("/verdict"), "critical");
    assert_eq!(junk.sql(SUPERUSER, "show archive_mode"), "off");
    say("junk for a bucket on a volume with a cluster: the server runs without archiving, status is critical");
    junk.stop();
    drop(junk);

    let valid = scene.start();
    valid.archives(SUPERUSER);
    valid.is_well();
    assert_eq!(fs::read_to_string(data.join(".pgbackrest_repo_path")).unwrap(), path);
    say("valid again: it archives, to the path that it had");
    valid.stop();
    drop(valid);

    scene.s3.create_bucket("another-archive");
    let other = scene.start_where("WAL_ARCHIVE_BUCKET", "another-archive");
    other.archives_to(SUPERUSER, "another-archive");
    other.is_well();
    say("another bucket: a stanza and a full backup there");
    other.stop();
}

pub(crate) fn wiped_and_killed(engine: &Engine) {
    let scene = Scene::new(engine);
    let first = scene.start();
    first.is_well();
    first.archives(SUPERUSER);
    first.kill();
    first.again();
    first.archives(SUPERUSER);
    first.is_well();
    say("killed by SIGKILL and started again: it archives, status says ok");
    first.stop();
    drop(first);
    let data = engine.data_in(&scene.volume);
    let path = fs::read_to_string(data.join(".pgbackrest_repo_path")).unwrap();
    for entry in fs::read_dir(&scene.volume).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    let second = scene.start();
    second.is_well();
    second.archives(SUPERUSER);
    assert_ne!(fs::read_to_string(data.join(".pgbackrest_repo_path")).unwrap(), path);
    say("on the wiped volume a new cluster archives to a path of its own; the old one's backups stay");
}

pub(crate) fn junk_before_initdb(engine: &Engine) {
    let scene = Scene::new(engine);
    let junk = scene.start_where("WAL_ARCHIVE_BUCKET", "not a bucket");
    junk.is_up(SUPERUSER);
    assert_eq!(junk.status("/archiving/invalid_bucket"), "whitespace", "{}", junk.log());
    say("junk for a bucket before initdb: a cluster without archiving, status says why");
    junk.stop();
    drop(junk);
    let unset = scene.start_with(&Options {
        without: vec![
            "WAL_ARCHIVE_BUCKET",
            "WAL_ARCHIVE_ENDPOINT",
            "WAL_ARCHIVE_REGION",
            "WAL_ARCHIVE_KEY",
            "WAL_ARCHIVE_SECRET",
        ],
        ..Options::default()
    });
    unset.is_up(SUPERUSER);
    let reasons = unset.status("/reasons").to_string();
    assert!(unset.status("/verdict") == "warning" && reasons.contains("nothing asks for it"), "{reasons}");
    say("no variable at all: a warning that nothing asks for archiving");
    unset.stop();
    drop(unset);
    let valid = scene.start();
    valid.is_well();
    valid.archives(SUPERUSER);
    say("valid later: it archives");
}

pub(crate) fn stop_while_hanging(engine: &Engine) {
    let scene = Scene::new(engine);
    let container = scene.start();
    container.is_well();
    container.archives(SUPERUSER);
    let hang = scene.s3.inject(Fault::new(FaultKind::Hang));
    container.sql(SUPERUSER, "select pg_logical_emit_message(false, '', 'x'); select pg_switch_wal()");
    container.wait("a file waits", |container| container.status("/archiving/backlog_segments") != 0);
    let (code, took) = container.stop();
    // After ten seconds the engine itself would have killed it: 137.
    assert_eq!(code, "0", "after {took:?}: {}", container.log());
    say(&format!("stop while the store hangs: code 0 before the engine lost patience, {:.1} s", took.as_secs_f64()));
    scene.s3.remove(hang);
    container.again();
    container.archives(SUPERUSER);
    container.is_well();
    assert_eq!(container.status("/gaps"), serde_json::json!([]));
    assert!(!scene.s3.objects(BUCKET).is_empty());
    say("started again: what waited is archived, nothing is lost");
}
