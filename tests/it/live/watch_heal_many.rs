//! The watcher with real programs: a long outage's losses still lie in `pg_wal`, and are back before a checkpoint recycles them.

use super::scene::ledger_of;
use super::watch::{Scene, WAIT};
use pgbackrest_guard::ledger::gaps::{Cause, GapState, Loss};
use pgbackrest_guard::ledger::state::Place;
use pgbackrest_guard::ledger::{Ledger, gaps};
use pgbackrest_guard::pgbackrest::Class;
use pgbackrest_guard::wal::SegmentName;
use pgbackrest_guard_lab::{Cluster, Lab, PgBackRest, S3Server};
use std::time::{Duration, Instant};

/// A cluster that archives into a folder, set up as `setup` does: asynchronously, and with a limit for the queue.
fn scene_in_a_folder() -> Scene {
    let lab = Lab::new();
    let s3 = S3Server::start(&lab);
    let builder = Cluster::builder(&lab).setting("wal_keep_size", "8GB").setting("max_wal_size", "16GB");
    let backrest = PgBackRest::builder(&lab).postgres(&builder).repo_posix(&lab.path().join("repository"));
    let backrest = backrest.archive_async(true).option("global", "archive-push-queue-max", "1GB").write();
    let push = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard-push"));
    let guard = lab.copy_program(env!("CARGO_BIN_EXE_pgbackrest-guard"));
    let command = format!("PGBACKREST_CONFIG={} {} %p", backrest.config_file().display(), push.display());
    let cluster = builder.archive_command(&command).start();
    Scene { lab, s3, backrest, cluster, guard }
}

/// So many segments are given up as push records it, and still lie in `pg_wal`.
fn lose(scene: &Scene, count: usize) -> Vec<String> {
    let command = scene.cluster.sql("SHOW archive_command");
    scene.cluster.reload_with("archive_command", "true");
    let names = scene.cluster.write_wal(count);
    scene.cluster.wait_archived(names.last().unwrap(), WAIT);
    scene.cluster.reload_with("archive_command", &command);
    let state = ledger_of(scene.cluster.pgdata()).unwrap();
    let folder = scene.cluster.pgdata().join(".pgbackrest_guard");
    let (ledger, ..) = Ledger::open(&folder, state.identity, Place::default(), 1).unwrap();
    let size = scene.cluster.segment_bytes().try_into().unwrap();
    let segments = names.iter().map(|name| name.parse::<SegmentName>().unwrap());
    let recorded = ledger.update(|state| {
        state.segment_size = Some(size);
        for segment in segments {
            let (class, cause) = (Class::Gone, Cause::InstantDrop);
            state.gaps.record(&Loss { segment, partial: false, class, cause, s3_code: None, at: 1 }, size);
        }
    });
    assert_eq!(recorded.unwrap().gaps.open().map(|gap: &gaps::Gap| gap.segments(size)).sum::<u64>(), count as u64);
    names
}

/// Loses so many, and has the watcher heal them. How long that took.
fn healed(scene: &Scene, count: usize) -> Duration {
    scene.watch_once(&[]);
    let lost = lose(scene, count);
    let started = Instant::now();
    let mut said = String::new();
    // A poll may end before the last one; the next goes on.
    while scene.states().iter().any(|(state, _)| *state == GapState::Open) {
        assert!(started.elapsed() < Duration::from_mins(20), "{said}");
        said = scene.watch_once(&[]);
    }
    let took = started.elapsed();
    assert_eq!(scene.states().iter().map(|(_, segments)| segments).sum::<u64>(), count as u64);
    assert_eq!(scene.backups(), 1, "no backup was needed: {said}");
    let archived = scene.backrest.archived(1);
    assert!(lost.iter().all(|name| archived.contains(name)));
    let left = scene.cluster.pgdata().join(".pgbackrest_guard/heal/many");
    assert!(!left.exists(), "the copies are removed");
    took
}

#[test]
fn live_watch_heals_many_lost_segments_in_few_calls() {
    let scene = scene_in_a_folder();
    let took = healed(&scene, 150);
    eprintln!("150 segments of {} MiB: {took:?}", scene.cluster.segment_bytes() >> 20);
}
