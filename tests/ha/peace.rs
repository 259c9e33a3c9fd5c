//! The repository is well: bootstrap, a setting through Patroni, a switchover, a killed leader and its return.

use crate::checks::all_holds;
use crate::node::Node;
use crate::scene::{LONG, Run, Scene};
use crate::table::Table;
use pgbackrest_guard_lab::eventually;
use std::time::Instant;

/// One cluster through all of it.
pub(crate) fn all(run: &Run, table: &mut Table) {
    let scene = Scene::new(run, false, 2);
    bootstrap(&scene, table);
    setting(&scene, table);
    switchover(&scene, table);
    killed_leader(&scene, table);
}

fn bootstrap(scene: &Scene<'_>, table: &mut Table) {
    let (writes, full) = scene.bootstrap_first();
    table.measured("bootstrap", format!("takes writes after {writes:.1} s, first full after {full:.1} s"));
    let took = scene.bootstrap_replicas();
    for node in scene.nodes.iter().skip(1) {
        let log = node.log("patroni.log");
        assert!(log.contains("replica has been created using pgbackrest"), "{}", node.tail(60));
        let waits = || node.log("watch.log").contains("standby");
        eventually("the watcher of a standby waits, and says so", LONG, waits);
    }
    scene.commit(3);
    table.measured("two replicas by pgBackRest", format!("stream after {took:.1} s; {}", all_holds(scene)));
}

/// `patronictl edit-config` reaches every node.
fn setting(scene: &Scene<'_>, table: &mut Table) {
    let begin = Instant::now();
    let change = "postgresql.parameters.archive_timeout=20";
    scene.patronictl(&["edit-config", "--force", "--set", change, &scene.name]);
    let has = |node: &Node| node.ask("SHOW archive_timeout") == Ok("20s".to_owned());
    eventually("every node has the setting", LONG, || scene.nodes.iter().all(has));
    table.measured("patronictl edit-config", format!("on every node after {:.1} s", begin.elapsed().as_secs_f64()));
}

fn switchover(scene: &Scene<'_>, table: &mut Table) {
    scene.commit(3);
    let (from, to) = (scene.node(0), scene.node(1));
    let begin = Instant::now();
    let said =
        scene.patronictl(&["switchover", "--force", "--leader", &from.name, "--candidate", &to.name, &scene.name]);
    let (primary, took) = scene.wait_writable(begin, &from.name).unwrap_or_else(|why| panic!("{why}\n{said}"));
    assert_eq!(primary.name, to.name, "{said}");
    scene.wait_streaming();
    let whole = begin.elapsed().as_secs_f64();
    let holds = all_holds(scene);
    table.measured(
        "switchover",
        format!("takes writes after {took:.1} s, both others stream after {whole:.1} s; {holds}"),
    );
}

/// The leader is frozen out with WAL that nobody else has, so that its return needs `pg_rewind`.
fn killed_leader(scene: &Scene<'_>, table: &mut Table) {
    scene.commit(3);
    let leader = scene.primary();
    leader.diverge();
    let begin = Instant::now();
    leader.kill();
    let (primary, took) = scene.wait_writable(begin, &leader.name).unwrap_or_else(|why| panic!("{why}"));
    let figures = format!("takes writes after {took:.1} s ({})", primary.promotion());
    scene.commit(3);
    let begin = Instant::now();
    leader.start();
    leader.watch();
    scene.wait_streaming();
    let back = begin.elapsed().as_secs_f64();
    let rewound = leader.log("patroni.log").contains("pg_rewind exit code=0");
    assert!(rewound, "the old leader came back without pg_rewind\n{}", leader.tail(80));
    let holds = all_holds(scene);
    table.measured("leader killed", format!("{figures}; back by pg_rewind after {back:.1} s; {holds}"));
}
