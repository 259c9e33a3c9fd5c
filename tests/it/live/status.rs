//! What `status` says can be restored, held against real restores; and what it says of servers in every state.

use super::watch::{KEY, Scene, WAIT, scene};
use pgbackrest_guard_lab::{Cluster, ClusterBuilder, Lab, PgBackRest, Signal};
use serde_json::Value;
use std::process::Output;
use std::thread::sleep;
use std::time::Duration;

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";
/// A target's time is a whole second; moments must lie apart.
const APART: Duration = Duration::from_millis(1100);

/// Runs `status` on a cluster.
fn status(scene: &Scene, cluster: &Cluster, config: &PgBackRest, arguments: &[&str]) -> Output {
    let mut command = scene.lab.command(&scene.guard);
    command.arg("status").args(arguments).arg("--pgdata").arg(cluster.pgdata());
    command.env("PGBACKREST_CONFIG", config.config_file()).env("PGUSER", "postgres");
    command.output().unwrap()
}

#[track_caller]
fn report(scene: &Scene, cluster: &Cluster, config: &PgBackRest, arguments: &[&str]) -> Value {
    let output = status(scene, cluster, config, &[&["--output=json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether `status --at` says yes, which its exit code must repeat; and all that it says.
#[track_caller]
fn at(scene: &Scene, cluster: &Cluster, config: &PgBackRest, moment: &str) -> (bool, Value) {
    let output = status(scene, cluster, config, &["--output=json", "--at", moment]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let yes = said["restorable"] == true;
    assert_eq!(output.status.code(), Some(i32::from(!yes)), "{said}");
    (yes, said)
}

/// Commits a row in a segment of its own, with the clock's whole seconds well before and after it.
fn commit(cluster: &Cluster, row: u32) -> String {
    sleep(APART);
    let segment = cluster.sql(&format!("INSERT INTO t VALUES ({row});\nSELECT pg_walfile_name(pg_switch_wal());"));
    sleep(APART);
    segment
}

/// The server's clock, in whole seconds.
fn clock(cluster: &Cluster) -> String {
    cluster.sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00'")
}

/// Restores to a moment; the rows that the cluster has then, `None` when the recovery fails.
fn restore(scene: &Scene, name: &str, moment: &str, more: &[&str]) -> Option<String> {
    let copy = Cluster::builder(&scene.lab).name(name);
    let config = repository(scene, &copy, &format!("store-{name}"));
    let target = format!("--target={moment}");
    let options = [&["--type=time", "--target-action=promote", target.as_str()], more].concat();
    let copy = config.restore(copy.no_archiving(), &options);
    copy.start_recovery();
    copy.wait_promoted(WAIT).then(|| copy.sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"))
}

/// A configuration of another cluster for the scene's repository.
fn repository(scene: &Scene, cluster: &ClusterBuilder, name: &str) -> PgBackRest {
    let builder = PgBackRest::builder(&scene.lab).name(name).postgres(cluster);
    builder.repo_s3(&scene.s3, "wal", KEY, SECRET, "/repo").write()
}

fn lose(scene: &Scene, row: u32) -> String {
    scene.s3.revoke_key(KEY);
    let lost = commit(&scene.cluster, row);
    scene.cluster.wait_archived(&lost, WAIT);
    scene.s3.restore_key(KEY);
    lost
}

#[test]
fn live_status_says_what_real_restores_show() {
    let scene = scene();
    let (cluster, config) = (&scene.cluster, &scene.backrest);
    let before = clock(cluster);
    cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    commit(cluster, 1);
    let inside = clock(cluster);
    commit(cluster, 2);
    let given_up = lose(&scene, 3);
    let in_the_gap = clock(cluster);
    let next = commit(cluster, 4);
    cluster.wait_archived(&next, WAIT);
    let open = report(&scene, cluster, config, &[]);
    assert_eq!((&open["verdict"], &open["gaps"][0]["first"]), (&"critical".into(), &given_up.into()), "{open}");
    assert_eq!(open["windows"].as_array().unwrap().len(), 1, "{open}");
    // What a checkpoint does to a segment that nobody needs any more.
    std::fs::remove_file(cluster.pg_wal().join(open["gaps"][0]["first"].as_str().unwrap())).unwrap();
    scene.watch_once(&[]);
    commit(cluster, 5);
    let behind = clock(cluster);
    let last = commit(cluster, 6);
    cluster.wait_archived(&last, WAIT);
    // A window ends where the listing has been walked.
    scene.watch_once(&[]);

    let report = report(&scene, cluster, config, &[]);
    assert_eq!((&report["verdict"], &report["gaps"][0]["state"]), (&"ok".into(), &"sealed".into()), "{report}");
    let windows = report["windows"].as_array().unwrap();
    assert_eq!((windows.len(), &report["catalog"]["state"]), (2, &"present".into()), "{report}");
    let says = |moment: &str| at(&scene, cluster, config, moment);
    let (first, last) = (windows[0]["to"].as_str().unwrap(), windows[1]["to"].as_str().unwrap());
    assert_eq!([before.as_str(), &in_the_gap].map(|moment| says(moment).0), [false; 2]);
    assert_eq!([inside.as_str(), &behind, first, last].map(|moment| says(moment).0), [true; 4]);
    let (_, gap) = says(&in_the_gap);
    assert_eq!((&gap["before"]["at"], &gap["after"]["at"]), (&windows[0]["to"], &windows[1]["from"]), "{gap}");
    let (_, later) = says("2099-01-01 00:00:00+00");
    assert_eq!((&later["before"]["at"], &later["after"]), (&windows[1]["to"], &Value::Null), "{later}");
    assert_eq!(says(&behind).1["backup"], windows[1]["backup"]);

    // Each moment that can be restored, up to the very end of a window, and none outside.
    assert_eq!(restore(&scene, "inside", &inside, &[]).as_deref(), Some("1"));
    assert_eq!(restore(&scene, "end", &zone(first), &[]).as_deref(), Some("1"), "2 is committed after {first}");
    assert_eq!(restore(&scene, "behind", &behind, &[]).as_deref(), Some("1 2 3 4 5"));
    let set = format!("--set={}", windows[0]["backup"].as_str().unwrap());
    assert_eq!(restore(&scene, "gap", &in_the_gap, &[set.as_str()]), None);
    let too_late = cluster.sql(&format!("SELECT to_char('{last}'::timestamptz + '2 s', 'YYYY-MM-DD HH24:MI:SSOF')"));
    assert_eq!(restore(&scene, "late", &too_late, &[]), None);
}

/// As pgBackRest wants it.
fn zone(moment: &str) -> String {
    moment.replace('T', " ").replace('Z', "+00")
}

#[test]
fn live_status_follows_a_promotion() {
    let scene = scene();
    let standby = Cluster::builder(&scene.lab).name("standby");
    let config = repository(&scene, &standby, "store-standby");
    scene.cluster.sql("CREATE TABLE t (n int)");
    scene.watch_once(&[]);
    let push = scene.lab.path().join("bin/pgbackrest-guard-push");
    let command = format!("PGBACKREST_CONFIG={} {} %p", config.config_file().display(), push.display());
    let standby = standby.archive_command(&command).standby_of(&scene.cluster);
    standby.start().unwrap();
    let segment = commit(&scene.cluster, 1);
    scene.cluster.wait_archived(&segment, WAIT);
    standby.wait_until("the standby follows", WAIT, || standby.try_sql("SELECT n FROM t") == Ok("1".to_owned()));

    let said = report(&scene, &standby, &config, &["--repo"]);
    assert_eq!(
        (&said["cluster"]["in_recovery"], &said["catalog"]["state"]),
        (&true.into(), &"present".into()),
        "{said}"
    );
    assert!(said["windows"].is_null(), "its ledger came with pg_basebackup: {said}");

    scene.cluster.stop(pgbackrest_guard_lab::StopMode::Fast);
    standby.promote();
    commit(&standby, 2);
    let inside = clock(&standby);
    let last = commit(&standby, 3);
    standby.wait_archived(&last, WAIT);
    let said = report(&scene, &standby, &config, &["--repo"]);
    assert!(said["windows"].is_null(), "nobody has held the ledger against the archive yet: {said}");
    let own = ("PGBACKREST_CONFIG", config.config_file());
    let watched = scene.watch_once_at(&standby, &[(own.0, own.1.to_str().unwrap())]);
    assert!(watched.contains("the ledger is valid here too"), "{watched}");
    let said = report(&scene, &standby, &config, &["--repo"]);
    let windows = said["windows"].as_array().unwrap();
    let lines: Vec<_> = windows.iter().map(|window| window["timeline"].as_u64()).collect();
    assert_eq!((lines, &said["cluster"]["timeline"]), (vec![Some(1), Some(2)], &2.into()), "{said}");
    assert_eq!(windows[0]["to_lsn"], windows[1]["from_lsn"], "{said}");
    assert_eq!(windows[0]["backup"], windows[1]["backup"], "{said}");
    assert_eq!(restore(&scene, "copy", &inside, &[]).as_deref(), Some("1 2"));
    let output = status(&scene, &standby, &config, &["--repo", "--at", &inside]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("on timeline 2"), "{text}");
}

#[test]
fn live_status_of_a_server_in_every_state() {
    let scene = scene();
    let (cluster, config) = (&scene.cluster, &scene.backrest);
    scene.watch_once(&[]);
    let segment = cluster.switch_wal();
    cluster.wait_archived(&segment, WAIT);
    // Up to PostgreSQL 14 the counters come half a second later, from the statistics collector.
    cluster.wait_until("it is counted", WAIT, || cluster.last_archived_wal() == segment);
    scene.watch_once(&[]);
    let up = report(&scene, cluster, config, &[]);
    let archiving = &up["archiving"];
    assert_eq!((&up["verdict"], &archiving["enabled"]), (&"ok".into(), &true.into()), "{up}");
    assert_eq!((&archiving["last_archived_wal"], &archiving["failed_count"]), (&segment.into(), &0.into()), "{up}");
    assert_eq!(archiving["archived_count"], cluster.archived_count(), "{up}");
    assert_eq!((&up["cluster"]["timeline"], &up["cluster"]["in_recovery"]), (&1.into(), &false.into()), "{up}");
    assert_eq!(up["windows"].as_array().unwrap().len(), 1, "{up}");

    scene.s3.revoke_key(KEY);
    let gone = report(&scene, cluster, config, &["--repo"]);
    assert_eq!(gone["catalog"]["state"], "inconclusive", "{gone}");
    assert!(gone["catalog"]["detail"].as_str().unwrap().contains("InvalidAccessKeyId"), "{gone}");
    assert!(!gone.to_string().contains(SECRET));
    assert_eq!(gone["windows"], up["windows"], "what was known stays known");
    scene.s3.restore_key(KEY);

    let pid = cluster.pid().unwrap();
    Lab::signal(pid, Signal::STOP);
    let hanging = report(&scene, cluster, config, &[]);
    Lab::signal(pid, Signal::CONT);
    assert!(hanging["reasons"].to_string().contains("does not answer within 2 s"), "{hanging}");
    assert_eq!(
        (&hanging["verdict"], &hanging["archiving"]["archived_count"]),
        (&"ok".into(), &Value::Null),
        "{hanging}"
    );

    cluster.sql("ALTER SYSTEM SET archive_command = ''; SELECT pg_reload_conf()");
    cluster.wait_until("archiving is off", WAIT, || report(&scene, cluster, config, &[])["verdict"] == "critical");
    assert_eq!(report(&scene, cluster, config, &[])["archiving"]["enabled"], false);
    cluster.stop(pgbackrest_guard_lab::StopMode::Fast);
    let down = report(&scene, cluster, config, &[]);
    assert_eq!((&down["verdict"], &down["archiving"]["failed_count"]), (&"ok".into(), &Value::Null), "{down}");
    assert!(down["reasons"].to_string().contains("not running"), "{down}");
    assert_eq!(down["windows"], up["windows"], "{down}");
}
