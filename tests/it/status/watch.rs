//! What the watcher does about a gap that somebody has acknowledged, and the metrics that it writes.

use super::exposition::parse;
use crate::watch::scene::{now, scene};
use pgbackrest_guard::ledger::gaps::GapState;
use std::fs;
use std::process::Command;

const FULL: &str = "20261123-010000F";
/// Behind anything that the scene's cluster has written.
const FAR: &str = "7F/2000028";

#[test]
fn live_an_acknowledged_gap_gets_no_backup_of_its_own_and_the_next_one_seals_it() {
    let scene = scene();
    scene.info(2, None).backup("", FULL, FAR).all_is_well().lose("000000010000000000000001", now() - 10);
    fs::write(scene.marker(), "000000010000000000000001 was dropped\n").unwrap();
    scene.lab.give(&scene.marker());
    let acknowledged = Command::new(env!("CARGO_BIN_EXE_pgbackrest-guard"))
        .args(["status", "--config=/dev/null", "--acknowledge=1", "--reason=nobody needs it", "--pgdata"])
        .arg(scene.cluster.pgdata())
        .output()
        .unwrap();
    assert!(acknowledged.status.success(), "{acknowledged:?}");
    let metrics = scene.lab.folder("metrics").join("guard.prom");
    let variables = [("WAL_GUARD_METRICS_FILE", metrics.to_str().unwrap())];
    let said = scene.once(&variables);
    assert_eq!((scene.calls("backup"), scene.gaps()), (0, vec![GapState::Open]), "{said}");
    assert!(scene.marker().exists(), "a gap is open: {said}");
    let families = parse(&fs::read_to_string(&metrics).unwrap()).unwrap();
    let value = |name: &str| families[&format!("pgbackrest_guard_{name}")].samples[0].value;
    assert!((value("open_gaps"), value("acknowledged_gaps"), value("up")) == (0.0, 1.0, 1.0), "{families:?}");
    // A backup that is due all the same.
    let due = [("WAL_BACKUP_FULL_INTERVAL_SECONDS", "1")];
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let said = scene.once(&due);
    assert!(said.contains("(it is due)") && scene.gaps() == [GapState::Sealed], "{said}");
    assert!(!scene.marker().exists(), "{said}");
    // Another loss, that nobody has acknowledged, wants its own.
    scene.all_is_well().lose("000000010000000000000005", now() - 10);
    let said = scene.once(&[]);
    assert!(said.contains("(a gap can't be healed)"), "{said}");
}
