//! The key is revoked, WAL is given up, the leader dies with its ledger, and the key comes back: the new primary's watcher
//! repairs what another node lost, and what `status --at` then says of each moment is held to a real restore.

use crate::checks::{all_holds, nothing_waits};
use crate::failover::Outage;
use crate::node::Node;
use crate::scene::{LONG, Run, Scene};
use crate::table::Table;
use pgbackrest_guard_lab::{Cluster, PgBackRest, within};
use std::fs;
use std::time::{Duration, Instant};

/// A moment, and how many rows had been committed by then.
struct Moment {
    at: String,
    rows: u32,
}

/// One cluster through all of it.
pub(crate) fn repaired(run: &Run, table: &mut Table, recycled: bool) {
    let scene = Scene::started(run, false, 2);
    let how = if recycled { "nobody has the WAL any more" } else { "the new primary has the WAL" };
    let before = moment(&scene, 3);
    nothing_waits(scene.primary());
    Outage::Revoked.begin(&scene);
    let during = moment(&scene, 6);
    let leader = scene.primary();
    let given_up = leader.status("/push/dropped_count");
    if recycled {
        recycle(&scene, leader);
    }
    let begin = Instant::now();
    leader.kill();
    let (primary, took) = scene.wait_writable(begin, &leader.name).unwrap_or_else(|why| panic!("{why}"));
    let figures = format!("{given_up} given up by the old leader, takes writes after {took:.1} s");
    scene.commit(3);
    // The new primary gives up too: as long as it has not, it knows of no loss, and its verdict says nothing yet.
    nothing_waits(primary);
    Outage::end(&scene);
    let begin = Instant::now();
    scene.commit(1);
    let wanted = if recycled { "sealed" } else { "healed" };
    let states = || gap_states(primary);
    let repaired = || states().contains(&wanted.to_owned()) && !states().contains(&"open".to_owned());
    let well = within(LONG, || primary.status("/verdict") == "ok" && repaired());
    assert!(well, "not repaired: {}\n{}", primary.status(""), primary.tail(60));
    let repaired = begin.elapsed().as_secs_f64();
    let after = moment(&scene, 3);
    leader.start();
    leader.watch();
    scene.wait_streaming();
    let holds = all_holds(&scene);
    let states = gap_states(primary).join(" ");
    table.measured(
        &format!("key revoked, failover, key back, {how}"),
        format!("{figures}, verdict ok {repaired:.1} s after the key, gaps {states}; {holds}"),
    );
    for (name, moment) in [("before", &before), ("during", &during), ("after", &after)] {
        let said = truth(&scene, primary, name, moment);
        table.measured(&format!("status --at, {name} the outage, {how}"), said);
    }
}

/// What has become of each gap that the primary knows.
fn gap_states(primary: &Node) -> Vec<String> {
    let gaps = primary.status("/gaps");
    let state = |gap: &serde_json::Value| gap["state"].as_str().unwrap_or_default().to_owned();
    gaps.as_array().into_iter().flatten().map(state).collect()
}

/// Commits rows, and takes a moment behind them that later commits follow.
fn moment(scene: &Scene<'_>, rows: u32) -> Moment {
    let rows = scene.commit(rows);
    std::thread::sleep(Duration::from_millis(1200));
    let at = scene.primary().sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS+00')");
    std::thread::sleep(Duration::from_millis(1200));
    scene.commit(1);
    Moment { at, rows }
}

/// What the primary says of a moment, and what a restore to it does.
fn truth(scene: &Scene<'_>, primary: &Node, name: &str, moment: &Moment) -> String {
    let mut code = None;
    let sure = || {
        code = primary.guard(&["status", "--at", &moment.at]).0;
        code != Some(2)
    };
    within(Duration::from_secs(30), sure);
    let restored = restore(scene, name, moment);
    match (code, &restored) {
        (Some(0), Ok(rows)) => assert_eq!(*rows, moment.rows, "restored to {}", moment.at),
        // Where WAL was archived and not lost, the claim has to be made.
        (Some(1 | 2), Ok(rows)) if *rows == moment.rows => panic!("restored to {}, and not claimed", moment.at),
        (Some(0), Err(log)) => panic!("claimed, and not restored to {}:\n{log}", moment.at),
        _ => {}
    }
    let restored = restored.map_or_else(|_| "fails".to_owned(), |rows| format!("has {rows} of {} rows", moment.rows));
    let code = code.map_or("none".to_owned(), |code| code.to_string());
    format!("exit {code}, a real restore {restored}")
}

/// Restores beside the cluster by bare pgBackRest; the rows, or the log of a recovery that did not get there.
fn restore(scene: &Scene<'_>, name: &str, moment: &Moment) -> Result<u32, String> {
    let lab = &scene.run.lab;
    let copy = Cluster::builder(lab).name(&format!("{}/restored-{name}", scene.name)).no_archiving();
    let builder = PgBackRest::builder(lab).name(&format!("{}/pgbackrest-{name}", scene.name)).postgres(&copy);
    let backrest = scene.repository(builder, 2).write();
    let target = format!("--target={}", moment.at);
    let restored = backrest.restore(copy, &[&target, "--type=time", "--target-action=promote"]);
    restored.start_recovery();
    let reached = restored.wait_promoted(LONG);
    let rows = if reached { restored.sql("SELECT count(DISTINCT n) FROM t").parse().ok() } else { None };
    rows.ok_or_else(|| restored.log())
}

/// What a checkpoint does to segments that nobody needs any more.
fn recycle(scene: &Scene<'_>, leader: &Node) {
    let end = |pointer| leader.status(pointer).as_str().expect("an open gap").to_owned();
    let (begin, last) = (end("/gaps/0/first"), end("/gaps/0/last"));
    for node in scene.nodes.iter().filter(|node| node.name != leader.name) {
        for entry in fs::read_dir(node.pgdata.join("pg_wal")).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if begin <= name && name < last {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}
