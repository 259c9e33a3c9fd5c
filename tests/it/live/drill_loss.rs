//! `drill` measures what a loss of the origin would have cost: by the newest commit that came back, and by the newest heartbeat.

use super::drill::{archived, drill, stage};
use super::watch::{WAIT, scene};
use serde_json::Value;

fn time(record: &Value, field: &str) -> Option<jiff::Timestamp> {
    record[field].as_str().map(|text| text.parse().unwrap())
}

/// The origin has had nothing to write for a while; its watcher has.
#[test]
fn live_drill_measures_the_loss_of_an_idle_cluster_by_its_heartbeats() {
    let scene = scene();
    archived(&scene);
    let cluster = &scene.cluster;
    let committed = cluster.sql("SELECT txid_current_snapshot()");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before: jiff::Timestamp = cluster
        .sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        .parse()
        .unwrap();
    scene.watch_once(&[]);
    // Segments behind it that hold neither: the checkpoint of a promotion removes what lies that far back.
    for _ in 0..4 {
        cluster.sql("SELECT pg_logical_emit_message(false, 'another', repeat('x', 1000))");
        let segment = cluster.switch_wal();
        cluster.wait_archived(&segment, WAIT);
    }
    assert_eq!(cluster.sql("SELECT txid_current_snapshot()"), committed, "nothing was committed meanwhile");
    let record = drill(&scene, &[], 0);
    let [commit, heartbeat] = ["reached", "heartbeat"].map(|field| time(&record, field).expect(field));
    assert!(commit < before && before < heartbeat, "{commit}, {before}, {heartbeat}: {record}");
    let at = record["at"].as_i64().unwrap();
    assert_eq!(record["rpo_seconds"].as_i64(), Some((at - heartbeat.as_second()).max(0)), "{record}");
    let detail = stage(&record, "loss")["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("heartbeat {heartbeat}")), "{detail}");
}

/// Where none is written, the newest commit is what is left.
#[test]
fn live_drill_measures_the_loss_by_commits_where_there_are_no_heartbeats() {
    let scene = scene();
    let cluster = &scene.cluster;
    scene.lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-get"));
    scene.watch_once(&[("WAL_HEARTBEAT_DISABLED", "1")]);
    cluster.sql("CREATE TABLE t (n int)");
    let segment = cluster.switch_wal();
    cluster.wait_archived(&segment, WAIT);
    let record = drill(&scene, &[], 0);
    assert_eq!(record["heartbeat"], Value::Null, "{record}");
    let (commit, at) = (time(&record, "reached").unwrap(), record["at"].as_i64().unwrap());
    assert_eq!(record["rpo_seconds"].as_i64(), Some((at - commit.as_second()).max(0)), "{record}");
}
