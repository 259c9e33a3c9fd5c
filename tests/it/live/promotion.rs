//! Live: a standby is promoted while the repository is gone. Its timeline's history must not be lost with the WAL:
//! without it no restore can follow the new timeline.

use super::scene::{KEY, Live, Mode, SOON, ledger_of, names_in};
use pgbackrest_guard::ledger::DEFERRED;
use pgbackrest_guard_lab::{Cluster, PgBackRest};
use std::collections::BTreeSet;
use std::fs;

const HISTORY: &str = "00000002.history";

/// A standby of the cluster, that will archive to the same repository by a pgBackRest of its own.
fn standby(live: &Live, mode: Mode) -> Cluster {
    let standby = Cluster::builder(&live.lab).name("standby");
    let backrest = PgBackRest::builder(&live.lab).name("pgbackrest-of-standby").postgres(&standby);
    let backrest = backrest.archive_async(mode == Mode::Async).option("global", "io-timeout", "1");
    let backrest = live.repository_one(backrest).write();
    let standby = standby.archive_command(&live.archive_command(&backrest, &[])).standby_of(&live.postgres);
    standby.start().unwrap();
    standby
}

fn promotion(mode: Mode) {
    let live = Live::of(mode).start();
    live.write_acknowledged(2);
    let standby = standby(&live, mode);
    live.postgres.sql("CREATE TABLE t AS SELECT 1 AS n");
    standby.wait_until("the standby follows", SOON, || standby.try_sql("SELECT n FROM t") == Ok("1".to_owned()));
    // What it received by streaming is marked as done by the walreceiver, not by us.
    let received: BTreeSet<String> = standby.done().into_iter().collect();

    live.s3.revoke_key(KEY);
    standby.promote();
    let written = standby.write_wal(2);
    standby.wait_until("all is acknowledged", SOON, || standby.ready().is_empty());
    assert_eq!(standby.failed_count(), 0, "{}", standby.log());

    let deferred = standby.pgdata().join(".pgbackrest_guard").join(DEFERRED);
    assert_eq!(names_in(&deferred), BTreeSet::from([HISTORY.to_owned()]));
    let (copy, original) = (fs::read(deferred.join(HISTORY)), fs::read(standby.pg_wal().join(HISTORY)));
    assert_eq!(copy.unwrap(), original.unwrap());

    let state = ledger_of(standby.pgdata()).expect("a ledger");
    let gaps: Vec<_> = state.gaps.open().collect();
    let [partial, lost] = gaps.as_slice() else { panic!("not two gaps: {gaps:#?}") };
    assert!(partial.partial && partial.first.timeline().0 == 1, "{partial:#?}");
    assert_eq!(Some(&lost.first.to_string()), written.first());
    assert_eq!(Some(&lost.last.to_string()), written.last());

    let mut acknowledged: BTreeSet<String> = standby.done().into_iter().collect();
    acknowledged.extend(written);
    acknowledged.retain(|name| !received.contains(name));
    assert!(acknowledged.contains(HISTORY), "{acknowledged:?}");
    assert!(acknowledged.iter().any(|name| name.ends_with(".partial")), "{acknowledged:?}");
    live.are_accounted_for(&standby, &acknowledged);
    live.every_acknowledged_segment_is_accounted_for();
}

#[test]
fn the_history_is_deferred_and_the_partial_recorded_sync() {
    promotion(Mode::Sync);
}

#[test]
fn the_history_is_deferred_and_the_partial_recorded_async() {
    promotion(Mode::Async);
}
