//! The watcher with real programs: "already exists" is no proof. pgBackRest compares names, and what lies under a name may be
//! other content.

use super::scene::ledger_of;
use super::watch::{Scene, WAIT, scene};
use pgbackrest_guard::ledger::gaps::{Cause, GapState};
use pgbackrest_guard::wal::SegmentName;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

const A_SECOND: Duration = Duration::from_millis(1100);

/// The open gaps: first and last segment, and the cause.
fn open(scene: &Scene) -> Vec<(String, String, Cause)> {
    let state = ledger_of(scene.cluster.pgdata()).unwrap();
    state.gaps.open().map(|gap| (gap.first.to_string(), gap.last.to_string(), gap.cause)).collect()
}

/// What `status` says.
fn status(scene: &Scene, form: &str) -> String {
    let mut command = scene.lab.command(&scene.guard);
    command.args(["status", form, "--pgdata"]).arg(scene.cluster.pgdata());
    command.env("PGBACKREST_CONFIG", scene.backrest.config_file()).env("PGUSER", "postgres");
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The key of a segment's object.
fn object(scene: &Scene, segment: &str) -> String {
    let objects = scene.s3.objects("wal");
    objects.into_iter().find(|object| object.contains(&format!("/{segment}-"))).unwrap()
}

/// What an async process leaves that held a segment when PostgreSQL recycled it: other bytes under the old checksum.
fn spoil(scene: &Scene, segment: &str) -> String {
    let key = object(scene, segment);
    let mut bytes = scene.s3.object_bytes("wal", &key);
    let half = bytes.len() / 2;
    bytes[half..].fill(0x5a);
    scene.s3.put_object("wal", &key, &bytes);
    key
}

#[test]
fn live_watch_keeps_its_copy_where_the_archive_holds_other_content_under_the_name() {
    let scene = scene();
    scene.watch_once(&[]);
    let overflow = scene.lab.folder("overflow");
    let variables = [("WAL_OVERFLOW_DIR", overflow.to_str().unwrap())];
    let written = scene.cluster.write_wal(2);
    scene.cluster.wait_archived(written.last().unwrap(), WAIT);
    // As push leaves them that gave them up while they were on their way: the right one is kept, and the name is in the archive.
    for name in &written {
        fs::copy(scene.cluster.pg_wal().join(name), overflow.join(name)).unwrap();
        scene.lab.give(&overflow.join(name));
    }
    let wrong = spoil(&scene, &written[0]);
    sleep(A_SECOND);
    let said = scene.watch_once(&variables);
    assert!(
        said.contains("holds other content under the name") && said.contains(wrong.rsplit('/').next().unwrap()),
        "{said}"
    );
    assert!(overflow.join(&written[0]).exists(), "the only right copy stays: {said}");
    assert!(!overflow.join(&written[1]).exists(), "the other one is the same: {said}");
    assert_eq!(open(&scene), [(written[0].clone(), written[0].clone(), Cause::ContentDiffers)]);
    assert!(scene.cluster.pgdata().join(".pgbackrest_gap_pending").exists());
    let report = status(&scene, "--output=json");
    assert!(
        report.contains("\"cause\": \"content differs\"") && report.contains("\"verdict\": \"critical\""),
        "{report}"
    );
    let report = status(&scene, "--output=text").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.contains("other content") && report.contains("remove"), "what to do: {report}");

    // Somebody removes the wrong object: the right one takes its place.
    scene.s3.remove_object("wal", &wrong);
    sleep(A_SECOND);
    let said = scene.watch_once(&variables);
    assert!(said.contains("is stored: it was kept in"), "{said}");
    assert_eq!(scene.states(), [(GapState::Healed, 1)], "{said}");
    assert!(!overflow.join(&written[0]).exists());
    assert_eq!(
        scene.s3.object_bytes("wal", &object(&scene, &written[0])),
        fs::read(scene.cluster.pg_wal().join(&written[0])).unwrap()
    );
}

#[test]
fn live_watch_closes_no_gap_by_a_name_with_anothers_content() {
    let scene = scene();
    scene.watch_once(&[]);
    // Another server has archived to the same stanza under the name that comes next.
    let written = scene.cluster.write_wal(1);
    scene.cluster.wait_archived(&written[0], WAIT);
    let key = object(&scene, &written[0]);
    let stored: SegmentName = written[0].parse().unwrap();
    let size = scene.cluster.segment_bytes().try_into().unwrap();
    let next = SegmentName::from_number(stored.timeline(), stored.number(size) + 1, size).unwrap().to_string();
    let mut bytes = scene.s3.object_bytes("wal", &key);
    bytes[100] ^= 1;
    let (folder, _) = key.rsplit_once('/').unwrap();
    let theirs = format!("{folder}/{next}-7798b7d2af0a677f3636f4a578c6800df3ddd284");
    scene.s3.put_object("wal", &theirs, &bytes);
    let command = scene.cluster.sql("SHOW archive_command");
    let command = format!("WAL_DROP_THRESHOLD_MB=0 WAL_DROP_AFTER_SECONDS=0 {command}");
    scene.cluster.reload_with("archive_command", &command);
    let lost = scene.cluster.write_wal(1);
    assert_eq!(lost, std::slice::from_ref(&next));
    scene.cluster.wait_archived(&next, WAIT);
    let names = |gaps: Vec<(String, String, Cause)>| gaps.into_iter().map(|gap| gap.0).collect::<Vec<_>>();
    assert_eq!(names(open(&scene)), std::slice::from_ref(&next));
    sleep(A_SECOND);
    let said = scene.watch_once(&[]);
    assert!(!said.contains("healed without a push") && !said.contains("is healed"), "{said}");
    assert_eq!(open(&scene), [(next.clone(), next.clone(), Cause::ContentDiffers)], "{said}");
    // A backup that begins after it is what is left.
    sleep(A_SECOND);
    let said = scene.watch_once(&[]);
    assert_eq!(scene.states(), [(GapState::Sealed, 1)], "{said}");
}
