//! The walk of an archive that is too long for one walk, or for one process.

use super::scene::scene;
use pgbackrest_guard_lab::{StopMode, eventually, postgres_programs};
use std::fs;
use std::time::Duration;

/// As long as anything may take here, on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// What `info` lists: a full backup from the first segment on.
const BACKUP: &str = r#"{"label":"20260101-000000F","type":"full","database":{"id":1,"repo-key":1},"error":false,"timestamp":{"start":1000,"stop":2000},"lsn":{"start":"0/100028","stop":"0/100100"},"archive":{"start":"000000010000000000000001","stop":"000000010000000000000001"}}"#;

#[test]
fn live_a_walk_that_was_left_before_its_end_goes_on_there_after_a_restart() {
    let scene = scene();
    let cluster = &scene.cluster;
    let id = cluster.system_identifier();
    cluster.stop(StopMode::Fast);
    let jump = ["-l", "000000010000000500000010", "-D"];
    let jumped = scene.lab.command(postgres_programs().join("pg_resetwal")).args(jump).arg(cluster.pgdata()).output();
    let jumped = jumped.unwrap();
    assert!(jumped.status.success(), "{}", String::from_utf8_lossy(&jumped.stderr));
    let settings = cluster.pgdata().join("postgresql.conf");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{text}\narchive_mode = on\narchive_command = '/bin/true pgbackrest'\n")).unwrap();
    cluster.start().unwrap();
    let name = cluster.switch_wal();
    cluster.wait_archived(&name, SOON);

    let archive = r#"{"database":{"id":1,"repo-key":1},"id":"15-1","max":null}"#;
    let json = format!(
        r#"[{{"name":"main","archive":[{archive}],"backup":[{BACKUP}],"db":[{{"id":1,"repo-key":1,"system-id":{id}}}],"repo":[{{"key":1,"status":{{"code":0,"message":"ok"}}}}]}}]"#
    );
    // Whole folders of 4,096 segments of 1 MiB; a listing takes its time.
    let listing = "for word in \"$@\"; do folder=${word##*/}; done\nsleep 1\n\
         i=0; while [ $i -lt 4096 ]; do printf '%s%08X-7798b7d2af0a677f3636f4a578c6800df3ddd284.zst\\n' \"$folder\" $i; i=$((i + 1)); done\n";
    scene.all_is_well().on("info", &format!("echo '{json}'\n")).on("repo-ls", listing);

    let listed = |folder: &str| {
        let path = format!("archive/main/15-1/{folder}");
        let calls = fs::read_to_string(scene.lab.path().join("standin/answer/calls")).unwrap();
        calls.lines().filter(|line| line.contains("repo-ls") && line.contains(&path)).count()
    };
    let watcher = scene.start(&[]);
    eventually("the third folder is listed", SOON, || listed("0000000100000002") > 0);
    watcher.end();
    assert_eq!(listed("0000000100000000"), 1, "the first was shown");
    let watcher = scene.start(&[]);
    eventually("the last folder is listed", SOON, || listed("0000000100000005") > 0);
    watcher.end();
    assert_eq!(listed("0000000100000000"), 1, "what was shown before the restart is not looked at again");
}
